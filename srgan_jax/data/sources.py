"""Where pictures come from: built-in photographs, a folder, or a TFDS dataset, behind one interface."""

import hashlib
import importlib.util
import io
import math
import os
import pathlib
from collections.abc import Iterable
from typing import Protocol

import numpy as np
from PIL import ExifTags, Image

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.images import FORMATS, check_regular, decode_image, decoding

# The natural colour photographs in scikit-image's wheel. motorcycle_right.png is left out: it shows the scene of
# motorcycle_left.png once more, so that one of them could be trained on and the other held out.
BUILTIN = ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png", "rocket.jpg")

_SAMPLED = 64  # records of a TFDS dataset whose contents are part of its fingerprint


class Source(Protocol):
    """A sequence of pictures. May be read from several threads at once.

    Attributes:
      raw: pictures are stored as pixels, so that nothing is gained by keeping them in memory.
    """

    raw: bool

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What messages call the picture; the same on every machine, different for every picture."""

    def __getitem__(self, index: int) -> np.ndarray:
        """uint8 [H, W, channels], perhaps read-only; raises ImageError, which names it, where it cannot be read."""

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) from the header, without decoding; raises ImageError."""

    def identity(self, index: int) -> str:
        """What changes if the picture is replaced by another one; it is not read for that."""


class SourceError(InputError):
    """A source that is not there or holds no pictures; the message is one sentence."""


class FileSource:
    """The pictures `names`, paths relative to `directory`."""

    raw = False

    def __init__(self, directory, names: Iterable[str], *, channels: int = 3):
        self.directory, self.names, self.channels = pathlib.Path(directory), tuple(names), channels

    def __len__(self):
        return len(self.names)

    def name(self, index):
        return self.names[index]

    def __getitem__(self, index):
        return decode_image(self.directory / self.names[index], channels=self.channels, name=self.name(index))

    def size(self, index):
        return _header_size(self.directory / self.names[index], name=self.name(index))

    def identity(self, index):
        try:
            return str((self.directory / self.names[index]).stat().st_size)
        except OSError:
            return "missing"


class FolderSource(FileSource):
    """Every picture under `directory` that Pillow can read, in the order of the relative paths.

    Searches recursively, leaves out hidden files and folders, and follows links to files but not to folders.

    Raises:
      SourceError: `directory` is missing, is no directory, or holds no pictures.
    """

    def __init__(self, directory, *, channels: int = 3):
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
            # Regular files alone: opening a pipe would wait for ever.
            pictures = (path for path in paths if path.suffix.lower() in extensions and path.is_file())
            names += (path.relative_to(root).as_posix() for path in pictures)
        if not names:
            raise SourceError(f"{root} holds no images; looked in it and its subfolders for {' '.join(extensions)}.")
        super().__init__(root, sorted(names), channels=channels)


class BuiltinSource(FileSource):
    """The colour photographs that scikit-image brings in its wheel: nothing is downloaded.

    Raises:
      SourceError: scikit-image is not installed, or without them.
    """

    def __init__(self, *, channels: int = 3):
        package = importlib.util.find_spec("skimage")
        directory = pathlib.Path(package.origin).parent / "data" if package else pathlib.Path()
        names = [name for name in BUILTIN if (directory / name).is_file()]
        if not names:
            raise SourceError("the built-in photographs come with scikit-image: pip install scikit-image.")
        super().__init__(directory, names, channels=channels)


