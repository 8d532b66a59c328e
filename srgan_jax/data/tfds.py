"""Pictures of TensorFlow Datasets, read without TensorFlow."""

import difflib
import hashlib
import io
import math
import os
import pathlib
from typing import Any

import numpy as np

from srgan_jax.data.protocol import SourceError, header_size
from srgan_jax.errors import InputError
from srgan_jax.images import ImageError, decode_image, decoding
from srgan_jax.types import Picture

_SAMPLED = 64  # about so many records of a TFDS dataset are read for its fingerprint


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
        except Exception as error:  # The text cannot be a dataset's name, or the dataset's description is damaged.
            raise SourceError(f"{name} cannot be opened ({_one_line(error)}).") from None
        if not prepared:
            close = difflib.get_close_matches(name, _folders(data_dir or "~/tensorflow_datasets"), n=1)
            advice = f"did you mean {close[0]!r}, which is there?" if close and close[0] != name else prepare
            raise SourceError(f"{name} is not prepared in {data_dir or 'the default data_dir'}; {advice}")
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
        except Exception as error:  # There is no such split, or the dataset's files are damaged.
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
        return header_size(io.BytesIO(value), name=self.name(index)) if self._decoders else value.shape[:2]

    def identity(self, index: int) -> str:
        # To read every record would take as long as training. Some records show whether a shard was replaced.
        step = max(1, len(self) // _SAMPLED)
        try:
            return hashlib.sha256(self._record(index)).hexdigest() if index % step == 0 else ""
        except ImageError:
            return "damaged"

    def _read(self, index: int) -> bytes | Picture:
        """Return a picture's encoded bytes, or the pixels uint8 [H, W, C] of a tensor feature."""
        record = self._record(index)
        with decoding(self.name(index)):
            if self.raw and record.startswith(self._header):  # The parser would copy the pixels twice.
                return np.frombuffer(record, np.uint8, offset=len(self._header)).reshape(self._shape)
            return self._features.deserialize_example_np(record, decoders=self._decoders)[self.feature]

    def _record(self, index: int) -> bytes:
        with decoding(self.name(index)):  # A damaged shard makes the library raise errors of several types.
            record = self._records[index]
            if record is None:
                raise InputError("its shard is cut short.")
            return record


def _folders(directory: str) -> list[str]:
    """Return the names of the folders in a directory, which need not exist."""
    path = pathlib.Path(directory).expanduser()
    return [entry.name for entry in path.iterdir() if entry.is_dir()] if path.is_dir() else []


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
    return " ".join(str(error).split()) or type(error).__name__
