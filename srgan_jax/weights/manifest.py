"""The manifest of a checkpoint: the SHA-256 of each of its files. It reveals damage before the files are read."""

import contextlib
import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from srgan_jax import digests
from srgan_jax.errors import InputError
from srgan_jax.files import replace_text

MANIFEST = "manifest.json"


class DamagedError(InputError):
    """A checkpoint cannot be read, or its files are not those that were written."""


def write_manifest(directory: pathlib.Path) -> None:
    """Write the manifest of all files in the subdirectories of a checkpoint."""
    files = {
        file.relative_to(directory).as_posix(): digests.of_file(file)
        for file in directory.glob("*/**/*")
        if file.is_file()
    }
    manifest = {"files": files, "sha256": digests.of_json(files)}
    replace_text(directory / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def check_files(path: pathlib.Path, *items: str) -> None:
    """Check that the files of some items of a checkpoint are as they were written.

    Checkpoints of earlier versions have no manifest. There is nothing to compare them with, so they pass.

    Args:
      path: the checkpoint.
      items: the names of its subdirectories whose files are to be checked.

    Raises:
      DamagedError: a file of these items is missing or has changed, or the manifest itself has changed.
    """
    if not (path / MANIFEST).is_file():
        return
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        files = manifest["files"]
        sound = manifest["sha256"] == digests.of_json(files)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise _damaged(path, f"{MANIFEST} is not as it was written")
    for name, sha256 in files.items():
        if name.split("/")[0] in items and not ((path / name).is_file() and digests.of_file(path / name) == sha256):
            raise _damaged(path, f"{name} is not as it was written")


def reading(path: pathlib.Path, read: Callable[[], Any]) -> Any:
    """Call `read()`, and turn whatever a damaged checkpoint makes it raise into a DamagedError that names `path`."""
    try:
        return read()
    except InputError:
        raise
    except Exception as error:  # tensorstore, JSON and orbax raise nearly any type.
        raise _damaged(path, error or type(error).__name__) from None


@contextlib.contextmanager
def saving(path: pathlib.Path) -> Iterator[None]:
    """Turn whatever keeps a `with` block from saving a checkpoint, such as a full disk, into an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # tensorstore and orbax raise nearly any type.
        text = " ".join(str(error).split()) or type(error).__name__
        system = re.search(r"([^:]+) \[os_error_code", text)  # tensorstore names every file on the way to the reason
        raise InputError(
            f"{path} cannot be saved ({system[1].strip() if system else text[:200]}). Once this is mended, for example "
            "by making room on the disk, the same command goes on from the newest checkpoint."
        ) from error


def _damaged(path: pathlib.Path, reason: object) -> DamagedError:
    return DamagedError(f"{path} is damaged ({' '.join(str(reason).split())[:200]}).")
