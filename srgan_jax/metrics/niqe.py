"""NIQE, the natural image quality evaluator of Mittal, Soundararajan and Bovik (IEEE SPL 2013)."""

import functools
import pathlib
from collections.abc import Sequence
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gamma

from srgan_jax.errors import InputError
from srgan_jax.images.resize import resize_matrix
from srgan_jax.metrics import canvas, colour
from srgan_jax.types import AnyArray, Array, Float, Int, UInt8

BLOCK = 96  # sides of the blocks, in pixels of the picture
RADIUS, SIGMA = 3, 7 / 6  # of the Gaussian window
MODEL = pathlib.Path(__file__).parent / "data" / "niqe.npz"

# Differences from the local mean below this many levels are rounding errors of it. They count as zero, because the fit
# asks for the signs of all values: else the score of a picture with flat regions depends on the order of a sum.
ROUNDING = 1e-9

Levels = Float[AnyArray, "n h w"]
Blocks = Float[Array, "blocks side side"]
Fitted = Float[Array, " blocks"]
Features = Float[Array, "blocks 18"]

# Shapes that are tried, and the ratio Γ(2/α)² / (Γ(1/α) Γ(3/α)) by which one is chosen; it grows with the shape α.
_SHAPES = np.arange(200, 10001) / 1000
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))
# By the index of a shape: β of a deviation of 1, and Γ(2/α) / Γ(1/α), which makes a mean of the difference of two β.
_SCALES = np.sqrt(gamma(1 / _SHAPES) / gamma(3 / _SHAPES))
_MEANS = gamma(2 / _SHAPES) / gamma(1 / _SHAPES)


def niqe(pictures: Sequence[np.ndarray]) -> list[float]:
    """Return how far the statistics of each picture are from those of undistorted photographs; it needs no HR.

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

    Features are computed in float64, for which a program is compiled once for each number of rows and columns of
    blocks. Pictures with equal numbers go through it in batches.

    Args:
      pictures: each uint8 [H, W] or [H, W, 1] (taken as it is), or RGB [H, W, 3]; papers cut off 0 pixels on each side
        first or, as PIRM 2018 does, 4.

    Returns:
      One score for each picture.

    Raises:
      InputError: a picture is no such array, or has fewer than two blocks that are not flat.
    """
    planes = [_whole_blocks(picture) for picture in pictures]
    scores = np.zeros(len(planes))
    for indices in canvas.batches([plane.shape for plane in planes], step=BLOCK):
        with jax.enable_x64(True):
            features = np.asarray(_features(np.stack([planes[i] for i in indices])))
        for i, of_picture in zip(indices, features, strict=True):
            scores[i] = _distance(of_picture, planes[i])
    return scores.tolist()


def _whole_blocks(picture: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """Return the luma of the blocks that fit into the picture."""
    picture = canvas.checked(picture, name="NIQE")
    plane = picture[..., 0] if picture.shape[2] == 1 else colour.rgb2ycbcr_y(picture)
    height, width = (side - side % BLOCK for side in plane.shape)
    if height * width < 2 * BLOCK**2:
        raise _too_few_blocks(plane)
    return plane[:height, :width]


def _distance(features: Float[np.ndarray, "blocks 36"], plane: UInt8[np.ndarray, "h w"]) -> float:
    """Return the distance between the model and the features of a picture (eq. 10)."""
    whole = features[np.isfinite(features).all(axis=1)]
    if len(whole) < 2:
        raise _too_few_blocks(plane)
    mean, covariance = _model()
    difference = mean - np.nanmean(features, axis=0)
    inverse = np.linalg.pinv((covariance + np.cov(whole, rowvar=False)) / 2)
    return float(np.sqrt(difference @ inverse @ difference))


def _too_few_blocks(plane: np.ndarray) -> InputError:
    return InputError(
        f"NIQE needs two blocks of {BLOCK}x{BLOCK} pixels that are not flat, got {plane.shape[1]}x{plane.shape[0]} "
        "pixels; leave this picture out."
    )


@functools.cache
def _model() -> tuple[np.ndarray, np.ndarray]:
    """Return the mean [36] and covariance [36, 36] of the features of undistorted photographs."""
    with np.load(MODEL) as arrays:
        return arrays["mean"], arrays["covariance"]


@jax.jit
def _features(planes: UInt8[Array, "n h w"]) -> Float[Array, "n blocks 36"]:
    """Return the features of all blocks, at full and at half size; NaN in blocks that are flat."""
    rows, columns = (side // BLOCK for side in planes.shape[1:])
    levels = planes.astype(jnp.float64)
    down, right = (resize_matrix(side, side // 2, Fraction(1, 2)) for side in planes.shape[1:])
    half = jnp.einsum("oh,nhw,pw->nop", down, levels, right)
    features = [_features_of(_blocks(normalised(image), rows, columns)) for image in (levels, half)]
    return jnp.concatenate(features, axis=1).reshape(len(planes), rows * columns, 36)


def normalised(images: Levels, *, rounding: float = ROUNDING) -> Levels:
    """Return the mean subtracted and contrast normalised coefficients (eq. 1)."""
    difference = images - _smooth(images)
    difference = jnp.where(jnp.abs(difference) < rounding, 0, difference)
    variance = _smooth(images * images) - _smooth(images) ** 2
    return difference / (jnp.sqrt(jnp.abs(variance)) + 1)


def _smooth(images: Levels) -> Levels:
    """Return the average under the Gaussian window; pixels beyond the edge are those at the edge."""
    window = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    window /= window.sum()
    for axis in (1, 2):
        padding = [(RADIUS, RADIUS) if i == axis else (0, 0) for i in range(3)]
        padded, side = jnp.pad(images, padding, mode="edge"), images.shape[axis]
        images = sum(w * jax.lax.slice_in_dim(padded, i, i + side, axis=axis) for i, w in enumerate(window))
    return images


def _blocks(images: Levels, rows: int, columns: int) -> Blocks:
    side = images.shape[1] // rows
    return images.reshape(-1, rows, side, columns, side).swapaxes(2, 3).reshape(-1, side, side)


def _features_of(blocks: Blocks) -> Features:
    """Return two features of the coefficients, and four of their products with each of four neighbours."""
    index, left, right = _fit(blocks)
    features = [jnp.asarray(_SHAPES)[index], (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):  # neighbours beyond the edge are those at the opposite one
        index, left, right = _fit(blocks * jnp.roll(blocks, shift, axis=(1, 2)))
        features += [jnp.asarray(_SHAPES)[index], (right - left) * jnp.asarray(_MEANS)[index], left, right]
    return jnp.stack(features, axis=1)


def _fit(blocks: Blocks) -> tuple[Int[Array, " blocks"], Fitted, Fitted]:
    """Fit an asymmetric generalised Gaussian by moments: its shape's index, β_left and β_right, NaN if x is flat."""
    x = blocks.reshape(len(blocks), -1)
    left, right = (jnp.sqrt(jnp.where(side, x * x, 0).sum(1) / side.sum(1)) for side in (x < 0, x > 0))
    skew = left / right
    ratio = jnp.abs(x).mean(1) ** 2 / (x * x).mean(1)
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    ratios = jnp.asarray(_RATIOS)
    above = jnp.clip(jnp.searchsorted(ratios, ratio), 1, len(ratios) - 1)
    nearest = above - (ratio - ratios[above - 1] <= ratios[above] - ratio)
    index = jnp.where(jnp.isnan(ratio), 0, nearest)
    scale = jnp.asarray(_SCALES)[index]
    return index, left * scale, right * scale
