"""MATLAB's 8-bit colour conversions."""

from __future__ import annotations

import numpy as np

# MATLAB derives rgb2gray's weights by inverting the NTSC matrix, which is why they are not exactly 0.299, 0.587, 0.114.
_GREY = np.linalg.inv([[1, 0.956, 0.621], [1, -0.272, -0.647], [1, -1.106, 1.703]])[0]


def rgb2ycbcr_y(image: np.ndarray) -> np.ndarray:
    """Convert uint8 [H, W, 3] to uint8 [H, W], the first channel of MATLAB's `rgb2ycbcr`: BT.601 in 16..235."""
    return _round(16 + image @ (np.array([65.481, 128.553, 24.966]) / 255))


def rgb2gray(image: np.ndarray) -> np.ndarray:
    """Convert uint8 [H, W, 3] to uint8 [H, W] as MATLAB's `rgb2gray` does: full range, rounded."""
    return _round(image @ _GREY)


def _round(image: np.ndarray) -> np.ndarray:
    return np.floor(image + 0.5).astype(np.uint8)
