"""Writing files so that nothing is lost and nothing half-written is ever left under a final name; the cache folder."""

import contextlib
import os
import pathlib
import secrets
import sys
from collections.abc import Iterable

try:
    import fcntl
except ImportError:
    fcntl = None

from srgan_jax.errors import InputError


def cache_directory() -> pathlib.Path:
    """Where the platform keeps what can be made again."""
    home = pathlib.Path.home()
    if sys.platform == "win32":
        return pathlib.Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")


@contextlib.contextmanager
def replacing(path):
    """Give a temporary name beside `path`, with its extension; rename it to `path` if all went well, else remove it.

    The name is random and the file is made anew, so that two programs do not write into one file, and no link that
    somebody has planted is followed.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{secrets.token_hex(8)}.partial{path.suffix}")
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def replace_text(path, text: str) -> None:
    """Write `path` anew."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def locked(folder):
    """Hold a folder for this program alone, until the block or the program ends, however it ends.

    Raises:
      InputError: another program holds the folder.
    """
    path = pathlib.Path(folder) / ".lock"
    with path.open("a+") as file:
        if fcntl:  # not on Windows
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{folder} is in use by another program; wait until it has ended, or take another directory."
                ) from None
            except OSError:  # a file system without locks
                pass
        yield


def check_outputs(outputs: Iterable[tuple], inputs: Iterable, *, folder=None) -> None:
    """Raise an InputError if writing would lose something; every command asks before it computes anything.

    Args:
      outputs: (path that will be written, what it is made from, for messages), for all that the command writes.
      inputs: paths of the files that the command reads.
      folder: where the outputs must be, also once links are followed.

    Raises:
      InputError: an output is an input, under whatever name (letters' case, symbolic and hard links are seen through);
        two outputs have one name; or a link leads out of `folder`.
    """
    inputs = {pathlib.Path(path).resolve() for path in inputs}
    identities = {_identity(path) for path in inputs if path.exists()}
    origins = {}
    for path, origin in outputs:
        path = pathlib.Path(path)
        if path in origins:
            raise InputError(f"{origins[path]} and {origin} would both be written to {path}; rename one.")
        origins[path] = origin
        if path.resolve() in inputs or (path.exists() and _identity(path) in identities):
            raise InputError(f"{path} is an input and would be overwritten; choose another place for the output.")
        if folder is not None and not is_within(path.parent, folder):
            raise InputError(f"{path}: a link leads out of {folder}; choose another place for the output.")


def is_within(path, folder) -> bool:
    """Whether a path lies in a folder once links are followed."""
    return pathlib.Path(path).resolve().is_relative_to(pathlib.Path(folder).resolve())


def _identity(path: pathlib.Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
