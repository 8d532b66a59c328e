"""Reading and writing 8-bit pictures, with one sentence for whatever is wrong with a file."""

import contextlib
import io
import os
import stat

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from srgan_jax.errors import InputError
from srgan_jax.files import replacing

# The formats of Pillow that are opened, whatever a file's name says: others could start a program (EPS starts
# Ghostscript) or hold no picture.
_KNOWN = ["AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF", "WEBP"]
Image.init()
FORMATS = tuple(name for name in _KNOWN if name in Image.OPEN)


class ImageError(InputError):
    """An image that cannot be read; the message names it and says why."""


def decode_image(file, *, channels: int | None = 3, name: str = "") -> np.ndarray:
    """Read any picture that Pillow reads as uint8 [H, W, channels].

    Greyscale, palette, CMYK, 16-bit and 1-bit pictures are converted, transparency is dropped, and the EXIF
    orientation is applied.

    Args:
      file: a path or the encoded bytes.
      channels: 1 (greyscale) or 3 (RGB); None keeps a greyscale picture grey and makes all others RGB.
      name: what to call the picture in an error; by default the path.

    Raises:
      ImageError: the file is missing, truncated, or no picture.
    """
    name = name or (str(file) if isinstance(file, (str, os.PathLike)) else "image")
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    with decoding(name):
        check_regular(file)
    with decoding(name), Image.open(file, formats=FORMATS) as image:
        image = _to_8_bit(ImageOps.exif_transpose(image))
        channels = channels or (1 if image.mode in ("1", "L", "LA") else 3)
        return np.array(image.convert({1: "L", 3: "RGB"}[channels])).reshape(*image.size[::-1], channels)


def check_regular(file) -> None:
    """Raise an InputError for the path of something that is no regular file: a pipe or device may never end."""
    if isinstance(file, (str, os.PathLike)) and not stat.S_ISREG(os.stat(file).st_mode):
        raise InputError("is no regular file.")


@contextlib.contextmanager
def decoding(name):
    """Within, whatever is wrong with a picture's file becomes an ImageError that names it."""
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
    """Scale 16-bit greyscale to 8 bits: Pillow's own conversion clips at 255 instead."""
    if image.mode.startswith("I;16") or image.mode == "I":
        levels = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.floor(np.clip(levels / 257.0, 0, 255) + 0.5).astype(np.uint8))
    return image


def save_image(path, image: np.ndarray) -> None:
    """Write uint8 [H, W, 1 or 3] to `path`, its format chosen by the extension, through a temporary name."""
    with replacing(path) as partial:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(partial)
