"""What MkDocs does not do by itself for the documentation site: `make docs`, mkdocs.yml.

The pages in docs/ are read on code hosts too, and link to files of the whole repository. A linked file that lies
outside of docs/ becomes a part of the site, under its path in the repository: Markdown becomes a page, Python a page
with its code, a folder a list, and all else is copied. A line <!-- site: NAME --> is replaced by what tables.py makes
of the code.
"""

import pathlib
import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from scripts.site import markdown, tables

ROOT = pathlib.Path(__file__).parents[2]
DOCS = "docs"
LISTED = (".py", ".md", ".json", ".jsonl", ".yml", ".txt")  # what a folder's list names


def address(path: str) -> str:
    """Return where a file of the repository is in the site."""
    where = path.removeprefix(f"{DOCS}/")
    if (ROOT / path).is_dir():
        return f"{where}/index.md"
    return f"{where}.md" if where.endswith(".py") else where


def as_page(path: str) -> str | None:
    """Return a file or folder of the repository as Markdown, or None for what is copied as it is."""
    file = ROOT / path
    if file.is_dir():
        entries = sorted(entry.name for entry in file.iterdir() if entry.suffix in LISTED and entry.is_file())
        return "\n".join([f"# {path}/", "", *(f"- [{name}]({name})" for name in entries), ""])
    if file.suffix == ".md":
        text = file.read_text(encoding="utf-8")
        return re.sub(r"^<!-- site: (\w+) -->$", lambda match: tables.TABLES[match[1]](), text, flags=re.MULTILINE)
    if file.suffix == ".py":
        return f"---\nsearch:\n  exclude: true\n---\n# {path}\n\n```python\n{file.read_text(encoding='utf-8')}```\n"
    return None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in the pages that are generated, and whatever the pages link to."""
    for name, text in tables.room_pages().items():
        files.append(File.generated(config, f"reference/rooms/{name}.md", content=text))
    waiting = [f"{DOCS}/{file.src_uri}" for file in files.documentation_pages() if not file.generated_by]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        text, where = as_page(path), address(path)
        if text is None:
            if files.get_file_from_path(where) is None:
                files.append(File.generated(config, where, abs_src_path=str(ROOT / path)))
            continue
        folder = path if (ROOT / path).is_dir() else posixpath.dirname(path)

        def in_site(target: str, folder=folder, where=where) -> str:
            linked, hash_, anchor = target.partition("#")
            if not linked or not markdown.is_local(target):
                return target
            found = posixpath.normpath(posixpath.join(folder, linked))
            if found.startswith("../") or not (ROOT / found).exists():
                return target  # MkDocs names it
            if found not in seen:
                seen.add(found)
                waiting.append(found)
            return posixpath.relpath(address(found), posixpath.dirname(where) or ".") + hash_ + anchor

        text = markdown.replace_links(text, in_site)
        if old := files.get_file_from_path(where):
            files.remove(old)
        files.append(File.generated(config, where, content=text))
    return files
