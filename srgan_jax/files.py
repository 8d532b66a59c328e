"""Write files safely: no file is lost, and none that is half written stands under its final name.

The module also knows where the platform keeps its cache folder.
"""

import contextlib
import os
import pathlib
import secrets
import sys
from collections.abc import Iterable, Iterator

try:
    import fcntl
except ImportError:
    fcntl = None

from srgan_jax.errors import InputError


def cache_directory() -> pathlib.Path:
    """Return the folder in which the platform keeps files that can be made again."""
    home = pathlib.Path.home()
    if sys.platform == "win32":
        return pathlib.Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")


@contextlib.contextmanager
def replacing(path: str | pathlib.Path) -> Iterator[pathlib.Path]:
    """Lend a temporary file beside `path` to a `with` block, which writes it.

    The file has the extension of `path`. If the block succeeds, the file is renamed to `path`; if the block fails, the
    file is removed. Its name is random, and the file must be new. So two programs never write into one file, and a
    link that somebody has planted is never followed.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{secrets.token_hex(8)}.partial{path.suffix}")
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def replace_text(path: str | pathlib.Path, text: str) -> None:
    """Write a text file in UTF-8, in place of the one that may be there. Names that are no UTF-8 are escaped."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def locked(folder: str | pathlib.Path) -> Iterator[None]:
    """Hold a folder for this program alone until the `with` block ends, or the program ends in any way.

    Windows and some file systems have no such locks; there the folder is not held.

    Raises:
      InputError: another program holds the folder.
    """
    path = pathlib.Path(folder) / ".lock"
    with path.open("a+") as file:
        if fcntl:  # Windows does not have this module.
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{folder} is in use by another program; wait until it has ended, or take another directory."
                ) from None
            except OSError:  # The file system has no locks.
                pass
        yield


def check_outputs(
    outputs: Iterable[tuple[str | pathlib.Path, object]],
    inputs: Iterable[str | pathlib.Path],
    *,
    folder: str | pathlib.Path | None = None,
) -> None:
    """Check that writing the outputs loses nothing. Every command calls this function before it computes anything.

    Args:
      outputs: one pair for each file that the command writes: its path, and what the file is made from (the messages
        name this origin).
      inputs: the paths of all files that the command reads.
      folder: the folder in which every output must lie, also once links are followed; None allows any place.

    Raises:
      InputError: an output is one of the inputs, two outputs have one path, or a link leads out of `folder`. An input
        is recognised under another name too: in other letters' case, or through a symbolic or hard link.
    """
    inputs = {os.path.realpath(path) for path in inputs}
    identities = {_identity(path) for path in inputs if os.path.exists(path)}
    origins = {}
    for path, origin in outputs:
        path = pathlib.Path(path)
        if path in origins:
            raise InputError(f"{origins[path]} and {origin} would both be written to {path}; rename one.")
        origins[path] = origin
        if os.path.realpath(path) in inputs or (os.path.exists(path) and _identity(path) in identities):
            raise InputError(f"{path} is an input and would be overwritten; choose another place for the output.")
        if folder is not None and not is_within(path.parent, folder):
            raise InputError(f"{path}: a link leads out of {folder}; choose another place for the output.")


def is_within(path: str | pathlib.Path, folder: str | pathlib.Path) -> bool:
    """Say whether a path lies in a folder once links are followed."""
    # Path.resolve would raise an error for links that lead to each other.
    return pathlib.Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _identity(path: str | pathlib.Path) -> tuple[int, int]:
    """Return the two numbers by which the system knows a file, whatever its name."""
    status = os.stat(path)
    return status.st_dev, status.st_ino
