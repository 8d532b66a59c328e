"""Read and write 8-bit pictures. Whatever is wrong with a file is reported in one sentence."""

import contextlib
import io
import os
import pathlib
import stat
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from srgan_jax.errors import InputError
from srgan_jax.files import replacing
from srgan_jax.types import Picture

# Only these formats of Pillow are opened, whatever a file's name says. Others could start a program, as EPS starts
# Ghostscript, or hold no picture.
_KNOWN = ["AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF", "WEBP"]
Image.init()
FORMATS = tuple(name for name in _KNOWN if name in Image.OPEN)


class ImageError(InputError):
    """An image cannot be read. The message names the image and says why."""


def decode_image(file: str | os.PathLike | bytes, *, channels: int | None = 3, name: str = "") -> Picture:
    """Read a picture of any format in FORMATS.

    Greyscale, palette, CMYK, 16-bit and 1-bit pictures are converted to 8 bits. Transparency is dropped, and the EXIF
    orientation is applied.

    Args:
      file: a path, or the encoded bytes.
      channels: 1 (greyscale) or 3 (RGB). None keeps a greyscale picture grey and makes all others RGB.
      name: what to call the picture in an error. The default "" stands for the path.

    Returns:
      uint8 [H, W, channels].

    Raises:
      ImageError: the file is missing, is truncated, or is no picture.
    """
    name = name or (str(file) if isinstance(file, (str, os.PathLike)) else "image")
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    with decoding(name):
        check_regular(file)
    with decoding(name), Image.open(file, formats=FORMATS) as image:
        image = _to_8_bit(ImageOps.exif_transpose(image))
        channels = channels or (1 if image.mode in ("1", "L", "LA") else 3)
        return np.array(image.convert({1: "L", 3: "RGB"}[channels])).reshape(*image.size[::-1], channels)


def check_regular(file: str | os.PathLike | io.BytesIO) -> None:
    """Check that a path leads to a regular file. A pipe or a device might never end. An open file always passes.

    Raises:
      InputError: the path leads to something else.
    """
    if isinstance(file, (str, os.PathLike)) and not stat.S_ISREG(os.stat(file).st_mode):
        raise InputError("is no regular file.")


@contextlib.contextmanager
def decoding(name: str | os.PathLike) -> Iterator[None]:
    """Turn whatever a `with` block raises because of a picture's file into an ImageError that names the picture."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file.") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image that Pillow can read.") from None
    except InputError as error:
        raise ImageError(f"{name}: {error}") from None
    # Decoders raise many types on damaged input: OSError, SyntaxError, struct.error, DecompressionBombError.
    except Exception as error:
        raise ImageError(f"{name}: cannot be read ({' '.join(str(error).split())}).") from None


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Scale a 16-bit greyscale picture to 8 bits. Pillow's own conversion would clip at 255 instead."""
    if image.mode.startswith("I;16") or image.mode == "I":
        levels = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.floor(np.clip(levels / 257.0, 0, 255) + 0.5).astype(np.uint8))
    return image


def save_image(path: str | pathlib.Path, image: Picture) -> None:
    """Write a picture, uint8 [H, W, 1 or 3], through a temporary name. The extension of `path` chooses the format."""
    with replacing(path) as partial:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(partial)
