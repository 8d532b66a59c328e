"""MATLAB's bicubic `imresize`, on the host (exact and for any size) and inside a jitted step (two matrix products).

A pass over one axis is a product with a banded matrix. MATLAB rounds uint8 images after each of the two passes, and so
does this module. If it rounded once at the end, about a tenth of the pixels would change by one level.

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

MARGIN_LR = 2  # the LR pixels beyond each side of a crop that bicubic reduction reads


def nearest(image: np.ndarray, scale: int) -> np.ndarray:
    """Enlarge an image [H, W] or [H, W, C] to [scale*H, scale*W(, C)] by repeating each pixel. The dtype stays."""
    return np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)


def imresize(
    image: np.ndarray,
    scale: float | Fraction | None = None,
    *,
    size: tuple[int, int] | None = None,
    border: str = "symmetric",
) -> np.ndarray:
    """Resize an image as MATLAB's `imresize(image, scale, "bicubic")` does, with antialiasing when it shrinks.

    The axis with the smaller scale is resized first. On a tie, these are the rows.

    Args:
      image: [H, W] or [H, W, C]; uint8, or floating point of any range.
      scale: the output size over the input size. The output has ceil(scale * H) rows and ceil(scale * W) columns.
      size: (rows, columns) of the output, instead of `scale`.
      border: "symmetric" (MATLAB today) or "clamp" (the SelfExSR files).

    Returns:
      uint8 for a uint8 image, rounded half away from zero and clipped after each pass; otherwise float64, not rounded.

    Raises:
      ValueError: the image has another dtype or shape or is empty, the scale or size is not positive, or the border is
        unknown.
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
    """Return the float64 matrix [out_size, size] that resizes one axis by `scale` (MATLAB's `contributions`)."""
    return _banded(size, out_size, scale, border).toarray()


def downscale_crops(crops: AnyArray, scale: int) -> jax.Array:
    """Make the LR crops of a batch of HR crops. This is meant for use inside a jitted step.

    At x2 and x4 the result equals, bit for bit, crops that are cut out of `imresize(whole image, 1/scale)`. For this
    the whole image must have been padded by 2 * scale pixels (`np.pad(mode="symmetric")`), and the crops must start on
    multiples of `scale`. The weights are then k/4096, so that every sum is exact in float32.

    Args:
      crops: uint8 [N, H + 4*scale, W + 4*scale, C], or float32 of any range. These are crops of H x W pixels
        (multiples of `scale`) with a margin of MARGIN_LR * scale pixels on each side.
      scale: by how much to shrink.

    Returns:
      float32 [N, H/scale, W/scale, C], whole levels in 0..255, or of floating-point crops neither rounded nor clipped.
      The margin is gone.

    Raises:
      ValueError: the crops are not 4-D, or their sides leave no crop or are no multiples of `scale`.
    """
    if crops.ndim != 4 or any(n % scale or n <= 2 * MARGIN_LR * scale for n in crops.shape[1:3]):
        raise ValueError(
            f"downscale_crops expects [N, H, W, C] with H and W multiples of scale={scale} above "
            f"{2 * MARGIN_LR * scale} (the margin), got {crops.shape}."
        )
    rows, columns = (resize_matrix(n, n // scale, Fraction(1, scale))[MARGIN_LR:-MARGIN_LR] for n in crops.shape[1:3])
    return _resize_rows_columns(crops, rows, columns)


def imresize_jax(image: jax.Array, scale: float | Fraction, *, border: str = "symmetric") -> jax.Array:
    """Resize a uint8 image [H, W, C] on the accelerator. The result is uint8.

    At x2, x4, x1/2 and x1/4 the result equals that of `imresize` bit for bit. At other scales a float32 sum may land on
    the other side of a rounding tie, which moves a pixel by one level.
    """
    scales, size = _geometry(image.shape, scale, None)
    rows, columns = (resize_matrix(image.shape[i], size[i], scales[i], border=border) for i in (0, 1))
    return _resize_rows_columns(image[None], rows, columns)[0].astype(jnp.uint8)


def _resize_rows_columns(images: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    """Resize levels [N, H, W, C] to float32 levels. Unless they are floats, round each of the two passes as uint8."""
    exact = jax.lax.Precision.HIGHEST  # Anything less would round the weights.
    x = images.astype(jnp.float32)
    floating = jnp.issubdtype(images.dtype, jnp.floating)
    for product, matrix in (("oh,nhwc->nowc", rows), ("ow,nhwc->nhoc", columns)):
        x = jnp.einsum(product, jnp.asarray(matrix, jnp.float32), x, precision=exact)
        x = x if floating else jnp.clip(jnp.floor(x + 0.5), 0, 255)
    return x


def _resize_axis(image: np.ndarray, matrix: sparse.csr_array, axis: int, *, levels: bool) -> np.ndarray:
    """Make one pass, and round it to uint8 if `levels` is set.

    The pass works in strips that fit the cache, which is several times faster on large images.
    """
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


def _geometry(
    shape: tuple[int, ...], scale: float | Fraction | None, size: tuple[int, int] | None
) -> tuple[tuple[Fraction | float, ...], tuple[int, int]]:
    """Return the scales and the output sizes of both axes."""
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
    """Return the sparse resize matrix [out_size, size]. A row has ceil(4 / scale) taps to shrink, and 4 to enlarge."""
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
    """Return Keys' cubic with a = -1/2 at x."""
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
