"""Sources of pictures: built-in photographs, a folder, or a TFDS dataset, all with one interface."""

import hashlib
import importlib.util
import io
import math
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from PIL import ExifTags, Image

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.images import FORMATS, check_regular, decode_image, decoding
from srgan_jax.types import Picture

# The natural colour photographs in scikit-image's wheel. motorcycle_right.png is left out because it shows the scene of
# motorcycle_left.png again: one of the two could be trained on while the other is held out.
BUILTIN = ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png", "rocket.jpg")

_SAMPLED = 64  # about so many records of a TFDS dataset are read for its fingerprint


class Source(Protocol):
    """A sequence of pictures. Several threads may read it at once.

    Attributes:
      raw: whether the pictures are stored as pixels. A cache of decoded pictures then gains nothing.
    """

    raw: bool

    def __len__(self) -> int:
        """Return the number of pictures."""

    def name(self, index: int) -> str:
        """Return the picture's name for messages. It is equal on all machines, and no two pictures share one."""

    def __getitem__(self, index: int) -> Picture:
        """Return the picture as uint8 [H, W, channels]. The array may be read-only.

        Raises:
          ImageError: the picture cannot be read; the message names it.
        """

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) from the picture's header, without decoding the picture.

        Raises:
          ImageError: the header cannot be read; the message names the picture.
        """

    def identity(self, index: int) -> str:
        """Return a text that changes when another picture takes the place of this one. No picture is decoded for it."""


class SourceError(InputError):
    """A source is missing, holds no pictures, or cannot give what is asked of it. The message is one sentence."""


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
        return _header_size(self.directory / self.names[index], name=self.name(index))

    def identity(self, index: int) -> str:
        try:
            return str((self.directory / self.names[index]).stat().st_size)
        except OSError:
            return "missing"


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


class TfdsSource:
    """One image feature of a TFDS dataset that is stored as ArrayRecord. TensorFlow is not needed to read it.

    TFDS itself would decode with OpenCV where that is installed and with Pillow elsewhere, and the two give different
    pixels. So this class decodes encoded pictures itself, with Pillow, and decodes no other feature. A feature that is
    a uint8 tensor, as in packed crops, holds the pixels themselves.

    Args:
      name: the dataset's name as tfds.load takes it, such as "imagenet2012" or "div2k/bicubic_x4:2.0.0".
      split: the split as tfds.load takes it, such as "train" or "train[:10%]".
      data_dir: the directory in which the dataset was prepared; "" stands for TFDS's default.
      feature: the feature's name: "image" in most datasets, "hr" in div2k.
      channels: 1 (greyscale) or 3 (RGB).

    Raises:
      SourceError: the dataset is not prepared in that directory, or it has no such split or feature, or a tensor
        feature has another number of channels.
    """

    def __init__(
        self, name: str, *, split: str, data_dir: str | pathlib.Path = "", feature: str = "image", channels: int = 3
    ) -> None:
        import tensorflow_datasets as tfds  # The import takes a second, which other sources need not pay.

        self.dataset, self.split, self.feature, self.channels = name, split, feature, channels
        data_dir = os.path.expanduser(data_dir) or None
        where = f"--data_dir={data_dir} " if data_dir else ""
        prepare = f"prepare it once, where TensorFlow is installed: tfds build {name} {where}--file_format=array_record"
        try:
            builder = tfds.builder(name, data_dir=data_dir)
            prepared = builder.is_prepared()
        except tfds.core.DatasetNotFoundError:
            prepared = False
        except ValueError as error:  # The text cannot be a dataset's name.
            raise SourceError(_one_line(error)) from None
        if not prepared:
            raise SourceError(f"{name} is not prepared in {data_dir or 'the default data_dir'}; {prepare}")
        features = {key: value for key, value in builder.info.features.items() if _is_image(value)}
        if feature not in features:
            raise SourceError(f"{name} has no image feature {feature!r}; it has {', '.join(features) or 'none'}.")
        encoded, shape = isinstance(features[feature], tfds.features.Image), features[feature].shape
        if not encoded and shape[-1] != channels:
            raise SourceError(f"{name} holds pictures of {shape[-1]} channels under {feature!r}, not of {channels}.")
        self._shape = None if encoded or None in shape else shape
        self._decoders = {feature: tfds.decode.SkipDecoding()} if encoded else None
        self._features = tfds.features.FeaturesDict({feature: features[feature]})
        alone = self._shape and len(builder.info.features) == 1
        self._header = _raw_header(self._features, feature) if alone else None
        self.raw = self._header is not None
        try:
            self._records = builder.as_data_source(split=split).data_source  # It gives the records' bytes.
        except NotImplementedError:
            raise SourceError(f"{name} is stored in a format without random access; {prepare}") from None
        except ValueError as error:  # There is no such split.
            raise SourceError(f"{name}: {_one_line(error)}") from None

    def __len__(self) -> int:
        return len(self._records)

    def name(self, index: int) -> str:
        return f"{self.dataset}/{self.split}/{index}"

    def __getitem__(self, index: int) -> Picture:
        value = self._read(index)
        return decode_image(value, channels=self.channels, name=self.name(index)) if self._decoders else value

    def size(self, index: int) -> tuple[int, int]:
        if self._shape:
            return self._shape[:2]
        value = self._read(index)
        return _header_size(io.BytesIO(value), name=self.name(index)) if self._decoders else value.shape[:2]

    def identity(self, index: int) -> str:
        # To read every record would take as long as training. Some records show whether a shard was replaced.
        step = max(1, len(self) // _SAMPLED)
        return hashlib.sha256(self._records[index]).hexdigest() if index % step == 0 else ""

    def _read(self, index: int) -> bytes | Picture:
        """Return a picture's encoded bytes, or the pixels uint8 [H, W, C] of a tensor feature."""
        record = self._records[index]
        if self.raw and record.startswith(self._header):  # The parser would copy the pixels twice.
            return np.frombuffer(record, np.uint8, offset=len(self._header)).reshape(self._shape)
        return self._features.deserialize_example_np(record, decoders=self._decoders)[self.feature]


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

    def __getitem__(self, index: int) -> Picture:
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
    order = sorted(range(len(source)), key=lambda index: hashlib.sha256(source.name(index).encode()).digest())
    return Subset(source, sorted(order[count:])), Subset(source, sorted(order[:count]))


