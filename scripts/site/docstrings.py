"""Docstrings as griffe understands them: an entry of ours may describe several parameters, such as `sr, hr: images`."""

import re

import griffe

SECTION = re.compile(r"^(Args|Attributes):$")
ENTRY = re.compile(r"^ +(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)+):")


def split_entries(text: str) -> str:
    """Return the docstring with one entry for each parameter; those that share an entry get its text alike.

    Args:
      text: the docstring, without the indentation of the code.
    """
    done: list[str] = []
    entry: list[str] = []  # the lines of the entry that is read, in a section of entries
    inside, indent = False, None

    def finish() -> None:
        if entry and (match := ENTRY.match(entry[0])):
            for name in match["names"].split(", "):
                done.extend([entry[0].replace(match["names"], name, 1), *entry[1:]])
        else:
            done.extend(entry)
        entry.clear()

    for line in text.splitlines():
        width = len(line) - len(line.lstrip())
        if not line or not width:
            finish()
            inside, indent = bool(SECTION.match(line)), None
            done.append(line)
            continue
        indent = width if indent is None else indent
        if not inside:
            done.append(line)
            continue
        if width == indent:
            finish()
        entry.append(line)
    finish()
    return "\n".join(done)


class SharedEntries(griffe.Extension):
    """Split the entries of every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = split_entries(obj.docstring.value)
