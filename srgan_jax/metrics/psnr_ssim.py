"""PSNR, and SSIM as Wang et al. defined it (IEEE TIP 2004), on 8-bit levels."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import correlate1d

WINDOW = 11  # pixels; the smallest image that has an SSIM
_RADIUS = WINDOW // 2
_TAPS = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / 1.5) ** 2)
_TAPS /= _TAPS.sum()


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    """Compute the PSNR of two uint8 arrays of one shape over all values: 10 log10(255² / MSE), in dB.

    Equal arrays have the PSNR `math.inf`.
    """
    squares = int(np.square(x.astype(np.int64) - y).sum())  # exact
    return 10 * math.log10(255**2 * x.size / squares) if squares else math.inf


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Compute the mean SSIM of two uint8 images [H, W] or [H, W, C] of one shape, averaged over the channels.

    The definition is that of Wang's first `ssim_index.m`: an 11x11 Gaussian window with sigma 1.5, K1 = 0.01,
    K2 = 0.03, L = 255, only windows wholly inside the image, and no downsampling beforehand.

    Raises:
      ValueError: the image is smaller than the window.
    """
    if min(x.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs at least 11 x 11 pixels, got {x.shape[0]} x {x.shape[1]}; use larger images.")
    if x.ndim == 3:
        return float(np.mean([ssim(x[..., c], y[..., c]) for c in range(x.shape[2])]))
    x, y = x.astype(np.float64), y.astype(np.float64)
    mx, my, mxy, squares = map(_blur, (x, y, x * y, x * x + y * y))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    product, energy = mx * my, mx * mx + my * my
    quality = (2 * product + c1) * (2 * (mxy - product) + c2) / ((energy + c1) * (squares - energy + c2))
    return float(quality.mean())


def _blur(image: np.ndarray) -> np.ndarray:
    """Return the window's weighted mean at every place where the window fits: [H, W] -> [H - 10, W - 10]."""
    inside = slice(_RADIUS, -_RADIUS)
    return correlate1d(correlate1d(image, _TAPS, axis=0)[inside], _TAPS, axis=1)[:, inside]