SOURCES: dict[str, Callable[[Any, int], Source]] = {
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
      channels: 1 (greyscale) or 3 (RGB).

    Raises:
      SourceError: there is no such kind of source, or the source cannot be opened.
    """
    if data.source not in SOURCES:
        raise SourceError(f"no data source is called {data.source!r}; {nearest_name(data.source, SOURCES)}")
    return SOURCES[data.source](data, channels)


def readable_extensions() -> list[str]:
    """Return the file extensions of the formats that we read, in lower case and sorted."""
    return sorted(extension for extension, name in Image.registered_extensions().items() if name in FORMATS)


def _is_image(feature: Any) -> bool:
    """Say whether a TFDS feature holds pictures, encoded ones or pixels."""
    from tensorflow_datasets import features

    tensor = isinstance(feature, features.Tensor) and feature.np_dtype == np.uint8 and len(feature.shape) == 3
    return tensor or isinstance(feature, features.Image)


def _raw_header(features: Any, feature: str) -> bytes | None:
    """Return the bytes before the pixels of a record, or None if a record is more than these bytes and the pixels.

    The bytes hold the number of pixels. So a record that begins with them ends with the pixels.
    """
    shape = features[feature].shape
    pixels = np.arange(math.prod(shape)).astype(np.uint8).reshape(shape)
    record, end = features.serialize_example({feature: pixels}), pixels.tobytes()
    return record.removesuffix(end) if record.endswith(end) else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _header_size(file: pathlib.Path | io.BytesIO, *, name: str) -> tuple[int, int]:
    """Return the (height, width) that decode_image would give, with the EXIF orientation applied."""
    with decoding(name):
        check_regular(file)
    with decoding(name), Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        # Pillow has already turned the size of a TIFF. For EXIF at the end of a PNG, it would decode the whole PNG.
        header = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        turned = header and image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)
