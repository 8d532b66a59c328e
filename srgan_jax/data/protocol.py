"""What every source of training pictures is."""

import io
import pathlib
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import ExifTags

from srgan_jax.errors import InputError
from srgan_jax.images import decoding, open_image
from srgan_jax.types import Float, Picture

Measured = Float[np.ndarray, "h w _"]  # measurements, with what is missing in the last channel


@runtime_checkable
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

    def __getitem__(self, index: int) -> Picture | Measured:
        """Return the picture as uint8 [H, W, channels]. The array may be read-only.

        Measurements are float32 [H, W, channels + 1], see data.arrays.

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


def header_size(file: pathlib.Path | io.BytesIO, *, name: str) -> tuple[int, int]:
    """Return the (height, width) that decode_image would give, with the EXIF orientation applied."""
    with decoding(name), open_image(file) as image:
        width, height = image.size
        # Pillow has already turned the size of a TIFF. For EXIF at the end of a PNG, it would decode the whole PNG.
        header = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        turned = header and image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def file_identity(path: pathlib.Path) -> str:
    """Return the identity of a picture that is a file of its own: how many bytes it has."""
    try:
        return str(path.stat().st_size)
    except OSError:
        return "missing"
