"""Images: value ranges, files, MATLAB's imresize, and pictures that show others side by side."""

from srgan_jax.images.files import FORMATS, ImageError, check_regular, decode_image, decoding, save_image
from srgan_jax.images.ranges import (
    hr_to_signed,
    lr_to_unit,
    signed_to_integers,
    signed_to_levels,
    signed_to_unit,
    turn,
    unit_to_signed,
)

__all__ = [
    "FORMATS",
    "ImageError",
    "check_regular",
    "decode_image",
    "decoding",
    "hr_to_signed",
    "lr_to_unit",
    "save_image",
    "signed_to_integers",
    "signed_to_levels",
    "signed_to_unit",
    "turn",
    "unit_to_signed",
]
