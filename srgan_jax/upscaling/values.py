"""Enlarge arrays of numbers at their full depth: floating point in, floating point out, and holes stay holes."""

import numpy as np

from srgan_jax.data.arrays import Guide, ValueRange, Values, fill_holes, guide_to_unit
from srgan_jax.errors import InputError
from srgan_jax.images.resize import nearest
from srgan_jax.models.layers import subpixels
from srgan_jax.models.network import GeneratorNetwork
from srgan_jax.types import Float
from srgan_jax.upscaling.upscaler import Upscaler


def enlarge_values(
    values: Values, upscaler: Upscaler, ends: ValueRange, *, guide: Guide | None = None
) -> Float[np.ndarray, "sh sw c"]:
    """Enlarge an array of measurements.

    Args:
      values: [H, W, C] of any integer or floating-point dtype. NaN in any channel marks a pixel without a value; the
        network sees the nearest value in its place.
      upscaler: of a network with C channels, or with 1, which enlarges each channel by itself.
      ends: which values the network's range stands for.
      guide: of a guided network, [scale · H, scale · W, guide_channels]; see `guide_to_unit`.

    Returns:
      float32 [scale · H, scale · W, C] in the unit of `values`, neither rounded nor clipped, with NaN where the LR
      pixel has no value.

    Raises:
      InputError: the network takes another number of channels, or there is no value at all; or the guide is missing,
        of another size, or not wanted.
    """
    filled, valid = fill_holes(values)
    lr = (ends.to_levels(filled) / 255).astype(np.float32)
    if guide is not None:
        lr = np.concatenate([lr, _guide_channels(guide, upscaler.module, values.shape[:2])], -1)
    sr = upscaler(lr)
    result = ends.to_values((sr + 1) * np.float32(127.5))
    result[~nearest(valid, upscaler.module.scale)] = np.nan
    return result


def _guide_channels(guide: Guide, module: GeneratorNetwork, size: tuple[int, int]) -> Float[np.ndarray, "h w _"]:
    """Return a guide as the channels that a guided network has after those of LR."""
    wanted = (module.scale * size[0], module.scale * size[1], getattr(module, "guide_channels", 0))
    if not wanted[2]:
        raise InputError("the network takes no guide; leave it out.")
    if guide.shape != wanted:
        raise InputError(f"the guide should be an array of shape {list(wanted)}, but its shape is {list(guide.shape)}.")
    return subpixels(guide_to_unit(guide)[None], module.scale)[0]
