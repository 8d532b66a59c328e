"""A photo: what arrays and Pillow images become, so that a network can enlarge it, and which becomes them again."""

import dataclasses
import io
import os
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from scipy import ndimage

from srgan_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Photo:
    """Levels, and what belongs to them.

    Attributes:
      colour: uint8 or uint16 [H, W, 1 or 3], the whole range of levels in use.
      alpha: [H, W, 1] of the same dtype, or None; colours are not multiplied by it.
      icc: the colour profile of `colour`, or None.
      exif, xmp: metadata without orientation, or None.
    """

    colour: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: Image.Exif | None = None
    xmp: bytes | None = None


def visible_colours(photo: Photo) -> np.ndarray:
    """Return `photo.colour`, in which wholly transparent pixels have the colour of the nearest one that is seen.

    What colour they had before is arbitrary, and would show as a halo around what is seen.
    """
    if photo.alpha is None:
        return photo.colour
    hidden = photo.alpha[..., 0] == 0
    if not hidden.any() or hidden.all():
        return photo.colour
    nearest = ndimage.distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return photo.colour[tuple(nearest)]


def on_white(photo: Photo) -> Photo:
    """Put the photo on white, for formats without transparency."""
    if photo.alpha is None:
        return photo
    highest = np.iinfo(photo.colour.dtype).max
    opacity = photo.alpha / np.float32(highest)
    colour = np.floor(photo.colour * opacity + highest * (1 - opacity) + 0.5).astype(photo.colour.dtype)
    return dataclasses.replace(photo, colour=colour, alpha=None)


def to_8_bit(levels: np.ndarray) -> np.ndarray:
    """Round uint16 to uint8; uint8 stays as it is."""
    return levels if levels.dtype == np.uint8 else ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def levels(photo: Photo) -> np.ndarray:
    """Colour and alpha as one array [H, W, 1 to 4]."""
    return photo.colour if photo.alpha is None else np.concatenate([photo.colour, photo.alpha], axis=-1)


def from_array(array: Any) -> Photo:
    """Make a photo of uint8 or uint16 [H, W] or [H, W, 1 to 4]; with 2 and 4 channels the last one is alpha.

    Raises:
      InputError: another dtype or shape, or no pixels.
    """
    if isinstance(array, str | os.PathLike):
        raise InputError(
            f"a picture is an image or an array, got the path {os.fspath(array)!r}; open it first: "
            "PIL.Image.open(path)."
        )
    array = np.asarray(array)
    if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3):
        raise InputError(
            f"a picture is a uint8 or uint16 array [H, W] or [H, W, C], got {array.dtype} of shape {array.shape}."
        )
    array = array[..., None] if array.ndim == 2 else array
    if array.size == 0 or array.shape[2] > 4:
        raise InputError(f"a picture has pixels, and 1 to 4 channels, got shape {array.shape}.")
    alpha = array.shape[2] in (2, 4)
    return Photo(array[..., :-1] if alpha else array, array[..., -1:] if alpha else None)


def from_pillow(image: Image.Image) -> Photo:
    """Make a photo of a Pillow image of any mode, whose orientation stays.

    Nothing is kept of its metadata but a colour profile that still holds.

    Raises:
      InputError: no pixels, or numbers whose range is not known.
    """
    if 0 in image.size:
        raise InputError(f"has no pixels ({image.width} x {image.height}).")
    icc = image.info.get("icc_profile") or None
    if image.mode.startswith("I;16"):
        return dataclasses.replace(from_array(np.asarray(image).astype(np.uint16)), icc=icc)
    if image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise InputError("has 32-bit levels, whose range is not known; convert it to 16 bits first.")
        return dataclasses.replace(from_array(values.astype(np.uint16)), icc=icc)
    if image.mode == "F":
        raise InputError("has floating-point levels, whose range is not known; convert it to 16 bits first.")
    if image.mode in ("CMYK", "LAB"):
        return from_array(np.array(_to_rgb(image, icc)))
    transparent = image.has_transparency_data
    grey = image.mode in ("1", "L", "LA", "La")
    mode = {(True, True): "LA", (True, False): "L", (False, True): "RGBA", (False, False): "RGB"}[grey, transparent]
    # Pillow converts from premultiplied and palette modes by way of RGBA only.
    image = image.convert("RGBA") if transparent and not grey else image
    return dataclasses.replace(from_array(np.array(image.convert(mode))), icc=icc)


def _to_rgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert CMYK or LAB to sRGB, by the picture's own profile if it has a usable one."""
    try:
        if image.mode == "LAB":
            profile = ImageCms.createProfile("LAB")
        else:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)) if icc else None
        if profile:
            return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        pass
    return image.convert("RGB")


def to_pillow(photo: Photo) -> Image.Image:
    """Make an image of mode L, LA, RGB or RGBA, or I;16 for 16-bit grey; other 16-bit photos become 8-bit ones."""
    array = levels(photo)
    if array.dtype == np.uint16 and array.shape[2] == 1:
        image = Image.fromarray(array[..., 0])
    else:
        array = to_8_bit(array)
        image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    if photo.icc:
        image.info["icc_profile"] = photo.icc
    return image
