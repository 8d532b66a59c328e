"""Images: value ranges, files, MATLAB's imresize, and pictures that show others side by side."""

from srgan_jax.images.files import (
    EXTENSIONS,
    FORMATS,
    ImageError,
    check_regular,
    decode_image,
    decoding,
    open_image,
    save_image,
    within_budget,
)
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
    "EXTENSIONS",
    "FORMATS",
    "ImageError",
    "check_regular",
    "decode_image",
    "decoding",
    "hr_to_signed",
    "lr_to_unit",
    "open_image",
    "save_image",
    "signed_to_integers",
    "signed_to_levels",
    "signed_to_unit",
    "turn",
    "unit_to_signed",
    "within_budget",
]
