"""Scores of measurements, in their own unit and at their full depth, channel by channel, and without the holes."""

import math

import numpy as np

from srgan_jax.errors import InputError
from srgan_jax.types import Float, Shaped


def value_scores(
    sr: Shaped[np.ndarray, "h w c"], hr: Shaped[np.ndarray, "h w c"], *, extent: float, border: int = 0
) -> dict[str, float]:
    """Compare two arrays where both have a value.

    Args:
      sr, hr: [H, W, C] in one unit; NaN in any channel marks a pixel without a value.
      extent: the highest value minus the lowest one, which PSNR relates the error to.
      border: pixels that are left out on each side.

    Returns:
      {"psnr": dB of all channels together, infinite for equal arrays; "rmse" and "mae": in the unit of the arrays;
      "valid": the share of pixels that are compared}; and where there are several channels, "psnr_0", "rmse_0" and so
      on of each.

    Raises:
      InputError: the shapes differ, or no pixel can be compared.
    """
    if sr.shape != hr.shape:
        raise InputError(f"SR of shape {sr.shape} cannot be compared with HR of shape {hr.shape}.")
    inside = (slice(border, sr.shape[0] - border), slice(border, sr.shape[1] - border))
    error = sr[inside].astype(np.float64) - hr[inside]
    valid = ~np.isnan(error).any(-1)
    if not valid.any():
        raise InputError("there is no pixel in which both SR and HR have a value.")
    error = error[valid]
    scores = {**_of(error, extent), "mae": float(np.abs(error).mean()), "valid": float(valid.mean())}
    if error.shape[1] > 1:
        for channel, its_error in enumerate(error.T):
            scores |= {f"{name}_{channel}": value for name, value in _of(its_error, extent).items()}
    return scores


def _of(error: Float[np.ndarray, "..."], extent: float) -> dict[str, float]:
    rmse = float(np.sqrt(np.mean(np.square(error))))
    return {"psnr": 20 * math.log10(extent / rmse) if rmse else math.inf, "rmse": rmse}
