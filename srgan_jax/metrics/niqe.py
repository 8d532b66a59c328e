"""NIQE, the natural image quality evaluator of Mittal, Soundararajan and Bovik (IEEE SPL 2013)."""

import functools
import pathlib

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import gamma

from srgan_jax.errors import InputError
from srgan_jax.images.resize import imresize
from srgan_jax.metrics import canvas, colour
from srgan_jax.types import Float

BLOCK = 96  # sides of the blocks, in pixels of the picture
MODEL = pathlib.Path(__file__).parent / "data" / "niqe.npz"

# Differences from the local mean below this many levels are rounding errors of it. They count as zero, because the fit
# asks for the signs of all values: else the score of a picture with flat regions depends on the order of a sum.
ROUNDING = 1e-9

Levels = Float[np.ndarray, "h w"]
Blocks = Float[np.ndarray, "blocks side side"]
Fitted = Float[np.ndarray, " blocks"]
Features = Float[np.ndarray, "blocks 18"]

# Shapes that are tried, and the ratio Γ(2/α)² / (Γ(1/α) Γ(3/α)) by which one is chosen; it grows with the shape α.
_SHAPES = np.arange(200, 10001) / 1000
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))


def niqe(picture: np.ndarray, *, border: int) -> float:
    """How far the statistics of a picture are from those of undistorted photographs; it needs no HR.

    The definition is that of the authors' MATLAB program and of BasicSR, with the authors' model (36 features): Y of
    MATLAB's rgb2ycbcr in whole levels; blocks of 96 × 96 pixels without overlap, at full and at half size (MATLAB's
    imresize with antialiasing); contrast-normalised by a 7 × 7 Gaussian window (σ = 7/6, C = 1, eq. 1 to 3); asymmetric
    generalised Gaussians fitted to the values and to their products with four neighbours, by a table of shapes from 0.2
    to 10 (eq. 4 to 8). With means ν and covariances Σ of the features of the model and the picture (eq. 10):

        NIQE = sqrt((ν₁ - ν₂)ᵀ ((Σ₁ + Σ₂) / 2)⁻¹ (ν₁ - ν₂))

    Lower is better, without an upper bound; photographs have about 3 to 5.

    Scores of photographs agree with MATLAB to six digits: for Set14's baboon BasicSR quotes 5.729573, and we have
    5.729574. In large flat regions the authors' program takes rounding errors for values, so that scores differ by up
    to .6 %: of the distorted pictures I03, I04 and I08 of IQA-PyTorch's calibration its `niqe` row says 15.754, 3.6549
    and 3.184, and we have 15.746, 3.6549 and 3.202 (all six of MATLAB's rgb2gray, which that program uses in place of
    Y). Its `niqe_matlab` row, 7.20, 2.99 and 3.71, is of MATLAB's own function, which has another model.

    Args:
      picture: uint8 [H, W] or [H, W, 1] (taken as it is), or RGB [H, W, 3].
      border: how many pixels are cut off each side first; SR papers cut 0 or, as PIRM 2018 does, 4.

    Raises:
      InputError: the picture is no such array, or has fewer than two blocks that are not flat.
    """
    picture = canvas.checked(picture, name="NIQE")
    plane = picture[..., 0] if picture.shape[2] == 1 else colour.rgb2ycbcr_y(picture)
    plane = plane[border : len(plane) - border, border : plane.shape[1] - border]
    rows, columns = (n // BLOCK for n in plane.shape)
    levels = plane[: rows * BLOCK, : columns * BLOCK].astype(np.float64)
    if rows * columns >= 2:
        features = [_features(_blocks(_normalised(image), rows, columns)) for image in (levels, imresize(levels, 0.5))]
        features = np.concatenate(features, axis=1)
        whole = features[np.isfinite(features).all(axis=1)]
    if rows * columns < 2 or len(whole) < 2:
        raise InputError(
            f"NIQE needs two blocks of {BLOCK}x{BLOCK} pixels that are not flat, got {plane.shape[1]}x{plane.shape[0]} "
            "pixels; leave this picture out."
        )
    mean, covariance = _model()
    difference = mean - np.nanmean(features, axis=0)
    inverse = np.linalg.pinv((covariance + np.cov(whole, rowvar=False)) / 2)
    return float(np.sqrt(difference @ inverse @ difference))


@functools.cache
def _model() -> tuple[np.ndarray, np.ndarray]:
    """Mean [36] and covariance [36, 36] of the features of undistorted photographs."""
    with np.load(MODEL) as arrays:
        return arrays["mean"], arrays["covariance"]


def _normalised(image: Levels) -> Levels:
    """Mean subtracted and contrast normalised coefficients (eq. 1)."""
    mean, square = (gaussian_filter(x, 7 / 6, mode="nearest", radius=3) for x in (image, image * image))
    difference = image - mean
    difference[np.abs(difference) < ROUNDING] = 0
    return difference / (np.sqrt(np.abs(square - mean * mean)) + 1)


def _blocks(image: Levels, rows: int, columns: int) -> Blocks:
    side = len(image) // rows
    return image.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows * columns, side, side)


def _features(blocks: Blocks) -> Features:
    """Two features of the coefficients, and four of their products with each of four neighbours."""
    shape, left, right = _fit(blocks)
    features = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):  # neighbours beyond the edge are those at the opposite one
        shape, left, right = _fit(blocks * np.roll(blocks, shift, axis=(1, 2)))
        features += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return np.stack(features, axis=1)


def _fit(blocks: Blocks) -> tuple[Fitted, Fitted, Fitted]:
    """Shape α and scales β_left, β_right of an asymmetric generalised Gaussian, by moments; NaN scales if flat."""
    x = blocks.reshape(len(blocks), -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        left, right = (np.sqrt(np.square(x).sum(1, where=side) / side.sum(1)) for side in (x < 0, x > 0))
        skew = left / right
        ratio = np.square(np.abs(x).mean(1)) / np.square(x).mean(1)
        ratio *= (skew**3 + 1) * (skew + 1) / np.square(skew**2 + 1)
    shape = _SHAPES[[np.argmin(np.square(_RATIOS - r)) for r in ratio]]  # the smallest where the ratio is NaN
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale
