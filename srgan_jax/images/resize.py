"""MATLAB's bicubic `imresize`, on the host (exact, any size) and inside a jitted step (two matrix products).

A pass over one axis is a product with a banded matrix. For uint8 images MATLAB rounds after each of the two passes,
so do we: rounding once at the end would change about a tenth of the pixels by one level.

Two border rules exist. MATLAB today mirrors the image, edge pixel included ("symmetric"); the version that made the
SelfExSR files (Set5, Set14, BSD100 with LRx4) repeats the edge pixel ("clamp").
"""

from __future__ import annotations

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from srgan_jax.types import AnyArray

MARGIN_LR = 2  # LR pixels on each side of a crop that bicubic reduction reads beyond it


def nearest(image: np.ndarray, scale: int) -> np.ndarray:
    """Enlarges image [H, W] or [H, W, C] to [scale*H, scale*W(, C)] by repeating each pixel; keeps the dtype."""
    return np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)


def imresize(
    image: np.ndarray,
    scale: float | Fraction | None = None,
    *,
    size: tuple[int, int] | None = None,
    border: str = "symmetric",
) -> np.ndarray:
    """Resizes as MATLAB's `imresize(image, scale, "bicubic")` does, with antialiasing when it shrinks.

    Args:
        image: [H, W] or [H, W, C]; uint8, or floating point of any range.
        scale: output size over input size; the output has ceil(scale * H) rows and ceil(scale * W) columns.
        size: (rows, columns) of the output, instead of `scale`.
        border: "symmetric" (MATLAB today) or "clamp" (the SelfExSR files).

    Returns:
        uint8 for uint8, rounded half away from zero and clipped after each pass; otherwise float64, not rounded.
        The axis with the smaller scale is resized first, rows first on a tie.

    Raises:
        ValueError: for another dtype or shape, an empty image, a scale or size that is not positive, an unknown border.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"imresize expects a non-empty image [H, W] or [H, W, C], got shape {image.shape}.")
    levels = image.dtype == np.uint8
    if not levels and not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"imresize expects uint8 or floating point, got {image.dtype}; convert the image first.")
    scales, size = _geometry(image.shape, scale, size)
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):  # stable: rows first on a tie
        image = _resize_axis(image, _banded(image.shape[axis], size[axis], scales[axis], border), axis, levels=levels)
    return image


def resize_matrix(size: int, out_size: int, scale: float | Fraction, *, border: str = "symmetric") -> np.ndarray:
    """The float64 matrix [out_size, size] that resizes one axis by `scale` (MATLAB's `contributions`)."""
    return _banded(size, out_size, scale, border).toarray()


def downscale_crops(crops: AnyArray, scale: int) -> jax.Array:
    """Makes the LR crops of a batch of HR crops, for use inside a jitted step.

    Equal, bit for bit at x2 and x4, to cutting the crops out of `imresize(whole image, 1/scale)`, when the whole image
    was padded by 2 * scale pixels (`np.pad(mode="symmetric")`) and the crops start on multiples of `scale`: the
    weights are then k/4096, so that every sum is exact in float32.

    Args:
        crops: uint8 [N, H + 4*scale, W + 4*scale, C]: crops of H x W (multiples of `scale`) with a margin of
            MARGIN_LR * scale pixels on each side.
        scale: by how much to shrink.

    Returns:
        float32 [N, H/scale, W/scale, C], whole levels in 0..255; the margin is gone.

    Raises:
        ValueError: if the crops are not 4-D, or their sides leave no crop or are no multiples of `scale`.
    """
    if crops.ndim != 4 or any(n % scale or n <= 2 * MARGIN_LR * scale for n in crops.shape[1:3]):
        raise ValueError(
            f"downscale_crops expects [N, H, W, C] with H and W multiples of scale={scale} above "
            f"{2 * MARGIN_LR * scale} (the margin), got {crops.shape}."
        )
    rows, columns = (resize_matrix(n, n // scale, Fraction(1, scale))[MARGIN_LR:-MARGIN_LR] for n in crops.shape[1:3])
    return _resize_rows_columns(crops, rows, columns)


def imresize_jax(image: jax.Array, scale: float | Fraction, *, border: str = "symmetric") -> jax.Array:
    """`imresize` of a uint8 image [H, W, C] on the accelerator; uint8, the same bits at x2, x4, x1/2 and x1/4.

    At other scales the float32 sums may land on the other side of a rounding tie, which moves a pixel by one level.
    """
    scales, size = _geometry(image.shape, scale, None)
    rows, columns = (resize_matrix(image.shape[i], size[i], scales[i], border=border) for i in (0, 1))
    return _resize_rows_columns(image[None], rows, columns)[0].astype(jnp.uint8)


def _resize_rows_columns(images: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    """[N, H, W, C] levels -> float32 levels, each of the two passes rounded as uint8. Exact weights need HIGHEST."""
    exact = jax.lax.Precision.HIGHEST
    x = images.astype(jnp.float32)
    x = jnp.einsum("oh,nhwc->nowc", jnp.asarray(rows, jnp.float32), x, precision=exact)
    x = jnp.clip(jnp.floor(x + 0.5), 0, 255)
    x = jnp.einsum("ow,nhwc->nhoc", jnp.asarray(columns, jnp.float32), x, precision=exact)
    return jnp.clip(jnp.floor(x + 0.5), 0, 255)


def _resize_axis(image: np.ndarray, matrix: sparse.csr_array, axis: int, *, levels: bool) -> np.ndarray:
    """One pass; `levels` rounds it to uint8. In strips that fit the cache: several times faster on large images."""
    shape = list(image.shape)
    shape[axis] = matrix.shape[0]
    resized = np.empty(shape, np.uint8 if levels else np.float64)
    source, target = (np.moveaxis(x, axis, 0) for x in (image, resized))  # views
    for i in range(0, source.shape[1], 32):
        strip = source[:, i : i + 32].astype(np.float64)
        out = (matrix @ strip.reshape(len(strip), -1)).reshape(len(target), *strip.shape[1:])
        if levels:  # halves go up (below zero is clipped anyway), also those that float64 puts just below a half
            out = np.clip(np.floor(out + (0.5 + 1e-9), out=out), 0, 255, out=out)
        target[:, i : i + 32] = out
    return resized


def _geometry(shape, scale, size) -> tuple[tuple[Fraction | float, ...], tuple[int, int]]:
    """The scale and the output size of both axes."""
    if (scale is None) == (size is None):
        raise ValueError(f"imresize expects either scale or size=(rows, columns), got scale={scale} and size={size}.")
    if size is not None:
        if min(size) < 1:
            raise ValueError(f"size must be positive, got {size}.")
        return tuple(Fraction(int(out), n) for out, n in zip(size, shape[:2], strict=True)), tuple(map(int, size))
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be positive and finite, got {scale}.")
    # A float stands for the simple fraction that it came from: 0.1 * 30 is 3 here, not 3.0000000000000004.
    ratio = Fraction(scale).limit_denominator(1 << 20) or Fraction(scale)
    return (scale, scale), tuple(math.ceil(ratio * n) for n in shape[:2])


def _banded(size: int, out_size: int, scale: float | Fraction, border: str) -> sparse.csr_array:
    """The resize matrix [out_size, size], sparse: ceil(4 / scale) taps a row when it shrinks, 4 when it enlarges."""
    if border not in _BORDERS:
        raise ValueError(f"border must be one of {sorted(_BORDERS)}, got {border!r}.")
    scale = float(scale)
    stretch = min(scale, 1.0)  # when shrinking, the kernel grows wider: antialiasing
    width = 4 / stretch
    centre = np.arange(1, out_size + 1) / scale + 0.5 * (1 - 1 / scale) - 1  # pixel centres, counted from 0
    index = np.floor(centre - width / 2)[:, None] + np.arange(math.ceil(width) + 2)
    weight = stretch * _cubic(stretch * (centre[:, None] - index))
    weight /= weight.sum(axis=1, keepdims=True)
    column = _BORDERS[border](index.astype(np.int64), size)
    row = np.broadcast_to(np.arange(out_size)[:, None], column.shape)
    matrix = sparse.coo_array((weight.ravel(), (row.ravel(), column.ravel())), (out_size, size)).tocsr()
    matrix.eliminate_zeros()
    return matrix


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = -1/2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _mirror(index: np.ndarray, size: int) -> np.ndarray:
    index = index % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def _clamp(index: np.ndarray, size: int) -> np.ndarray:
    return np.clip(index, 0, size - 1)


_BORDERS = {"symmetric": _mirror, "clamp": _clamp}
