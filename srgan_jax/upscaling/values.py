"""Enlarge arrays of numbers at their full depth: floating point in, floating point out, and holes stay holes."""

import numpy as np

from srgan_jax.data.arrays import ValueRange, Values, fill_holes
from srgan_jax.images.resize import nearest
from srgan_jax.types import Float
from srgan_jax.upscaling.upscaler import Upscaler


def enlarge_values(values: Values, upscaler: Upscaler, ends: ValueRange) -> Float[np.ndarray, "sh sw c"]:
    """Enlarge an array of measurements.

    Args:
      values: [H, W, C] of any integer or floating-point dtype. NaN in any channel marks a pixel without a value; the
        network sees the nearest value in its place.
      upscaler: of a network with C channels, or with 1, which enlarges each channel by itself.
      ends: which values the network's range stands for.

    Returns:
      float32 [scale · H, scale · W, C] in the unit of `values`, neither rounded nor clipped, with NaN where the LR
      pixel has no value.

    Raises:
      InputError: the network takes another number of channels, or there is no value at all.
    """
    filled, valid = fill_holes(values)
    sr = upscaler((ends.to_levels(filled) / 255).astype(np.float32))
    result = ends.to_values((sr + 1) * np.float32(127.5))
    result[~nearest(valid, upscaler.module.scale)] = np.nan
    return result
