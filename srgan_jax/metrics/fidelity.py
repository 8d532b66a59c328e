"""How true SR is to LR and HR: consistency, error, the generator's grid, and contrast. None needs a network."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from scipy.ndimage import correlate1d

from srgan_jax.errors import InputError
from srgan_jax.images.resize import imresize
from srgan_jax.metrics import canvas, psnr_ssim
from srgan_jax.metrics.canvas import Distances, Pair, Sizes
from srgan_jax.types import AnyArray, Array, Int, UInt8

RMSE_BORDER = 4  # pixels that PIRM 2018 cuts off each side
PERIODS = 5  # sides of the blocks of `grid`, in periods
FLAT = 1 / 20  # the share of blocks that counts as flat

Levels = UInt8[AnyArray, "n h w 3"]


def lr_psnr(sr: np.ndarray, lr: np.ndarray, *, scale: int, border: str = "symmetric") -> float:
    """Return the PSNR in dB between LR and SR reduced to its size, over all channels: how consistent SR is.

    SR is reduced as LR was made: by MATLAB's bicubic imresize, antialiased, in whole levels. Higher is better, and
    `math.inf` if nothing differs. From 45 dB on, SR says nothing that LR contradicts: NTIRE 2021 asks for as much
    (Lugmayr et al., "NTIRE 2021 Learning the Super-Resolution Space Challenge").

    Args:
      sr: uint8 [scale · H, scale · W], [scale · H, scale · W, 1] or [scale · H, scale · W, 3].
      lr: uint8 [H, W], [H, W, 1] or [H, W, 3].
      scale: by how much SR is larger than LR.
      border: how LR was reduced at the edge; "clamp" for the SelfExSR files, see resize.imresize.

    Raises:
      InputError: they are no such pictures, or their sizes do not fit.
    """
    sr, lr = (canvas.checked(picture, name="LR-PSNR") for picture in (sr, lr))
    if sr.shape[:2] != tuple(scale * side for side in lr.shape[:2]):
        raise InputError(
            f"LR-PSNR needs SR that is {scale} times as large as LR, got SR of {sr.shape[1]}x{sr.shape[0]} and LR of "
            f"{lr.shape[1]}x{lr.shape[0]} pixels."
        )
    return psnr_ssim.psnr(*np.broadcast_arrays(imresize(sr, Fraction(1, scale), border=border), lr))


def rmse(sr: Levels, hr: Levels, *, sizes: Sizes | None = None) -> Distances:
    """Return the root of the mean squared error of luma in levels, as PIRM 2018 computes it (Blau et al., 2018).

    Luma is Y of MATLAB's rgb2ycbcr (BT.601, 16 to 235) in whole levels, and 4 pixels are cut off each side. Lower is
    better, 0 for equal pictures. For a set PIRM takes the root of the mean of the squares of these values.

    Args:
      sr, hr: uint8 RGB of one size, above 8 x 8 pixels.
      sizes: heights and widths of pictures that lie in the upper left corner of these; None if they fill them.
    """
    if sizes is None:
        sizes = jnp.broadcast_to(jnp.array(sr.shape[1:3]), (len(sr), 2))
    squares = jnp.square(_luma(sr) - _luma(hr)).astype(jnp.float32)[..., None]
    middle = canvas.inside(squares, sizes - RMSE_BORDER)[:, RMSE_BORDER:, RMSE_BORDER:]
    return jnp.sqrt(canvas.average(middle, sizes - 2 * RMSE_BORDER)[:, 0])


def make_rmse() -> Callable[[Sequence[Pair]], list[float]]:
    """Build score(pairs of uint8 pictures) -> RMSE of each; see `rmse`, and canvas.make_score for what it takes."""
    distance = lambda params, sr, hr, sizes: rmse(sr, hr, sizes=sizes)  # noqa: E731
    return canvas.make_score(distance, None, name="RMSE", smallest=2 * RMSE_BORDER + 1, convert=lambda levels: levels)


def _luma(levels: Levels) -> Int[Array, "n h w"]:
    """Return Y of rgb2ycbcr in whole levels, by whole numbers: 16 + (65.481 R + 128.553 G + 24.966 B) / 255."""
    weighted = levels.astype(jnp.int32) @ jnp.array([65481, 128553, 24966])
    return 16 + (weighted + 127500) // 255000


def contrast(sr: np.ndarray, hr: np.ndarray) -> float:
    """Return the standard deviation of SR's levels over that of HR's, averaged over the channels.

    1 is best: below it SR is paler than HR, above it SR is harsher. Channels in which HR is constant are left out; NaN
    if all are.

    Args:
      sr, hr: uint8 [H, W], [H, W, 1] or [H, W, 3], of one size.

    Raises:
      InputError: they are no such pictures.
    """
    x, y = (picture.std(axis=(0, 1)) for picture in canvas.checked_pair(sr, hr, name="contrast", smallest=1))
    return float((x[y > 0] / y[y > 0]).mean()) if y.any() else math.nan


def grid(sr: np.ndarray, *, scale: int) -> float:
    """Return how strongly SR shows the grid of LR's pixels where it is flat, in levels: artefacts of the upsampling.

    Let R = SR - S, where S is SR averaged over one period of `scale` pixels in both directions, so that S has nothing
    that repeats with the period. Without the outermost period, SR is divided into blocks of 5 × 5 periods, and the
    twentieth of them in which S has the least variance counts as flat. In block b the part of R that repeats is its
    mean over the 25 periods, for each of the scale² places in a period and each channel, less the mean over the places:

        P_b(u, v, c) = mean_ij R_b(i · scale + u, j · scale + v, c) - mean_ijuv R_b(…, c)
        grid = sqrt(mean_buvc P_b(u, v, c)²)

    Lower is better, 0 where nothing repeats. HR pictures have a few tenths of a level: 25 periods do not average all
    of their noise away. The measure is ours.

    Args:
      sr: uint8 [H, W], [H, W, 1] or [H, W, 3], of at least 7 · scale pixels on each side.
      scale: the factor of super-resolution, at least 2.

    Raises:
      InputError: it is no such picture.
    """
    levels = canvas.checked(sr, name="grid", smallest=(PERIODS + 2) * scale).astype(np.float64)
    # A centred window of one period: at an even scale its two outermost pixels count half.
    window = np.convolve(np.ones(scale), [0.5, 0.5] if scale % 2 == 0 else [1]) / scale
    smooth = levels
    for axis in (0, 1):
        smooth = correlate1d(smooth, window, axis=axis)
    rest, smooth = (_blocks(image[scale:-scale, scale:-scale], scale) for image in (levels - smooth, smooth))
    repeating = rest.mean(axis=(1, 3))
    repeating -= repeating.mean(axis=(1, 2), keepdims=True)
    variance = smooth.var(axis=(1, 2, 3, 4)).mean(axis=-1)
    flat = np.argsort(variance, kind="stable")[: math.ceil(FLAT * len(variance))]
    return math.sqrt(np.square(repeating[flat]).mean())


def _blocks(image: np.ndarray, scale: int) -> np.ndarray:
    """Cut [H, W, C] -> [blocks, PERIODS, scale, PERIODS, scale, C]; what fills no block is left out."""
    side = PERIODS * scale
    rows, columns = (n // side for n in image.shape[:2])
    blocks = image[: rows * side, : columns * side].reshape(rows, PERIODS, scale, columns, PERIODS, scale, -1)
    return np.moveaxis(blocks, 3, 1).reshape(rows * columns, PERIODS, scale, PERIODS, scale, -1)