class TfdsSource:
    """One image feature of a TFDS dataset stored as ArrayRecord, read without TensorFlow.

    TFDS would decode with OpenCV where that happens to be installed and with Pillow elsewhere, with different
    pixels. So encoded pictures are decoded here, and no other feature is decoded at all. A uint8 tensor feature
    (packed crops) holds the pixels themselves.

    Args:
      name: as for tfds.load: "imagenet2012", "div2k/bicubic_x4:2.0.0".
      split: "train", "train[:10%]".
      data_dir: where the dataset was prepared; "" for TFDS's default.
      feature: the feature's name: "image", or "hr" in div2k.

    Raises:
      SourceError: the dataset is not prepared there, or has no such split or feature.
    """

    def __init__(self, name: str, *, split: str, data_dir="", feature: str = "image", channels: int = 3):
        import tensorflow_datasets as tfds  # takes a second, which other sources need not pay

        self.dataset, self.split, self.feature, self.channels = name, split, feature, channels
        data_dir = os.path.expanduser(data_dir) or None
        where = f"--data_dir={data_dir} " if data_dir else ""
        prepare = f"prepare it once, where TensorFlow is installed: tfds build {name} {where}--file_format=array_record"
        try:
            builder = tfds.builder(name, data_dir=data_dir)
            prepared = builder.is_prepared()
        except tfds.core.DatasetNotFoundError:
            prepared = False
        except ValueError as error:  # no name of a dataset
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
            self._records = builder.as_data_source(split=split).data_source  # the records' bytes
        except NotImplementedError:
            raise SourceError(f"{name} is stored in a format without random access; {prepare}") from None
        except ValueError as error:  # no such split
            raise SourceError(f"{name}: {_one_line(error)}") from None

    def __len__(self):
        return len(self._records)

    def name(self, index):
        return f"{self.dataset}/{self.split}/{index}"

    def __getitem__(self, index):
        value = self._read(index)
        return decode_image(value, channels=self.channels, name=self.name(index)) if self._decoders else value

    def size(self, index):
        if self._shape:
            return self._shape[:2]
        value = self._read(index)
        return _header_size(io.BytesIO(value), name=self.name(index)) if self._decoders else value.shape[:2]

    def identity(self, index):
        # Reading every record would take as long as training; some tell whether a shard was replaced.
        step = max(1, len(self) // _SAMPLED)
        return hashlib.sha256(self._records[index]).hexdigest() if index % step == 0 else ""

    def _read(self, index):
        """The encoded bytes, or uint8 [H, W, C] of a tensor feature."""
        record = self._records[index]
        if self.raw and record.startswith(self._header):  # parsing would copy the pixels twice
            return np.frombuffer(record, np.uint8, offset=len(self._header)).reshape(self._shape)
        return self._features.deserialize_example_np(record, decoders=self._decoders)[self.feature]


class Subset:
    """Some pictures of a source, as a source."""

    def __init__(self, source: Source, indices: Iterable[int]):
        self.source, self.indices, self.raw = source, np.asarray(indices, np.int64), source.raw

    def __len__(self):
        return len(self.indices)

    def name(self, index):
        return self.source.name(int(self.indices[index]))

    def __getitem__(self, index):
        return self.source[int(self.indices[index])]

    def size(self, index):
        return self.source.size(int(self.indices[index]))

    def identity(self, index):
        return self.source.identity(int(self.indices[index]))


def hold_out(source: Source, share: float) -> tuple[Subset, Subset]:
    """Split a source into (train, held out), the same on every machine and for every seed.

    The pictures whose names have the smallest SHA-256 are held out: ceil(share * N) of them, and at least one
    picture stays in each part. share = 0 holds nothing out.

    Raises:
      SourceError: share is not in [0, 1), or there are fewer than two pictures to share.
    """
    if not 0 <= share < 1:
        raise SourceError(f"the held-out share must be at least 0 and less than 1, got {share}.")
    if share and len(source) < 2:
        raise SourceError(f"holding out a share of {share} needs two pictures or more, got {len(source)}.")
    # The small number keeps 0.07 * 100 = 7.000000000000001 from becoming 8.
    count = min(math.ceil(share * len(source) - 1e-9), len(source) - 1)
    count = max(count, 1) if share else 0
    order = sorted(range(len(source)), key=lambda index: hashlib.sha256(source.name(index).encode()).digest())
    return Subset(source, sorted(order[count:])), Subset(source, sorted(order[:count]))


SOURCES = {
    "builtin": lambda data, channels: BuiltinSource(channels=channels),
    "folder": lambda data, channels: FolderSource(data.path, channels=channels),
    "tfds": lambda data, channels: TfdsSource(
        data.name, split=data.split, data_dir=data.path, feature=data.feature, channels=channels
    ),
}


def create_source(data, *, channels: int = 3) -> Source:
    """The source that `config.data` asks for: its fields source, path, name, split and feature.

    Raises:
      SourceError: there is no such source, or what the source itself raises.
    """
    if data.source not in SOURCES:
        raise SourceError(f"no data source is called {data.source!r}; {nearest_name(data.source, SOURCES)}")
    return SOURCES[data.source](data, channels)


def readable_extensions() -> list[str]:
    """The file extensions of the formats that we read, lower case and sorted."""
    return sorted(extension for extension, name in Image.registered_extensions().items() if name in FORMATS)


def _is_image(feature) -> bool:
    from tensorflow_datasets import features

    tensor = isinstance(feature, features.Tensor) and feature.np_dtype == np.uint8 and len(feature.shape) == 3
    return tensor or isinstance(feature, features.Image)


def _raw_header(features, feature: str) -> bytes | None:
    """What stands before the pixels in every record, where a record is just that and the raw pixels; else None.

    The header holds their number, so that what begins with it ends with them.
    """
    shape = features[feature].shape
    pixels = np.arange(math.prod(shape)).astype(np.uint8).reshape(shape)
    record, end = features.serialize_example({feature: pixels}), pixels.tobytes()
    return record.removesuffix(end) if record.endswith(end) else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _header_size(file, *, name: str) -> tuple[int, int]:
    """(height, width) as decode_image would give, orientation applied."""
    with decoding(name):
        check_regular(file)
    with decoding(name), Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        # Pillow has turned a TIFF's size already, and would decode a whole PNG to look for EXIF at its end.
        header = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        turned = header and image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)
