"""Read and write 8-bit pictures. Whatever is wrong with a file is reported in one sentence.

What the header of a file declares is compared with a budget of bytes before anything is decoded, because a small file
can declare a picture that no memory holds.
"""

import contextlib
import io
import os
import pathlib
import re
import stat
import threading
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from srgan_jax.errors import InputError
from srgan_jax.files import replacing
from srgan_jax.types import Picture

# Only these formats of Pillow are opened, whatever a file's name says. Others could start a program, as EPS starts
# Ghostscript, or hold no picture.
_KNOWN = ["AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF"]
_KNOWN += ["WEBP"]
Image.init()
with contextlib.suppress(ImportError):  # the extra [heic]
    import pillow_heif

    pillow_heif.register_heif_opener()
FORMATS = tuple(name for name in _KNOWN if name in Image.OPEN)

# The extensions of these formats. Pillow opens MPO, the pictures of stereo cameras, as a kind of JPEG.
EXTENSIONS = tuple(sorted(end for end, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO")))

# The most bytes that a picture may have once it is decoded. 16-bit RGB has so many at Pillow's own limit of pixels.
MAX_DECODED = 1 << 30
# A decoder takes several times the memory of its picture. So pictures of more bytes than this are decoded one by one.
ALONE = 1 << 28
_alone = threading.RLock()

# Bytes of a pixel in the modes of Pillow that have fewer than four.
_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
_TILE_WIDTH, _TILE_LENGTH, _SAMPLES, _BITS = 322, 323, 277, 258  # tags of TIFF
_TEXT_HEADER = 1 << 16  # PPM's header is text, which Pillow reads byte by byte; a longer one is not read


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
    with decoding(name), open_image(file) as image:
        ImageOps.exif_transpose(image, in_place=True)
        image = _to_8_bit(image)
        channels = channels or (1 if image.mode in ("1", "L", "LA") else 3)
        mode = {1: "L", 3: "RGB"}[channels]
        # Pillow's convert would copy a picture that has the mode already.
        return np.array(image if image.mode == mode else image.convert(mode)).reshape(*image.size[::-1], channels)


@contextlib.contextmanager
def open_image(file: str | os.PathLike | io.BufferedIOBase) -> Iterator[Image.Image]:
    """Open a picture of any format in FORMATS for a `with` block, which may decode it (see within_budget).

    Raises:
      InputError: the path leads to no regular file, or the picture declares more than MAX_DECODED bytes.
      Exception: the file is damaged or has another format; use this inside of `decoding`.
    """
    check_regular(file)
    _check_text_header(file)
    with Image.open(file, formats=FORMATS) as image, within_budget(*_declared(image)):
        yield image


@contextlib.contextmanager
def within_budget(declared: str, size: int) -> Iterator[None]:
    """Lend a part of the memory to a `with` block that decodes a picture. Every reader of pictures uses this.

    Only one thread at a time is in a block with a picture that takes more than ALONE bytes.

    Args:
      declared: in words, what the header of the picture declares; for the message.
      size: the bytes that the decoded picture takes according to its header.

    Raises:
      InputError: the size exceeds MAX_DECODED.
    """
    if size > MAX_DECODED:
        raise InputError(
            f"declares {declared}, {size:,} bytes once it is decoded, where at most {MAX_DECODED:,} are read; it could "
            "be a decompression bomb."
        )
    with _alone if size > ALONE else contextlib.nullcontext():
        yield


def _declared(image: Image.Image) -> tuple[str, int]:
    """Return what the header of a picture declares, as the arguments of within_budget."""
    (width, height), pixel = image.size, _PIXEL_BYTES.get(image.mode, 4)
    if image.format == "PNG" and image.tile and str(image.tile[0].args).endswith(";16B"):
        pixel = max(pixel, 2 * len(image.getbands()))
    if image.format == "TIFF":
        tags = image.tag_v2
        pixel = max(pixel, tags.get(_SAMPLES, 1) * max(tags.get(_BITS, (1,))) // 8)
        width, height = max(width, tags.get(_TILE_WIDTH, 1)), max(height, tags.get(_TILE_LENGTH, 1))
    return f"{width} x {height} pixels of {pixel} bytes", width * height * pixel


def _check_text_header(file: str | os.PathLike | io.BufferedIOBase) -> None:
    """Check that the header of a file of the PPM family ends early. Comments of any length may stand in it."""
    with open(file, "rb") if isinstance(file, (str, os.PathLike)) else contextlib.nullcontext(file) as opened:
        start = opened.read(_TEXT_HEADER)
        opened.seek(0)
    if re.match(rb"P[0-9a-zA-Z][\s#]", start) and len(start) == _TEXT_HEADER:
        words = re.sub(rb"#[^\r\n]*", b"", start).split()
        if len(words) < 4:
            raise InputError(f"its header has more than {_TEXT_HEADER:,} bytes.")


def check_regular(file: str | os.PathLike | io.BufferedIOBase) -> None:
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
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: cannot be read ({reason}).") from None


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Scale a 16-bit greyscale picture to 8 bits. Pillow's own conversion would clip at 255 instead."""
    if image.mode.startswith("I;16") or image.mode == "I":
        levels = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    return image


def save_image(path: str | pathlib.Path, image: Picture) -> None:
    """Write a picture, uint8 [H, W, 1 or 3], through a temporary name. The extension of `path` chooses the format."""
    with replacing(path) as partial:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(partial)
