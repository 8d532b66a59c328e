"""Whole arrays of measurements -> scores, at their full depth."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from srgan_jax.data.arrays import Guide, LevelArray, ValueRange, Values, fill_holes
from srgan_jax.data.sources import Source, Subset
from srgan_jax.images.resize import imresize
from srgan_jax.metrics.values import value_scores
from srgan_jax.types import Float
from srgan_jax.upscaling import Upscaler
from srgan_jax.upscaling.values import enlarge_values


def values_of(source: Source, index: int) -> tuple[Values, ValueRange]:
    """Return an array of an ArraySource, or of a part of one, as it is in its file, and its range."""
    source, index = _original(source, index)
    return source.values(index)


def guide_of(source: Source, index: int) -> Guide | None:
    """Return the guide of an array, if the ArraySource has guides; as values_of."""
    source, index = _original(source, index)
    return source.guide(index)


def _original(source: Source, index: int) -> tuple[Source, int]:
    while isinstance(source, Subset):
        source, index = source.source, int(source.indices[index])
    return source, index


def reduce_values(values: Values, scale: int) -> Float[np.ndarray, "lr_h lr_w c"]:
    """Reduce an array by MATLAB's bicubic imresize, without rounding.

    Args:
      values: [H, W, C], H and W multiples of the scale; NaN in any channel marks a pixel without a value.
      scale: by how much to shrink.

    Returns:
      float32 [H / scale, W / scale, C]. An LR pixel has a value if all of the pixels that it covers have one.
    """
    filled, valid = fill_holes(values)
    lr = imresize(filled.astype(np.float64), Fraction(1, scale)).astype(np.float32)
    height, width = lr.shape[:2]
    lr[~valid.reshape(height, scale, width, scale).all((1, 3))] = np.nan
    return lr


def evaluate_values(
    upscaler: Upscaler,
    source: Source,
    *,
    on_array: Callable[[str, LevelArray, LevelArray, ValueRange], Any] | None = None,
) -> dict[str, Any]:
    """Score what a network makes of the reduced arrays of a source.

    Args:
      upscaler: of the network.
      source: an ArraySource, or a part of one.
      on_array: called with (name, SR, HR, range) of each array.

    Returns:
      {"arrays": {name: scores}, "mean": scores}, with the scores of metrics.values.value_scores. `scale` pixels on each
      side are left out.
    """
    scale, arrays = upscaler.module.scale, {}
    for index in range(len(source)):
        values, ends = values_of(source, index)
        height, width = (side // scale * scale for side in values.shape[:2])
        hr = values[:height, :width]
        guide = guide_of(source, index)
        guide = None if guide is None else guide[:height, :width]
        sr = enlarge_values(reduce_values(hr, scale), upscaler, ends, guide=guide)
        arrays[source.name(index)] = value_scores(sr, hr, extent=ends.high - ends.low, border=scale)
        if on_array:
            on_array(source.name(index), sr, hr, ends)
    scores = list(arrays.values())
    mean = {name: float(np.mean([each[name] for each in scores])) for name in scores[0]} if scores else {}
    return {"arrays": arrays, "mean": mean}
