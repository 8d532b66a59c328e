"""Writing files so that nothing half-written is ever left under a final name."""

import contextlib
import pathlib


@contextlib.contextmanager
def replacing(path):
    """Give a temporary name beside `path`, with its extension; rename it to `path` if all went well, else remove it."""
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def replace_text(path, text: str) -> None:
    """Write `path` anew."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
