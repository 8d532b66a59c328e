"""What JPEG does to a picture, inside of a jitted step: the lossy part of the standard, without the coding of bits.

The steps are those of ITU-T T.81 and JFIF: YCbCr, perhaps chroma of half the resolution (4:2:0), the cosine transform
of blocks of 8 x 8 pixels, quantisation by the tables of T.81's annex K, and the way back. Rounding is that of the
Independent JPEG Group's library, which Pillow uses: YCbCr has whole levels, coefficients are multiples of 1/8 before
they are quantised, and chroma is enlarged by a triangle filter.
"""

import jax
import jax.numpy as jnp
import numpy as np

from srgan_jax.types import AnyArray, Array, Bool, Float, Int, Shaped

BLOCK = 8

# T.81, tables K.1 and K.2: the steps of quantisation at quality 50, for luminance and chrominance.
TABLES = np.array(
    [
        [
            [16, 11, 10, 16, 24, 40, 51, 61],
            [12, 12, 14, 19, 26, 58, 60, 55],
            [14, 13, 16, 24, 40, 57, 69, 56],
            [14, 17, 22, 29, 51, 87, 80, 62],
            [18, 22, 37, 56, 68, 109, 103, 77],
            [24, 35, 55, 64, 81, 104, 113, 92],
            [49, 64, 78, 87, 103, 121, 120, 101],
            [72, 92, 95, 98, 112, 100, 103, 99],
        ],
        [
            [17, 18, 24, 47, 99, 99, 99, 99],
            [18, 21, 26, 66, 99, 99, 99, 99],
            [24, 26, 56, 99, 99, 99, 99, 99],
            [47, 66, 99, 99, 99, 99, 99, 99],
            [99, 99, 99, 99, 99, 99, 99, 99],
            [99, 99, 99, 99, 99, 99, 99, 99],
            [99, 99, 99, 99, 99, 99, 99, 99],
            [99, 99, 99, 99, 99, 99, 99, 99],
        ],
    ],
    np.int32,
)

