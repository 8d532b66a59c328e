"""What is in a page of Markdown: its links, its anchors, and its blocks of code."""

import re
from collections.abc import Callable, Iterator

# Code comes first, so that what looks like a link in it is none. The end of a link is matched, since its text may hold
# an image, which is a link of its own.
_CODE_OR_LINK = re.compile(
    r"^(?P<indent> *)(?P<fence>```+|~~~+)[^\n]*\n.*?^ *(?P=fence) *$"
    r"|(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)"
    r"|<!--.*?-->"
    r"|\]\((?P<target>[^()\s]+)(?P<title>\s+\"[^\"]*\")?\)",
    re.DOTALL | re.MULTILINE,
)
_BLOCK = re.compile(
    r"^(?P<indent> *)```+ *(?P<language>[\w+-]*)[^\n]*\n(?P<code>.*?)^ *```+ *$", re.DOTALL | re.MULTILINE
)
_HEADING = re.compile(r"^#{1,6} +(.*?)(?: +#+)? *$", re.MULTILINE)
_ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")


def is_local(target: str) -> bool:
    """Return whether a link leads to another file, or to a place in the file itself, and not to another site."""
    return not re.match(r"[a-z][a-z0-9+.-]*:|//", target)


def links(text: str) -> list[str]:
    """Return the targets of all links and images, without what looks like links in code."""
    return [match["target"] for match in _CODE_OR_LINK.finditer(text) if match["target"]]


def replace_links(text: str, new: Callable[[str], str]) -> str:
    """Return the text with each target of a link replaced by new(target)."""

    def replaced(match: re.Match) -> str:
        return f"]({new(match['target'])}{match['title'] or ''})" if match["target"] else match[0]

    return _CODE_OR_LINK.sub(replaced, text)


def anchors(text: str) -> set[str]:
    """Return the anchors to which a link can lead: those of headings, and those that are written down."""
    found: set[str] = set(_ANCHOR.findall(text))
    for heading in _HEADING.findall(_BLOCK.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        anchor = name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = 0
        while name in found:
            count += 1
            name = f"{anchor}-{count}"
        found.add(name)
    return found


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield (language, code) of each fenced block, without its indentation; the language is "" where none is named."""
    for match in _BLOCK.finditer(text):
        yield match["language"], re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
