"""Sources of pictures: built-in photographs, a folder, or a TFDS dataset, all with one interface."""

import hashlib
import importlib.util
import logging
import math
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from srgan_jax.data.protocol import Measured, Source, SourceError, file_identity, header_size
from srgan_jax.data.tfds import TfdsSource
from srgan_jax.digests import name_bytes
from srgan_jax.errors import nearest_name
from srgan_jax.images import EXTENSIONS, ImageError, decode_image
from srgan_jax.types import Picture

# The natural colour photographs in scikit-image's wheel. motorcycle_right.png is left out because it shows the scene of
# motorcycle_left.png again: one of the two could be trained on while the other is held out.
BUILTIN = ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png", "rocket.jpg")

_log = logging.getLogger("srgan_jax")


class FileSource:
    """Picture files of a directory.

    Args:
      directory: the directory.
      names: the files' paths, relative to `directory`.
      channels: 1 (greyscale) or 3 (RGB).
    """

    raw = False

    def __init__(self, directory: str | pathlib.Path, names: Iterable[str], *, channels: int = 3) -> None:
        self.directory, self.names, self.channels = pathlib.Path(directory), tuple(names), channels

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def __getitem__(self, index: int) -> Picture:
        return decode_image(self.directory / self.names[index], channels=self.channels, name=self.name(index))

    def size(self, index: int) -> tuple[int, int]:
        return header_size(self.directory / self.names[index], name=self.name(index))

    def identity(self, index: int) -> str:
        return file_identity(self.directory / self.names[index])


class FolderSource(FileSource):
    """Every picture under a directory that Pillow can read, in the order of the relative paths.

    The search goes into subfolders and leaves out hidden files and folders. It follows links to files, but not links
    to folders.

    Args:
      directory: the directory; "~" stands for the user's home.
      channels: 1 (greyscale) or 3 (RGB).

    Raises:
      SourceError: `directory` is missing, is no directory, or holds no pictures.
    """

    def __init__(self, directory: str | pathlib.Path, *, channels: int = 3) -> None:
        if not str(directory):
            raise SourceError("a folder of pictures is needed: name it in data.path.")
        root = pathlib.Path(directory).expanduser()
        if not root.is_dir():
            problem = "is not a directory" if root.exists() else "does not exist"
            raise SourceError(f"{root} {problem}: a folder of pictures is needed.")
        extensions, names = readable_extensions(), []
        for folder, subfolders, files in os.walk(root):
            subfolders[:] = (name for name in subfolders if not name.startswith("."))
            paths = (pathlib.Path(folder, name) for name in files if not name.startswith("."))
            # Only regular files are taken, because opening a pipe could wait for ever.
            pictures = (path for path in paths if path.suffix.lower() in extensions and path.is_file())
            names += (path.relative_to(root).as_posix() for path in pictures)
        if not names:
            raise SourceError(f"{root} holds no images; looked in it and its subfolders for {' '.join(extensions)}.")
        super().__init__(root, sorted(names), channels=channels)


class BuiltinSource(FileSource):
    """The colour photographs that scikit-image has in its wheel. Nothing is downloaded.

    Args:
      channels: 1 (greyscale) or 3 (RGB).

    Raises:
      SourceError: scikit-image is not installed, or its installation lacks the photographs.
    """

    def __init__(self, *, channels: int = 3) -> None:
        package = importlib.util.find_spec("skimage")
        directory = pathlib.Path(package.origin).parent / "data" if package else pathlib.Path()
        names = [name for name in BUILTIN if (directory / name).is_file()]
        if not names:
            raise SourceError("the built-in photographs come with scikit-image: pip install scikit-image.")
        super().__init__(directory, names, channels=channels)


class Subset:
    """A source that consists of some pictures of another source.

    Args:
      source: the other source.
      indices: which of its pictures to take, in the new order.
    """

    def __init__(self, source: Source, indices: Iterable[int]) -> None:
        self.source, self.indices, self.raw = source, np.asarray(indices, np.int64), source.raw

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, index: int) -> str:
        return self.source.name(int(self.indices[index]))

    def __getitem__(self, index: int) -> Picture | Measured:
        return self.source[int(self.indices[index])]

    def size(self, index: int) -> tuple[int, int]:
        return self.source.size(int(self.indices[index]))

    def identity(self, index: int) -> str:
        return self.source.identity(int(self.indices[index]))


def hold_out(source: Source, share: float) -> tuple[Subset, Subset]:
    """Split a source into (train, held out). The split is equal on all machines and for all seeds.

    Those pictures are held out whose names have the smallest SHA-256. Of N pictures they are ceil(share * N), but at
    least one picture stays in each part. A share of 0 holds nothing out.

    Args:
      source: the pictures to split.
      share: the share of the pictures to hold out, from 0 to less than 1.

    Raises:
      SourceError: share is not in [0, 1), or there are fewer than two pictures to share.
    """
    if not 0 <= share < 1:
        raise SourceError(f"the held-out share must be at least 0 and less than 1, got {share}.")
    if share and len(source) < 2:
        raise SourceError(f"holding out a share of {share} needs two pictures or more, got {len(source)}.")
    # Floating point gives 0.07 * 100 = 7.000000000000001. The small number keeps this from becoming 8.
    count = min(math.ceil(share * len(source) - 1e-9), len(source) - 1)
    count = max(count, 1) if share else 0
    order = sorted(range(len(source)), key=lambda index: hashlib.sha256(name_bytes(source.name(index))).digest())
    return Subset(source, sorted(order[count:])), Subset(source, sorted(order[:count]))


def readable(source: Source, count: int, *, least: int = 1) -> Subset:
    """Return the first pictures of a source that can be read. A warning names each that is left out.

    Args:
      source: the pictures.
      count: the most pictures to take.
      least: the fewest pixels that the smaller side of a picture may have.
    """
    taken = []
    for index in range(len(source)):
        if len(taken) == count:
            break
        try:
            height, width = source[index].shape[:2]
            if min(height, width) < least:
                raise ImageError(f"{source.name(index)}: {width}x{height} pixels, where {least} a side are needed.")
            taken.append(index)
        except ImageError as error:
            _log.warning("left out of evaluation: %s", error)
    return Subset(source, taken)


def _arrays(data: Any, channels: int) -> Source:
    from srgan_jax.data.arrays import ArraySource  # That module needs this one.

    return ArraySource(data.path, channels=channels, ends=data.range, guides=data.get("guide", ""))


SOURCES: dict[str, Callable[[Any, int], Source]] = {
    "arrays": _arrays,
    "builtin": lambda data, channels: BuiltinSource(channels=channels),
    "folder": lambda data, channels: FolderSource(data.path, channels=channels),
    "tfds": lambda data, channels: TfdsSource(
        data.name, split=data.split, data_dir=data.path, feature=data.feature, channels=channels
    ),
}


def create_source(data: Any, *, channels: int = 3) -> Source:
    """Open the source that a config asks for.

    Args:
      data: `config.data`, of which the fields source, path, name, split and feature are read.
      channels: 1 (greyscale) or 3 (RGB); of arrays any number.

    Raises:
      SourceError: there is no such kind of source, or the source cannot be opened.
    """
    if data.source not in SOURCES:
        raise SourceError(f"no data source is called {data.source!r}; {nearest_name(data.source, SOURCES)}")
    return SOURCES[data.source](data, channels)


def readable_extensions() -> list[str]:
    """Return the file extensions of the formats that we read, in lower case and sorted."""
    return list(EXTENSIONS)