# JFIF: R, G, B -> Y, Cb, Cr, in 65536ths.
FIXED = 1 << 16
TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])
# Y is rounded to the nearest level; so are Cb and Cr, but for halves, which go down.
ROUNDING = np.array([FIXED // 2] + 2 * [128 * FIXED + FIXED // 2 - 1], np.int32)

# The orthonormal cosine transform of 8 numbers.
_FREQUENCY, _PLACE = np.mgrid[:BLOCK, :BLOCK]
COSINES = np.cos((2 * _PLACE + 1) * _FREQUENCY * np.pi / 16) * np.where(_FREQUENCY == 0, 1 / np.sqrt(8), 0.5)

_EXACT = jax.lax.Precision.HIGHEST


def quantisation_tables(quality: Shaped[AnyArray, ""] | float) -> Int[Array, "2 8 8"]:
    """Return the steps of quantisation of luminance and chrominance for a quality from 1 to 100, by the IJG's rule."""
    quality = jnp.clip(jnp.floor(jnp.asarray(quality, jnp.float32) + 0.5), 1, 100).astype(jnp.int32)
    percent = jnp.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return jnp.clip((jnp.asarray(TABLES) * percent + 50) // 100, 1, 255)


def extend(image: Float[AnyArray, "h w *c"], size: tuple, length: int | None = None) -> Float[Array, "_ _ *c"]:
    """Repeat the last row and column of the part of an image that is in use.

    Args:
      image: [H, W] or [H, W, C].
      size: how many rows and columns are in use; these may be traced.
      length: rows and columns of the result; by default as many as the image has.
    """
    for axis, used in enumerate(size):
        places = jnp.minimum(jnp.arange(length or image.shape[axis]), used - 1)
        image = jnp.take(image, places, axis=axis, mode="clip")
    return image


def jpeg(
    levels: Float[AnyArray, "side side c"],
    quality: Shaped[AnyArray, ""] | float,
    *,
    subsampled: Bool[AnyArray, ""] | bool = True,
    size: Int[AnyArray, ""] | int | None = None,
) -> Float[Array, "side side c"]:
    """Compress and decompress a square picture.

    Args:
      levels: [S, S, 1 or 3] in 0..255; they are rounded first.
      quality: 1 to 100, rounded to a whole number.
      subsampled: whether chroma has half the resolution (4:2:0) or all of it (4:4:4).
      size: how many rows and columns are in use, by default all. What is beyond them does not matter.

    Returns:
      Whole levels [S, S, 1 or 3] as float32. Beyond `size` they repeat the last row and column.
    """
    side, channels = levels.shape[0], levels.shape[2]
    used = side if size is None else size
    padded = -(-side // (2 * BLOCK)) * 2 * BLOCK
    picture = jnp.clip(jnp.floor(extend(levels, (used, used), padded) + 0.5), 0, 255).astype(jnp.int32)
    tables = quantisation_tables(quality)
    if channels == 1:
        return extend(_coded(picture[..., 0].astype(jnp.float32), tables[0]), (used, used), side)[..., None]
    to_ycbcr = jnp.asarray(np.round(TO_YCBCR * FIXED), jnp.int32)
    planes = ((picture[..., None, :] * to_ycbcr).sum(-1) + ROUNDING) // FIXED
    y = _coded(planes[..., 0].astype(jnp.float32), tables[0])

    def whole():
        return tuple(_coded(planes[..., i].astype(jnp.float32), tables[1]) for i in (1, 2))

    def halved():
        half = (used + 1) // 2
        coded = (_coded(_halve(planes[..., i]), tables[1]) for i in (1, 2))
        return tuple(_double(extend(plane, (half, half))) for plane in coded)

    if isinstance(subsampled, bool):
        cb, cr = halved() if subsampled else whole()
    else:
        cb, cr = (jnp.where(subsampled, *pair) for pair in zip(halved(), whole(), strict=True))
    cb, cr = cb - 128, cr - 128
    rgb = jnp.stack([y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb], -1)
    return extend(jnp.clip(jnp.floor(rgb + 0.5), 0, 255), (used, used), side)


def _coded(plane: Float[Array, "h w"], table: Int[Array, "8 8"]) -> Float[Array, "h w"]:
    """Transform, quantise and transform back; whole levels of 0..255."""
    height, width = plane.shape
    blocks = plane.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK) - 128
    cosines = jnp.asarray(COSINES, jnp.float32)
    coefficients = jnp.einsum("ui,aibj,vj->aubv", cosines, blocks, cosines, precision=_EXACT)
    eighths = jnp.floor(jnp.abs(coefficients) * BLOCK + 0.5).astype(jnp.int32)
    steps = table[:, None, :]
    counts = (eighths + steps * BLOCK // 2) // (steps * BLOCK)  # halves go away from zero
    kept = jnp.sign(coefficients) * (counts * steps)
    blocks = jnp.einsum("ui,aubv,vj->aibj", cosines, kept, cosines, precision=_EXACT)
    return jnp.clip(jnp.floor(blocks + 128.5), 0, 255).reshape(height, width)


def _halve(plane: Int[Array, "h w"]) -> Float[Array, "_ _"]:
    """Return the means of 2 x 2 levels, rounded; halves go up and down in turn, from column to column."""
    height, width = plane.shape
    sums = plane.reshape(height // 2, 2, width // 2, 2).sum((1, 3))
    return ((sums + 1 + jnp.arange(width // 2) % 2) // 4).astype(jnp.float32)


def _double(plane: Float[Array, "h w"]) -> Float[Array, "_ _"]:
    """Double the size: each level has 3/4 of the nearest one and 1/4 of the next, in each direction."""
    sums = _interleaved(plane, axis=0)
    sums = _interleaved(sums, axis=1)
    bias = jnp.where(jnp.arange(sums.shape[1]) % 2 == 0, 8, 7)  # of 16: halves go up on the left, down on the right
    return jnp.floor((sums + bias) / 16)


def _interleaved(plane: Float[Array, "h w"], *, axis: int) -> Float[Array, "_ _"]:
    """Return 3 · each + the one before it, and 3 · each + the one after it, along an axis."""
    length = plane.shape[axis]
    before = jnp.take(plane, np.maximum(np.arange(length) - 1, 0), axis=axis)
    after = jnp.take(plane, np.minimum(np.arange(length) + 1, length - 1), axis=axis)
    pairs = jnp.stack([3 * plane + before, 3 * plane + after], axis + 1)
    return pairs.reshape(*(2 * n if i == axis else n for i, n in enumerate(plane.shape)))
