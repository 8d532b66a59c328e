"""The paper's metrics (section 3.1): the tools of the daala project at commit 8d03668, in NumPy.

The paper says "y-channel" and names daala. Its Table 2 is reproduced to the printed digit by daala's `png2y4m` with
default flags (BT.709, 4:2:0, dithered), followed by `dump_psnr` on 8-bit luma and by `dump_ssim`. The colour conversion
is integer arithmetic throughout. This module does it in int64, so that every luma level is the original program's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
from scipy.ndimage import correlate1d

_LEVEL = 9745792000  # one level of 16-bit colour in png2y4m's fixed-point units
_LUMA_STEP = 2916394880000  # one level of 8-bit luma
_AMPLITUDES = np.array([1223320000, 1479548743, 1255654969])  # of the dither of y, cb, cr
_MASK = 2**32 - 1
_Z_MODULUS, _W_MODULUS = (a * 2**16 - 1 for a in (36969, 18000))


def luma(image: np.ndarray) -> np.ndarray:
    """Convert an image to luma as `png2y4m` does by default: BT.709 in 16..235, dithered, chroma at half resolution.

    For each level there are two candidates. The one is taken that, together with the quantised chroma of its 2x2 block,
    is nearer to the dithered colour. So luma depends on the block and on the pixel's position: crop before the
    conversion, not after it.

    Args:
      image: uint8 [H, W] (grey is taken as equal R, G, B) or [H, W, 3].

    Returns:
      uint8 [H, W], in 0..255.
    """
    height, width = image.shape[:2]
    rows, columns = (height + 1) // 2, (width + 1) // 2
    if image.ndim == 2:
        image = np.broadcast_to(image[..., None], (height, width, 3))

    # Channels first and blocks last: [3, 2, 2, rows, columns], where [:, dy, dx] is one corner of every block.
    colour = np.empty((3, 2, 2, rows, columns), np.int64)
    noise = _dither(max(rows * columns - 1, 4095).bit_length())[..., : rows * columns].reshape(colour.shape)
    for dy, dx in np.ndindex(2, 2):
        corner = image[dy::2, dx::2].transpose(2, 0, 1)
        _, h, w = corner.shape
        np.multiply(corner, 257, out=colour[:, dy, dx, :h, :w], dtype=np.int64)
        colour[:, dy, dx, :h, :w] += noise[:, dy, dx, :h, :w]
    if width % 2:  # a missing column, then a missing row, repeats its (dithered) neighbour
        colour[:, :, 1, :, -1] = colour[:, :, 0, :, -1]
    if height % 2:
        colour[:, 1, :, -1] = colour[:, 0, :, -1]

    r, g, b = colour.sum(axis=(1, 2))
    cb = np.clip(_rdiv(-29764 * r - 100128 * g + 129892 * b, 304016865) + 128, 0, 255) - 128
    cr = np.clip(_rdiv(110236 * r - 100128 * g - 10108 * b, 258011295) + 128, 0, 255) - 128
    # What chroma adds to R, G and B.
    shift = (4490222169144 * cr, -534117096223 * cb - 1334761232047 * cr, 5290866304968 * cb)

    weighted = sum(
        weight * ((c * _LEVEL - k + 4096) >> 13) for weight, c, k in zip((1063, 3576, 361), colour, shift, strict=True)
    )
    low = np.clip(weighted // 1780026171875, -16, 238)

    # Squared error of the upper candidate less that of the lower: (c - u)² - (c - l)² = (u - l)(u + l - 2c).
    excess = 0
    lift = _LUMA_STEP * low
    for c, k in zip(colour, shift, strict=True):
        lower, upper = lift + (k + _LEVEL // 2), lift + (k + _LEVEL // 2 + _LUMA_STEP)
        for x in (lower, upper):  # rounding to nearest; what a negative tie would change is clipped away
            x //= _LEVEL
            np.clip(x, 0, 65535, out=x)
        excess += (upper - lower) * (upper + lower - 2 * c)
    level = low + ((excess < 0) | ((excess == 0) & (low % 2 != 0)))  # on a tie the even level
    blocks = (level + 16).astype(np.uint8)  # [2, 2, rows, columns]
    return blocks.transpose(2, 0, 3, 1).reshape(2 * rows, 2 * columns)[:height, :width]


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Compute the SSIM of two uint8 planes [H, W] as daala's `dump_ssim -r` does.

    Unlike Wang's SSIM, this one scores every pixel. At the border the window loses the taps that fall outside, and a
    pixel counts by the taps that are left. The window is an integer Gaussian whose width grows with the image:
    sigma = 1.5 * H / 256.
    """
    height, width = x.shape
    rows = columns = _window(height, min(height, width) - 1)
    x, y = x.astype(np.float64), y.astype(np.float64)  # all sums below are whole numbers under 2^53: exact

    def blur(image):
        return correlate1d(correlate1d(image, rows, axis=0, mode="constant"), columns, axis=1, mode="constant")

    sx, sy, sxy, squares = blur(x), blur(y), blur(x * y), blur(x * x + y * y)
    w = np.outer(*(correlate1d(np.ones(n), rows, mode="constant") for n in (height, width)))
    c1, c2 = (255**2 * k * w**2 for k in (1e-4, 9e-4))
    product, energy = sx * sy, sx * sx + sy * sy
    quality = (2 * product + c1) * (2 * (w * sxy - product) + c2)
    quality /= (energy + c1) * (w * squares - energy + c2)
    return float((w * quality).sum() / w.sum())


def _window(height: int, longest: int) -> np.ndarray:
    """Return `dump_ssim`'s taps in units of 1/256.

    The window is as long as a tap can reach half a unit. The centre tap takes up what rounding leaves.
    """
    sigma = 1.5 * height / 256
    smallest = math.sqrt(math.pi / 2) * sigma / 256
    half = 0 if smallest >= 1 else min(int(sigma * math.sqrt(-2 * math.log(smallest))), longest)
    offset = np.arange(-half, half + 1)
    taps = np.floor(256 * np.exp(-0.5 * (offset / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi)) + 0.5)
    taps[half] += 256 - taps.sum()
    return taps


def _rdiv(x: np.ndarray, y: int) -> np.ndarray:
    """Divide integers, x / y with y > 0, and round to the nearest integer, halves away from zero."""
    return np.sign(x) * ((2 * np.abs(x) + y) // (2 * y))


@functools.cache
def _dither(log2_blocks: int) -> np.ndarray:
    """Return what `png2y4m`'s dither adds to 16-bit R, G, B in the first blocks of 2x2 pixels: int16 [3, 2, 2, blocks].

    There are 2**log2_blocks blocks. The random generator restarts for every image, so the noise is equal for all
    images. It is made once for each power of two and kept, which takes 24 bytes a block, or 24 MB for a 2048x1365
    photograph.
    """
    blocks = 1 << log2_blocks
    chunks, rest = [], np.empty(0, np.uint32)
    for draws in _kiss99():
        used = _accepted(np.concatenate([rest, draws]))
        whole = len(used) // 24 * 24  # 4 corners of (y, cb, cr), each the difference of two draws
        chunks.append(_noise(used[:whole]))
        rest = used[whole:]
        if sum(chunk.shape[-1] for chunk in chunks) >= blocks:
            break
    return np.ascontiguousarray(np.concatenate(chunks, axis=-1)[..., :blocks])


def _noise(draws: np.ndarray) -> np.ndarray:
    """Return what draws, uint32 [24 * blocks], add to R, G, B: int16 [3, 2, 2, blocks]."""
    draws = draws.astype(np.int64).reshape(-1, 4, 3, 2).transpose(2, 3, 1, 0)
    y, cb, cr = (  # triangular in ±amplitude; each [4, blocks]
        first - second for first, second in (_remainder(x, n + 1) for x, n in zip(draws, _AMPLITUDES, strict=True))
    )
    cb, cr = cb[0], cr[0]  # every corner draws its own chroma, but all use the first one's
    red, blue = _rdiv(2 * y + 3 * cr, 8176000), _rdiv(2 * y + 3 * cb, 8176000)
    green = _rdiv(2384 * y + 361 * cb + 1063 * cr, _LEVEL)
    return np.stack([red, green, blue]).astype(np.int16).reshape(3, 2, 2, -1)


def _accepted(draws: np.ndarray) -> np.ndarray:
    """Return the draws that rejection sampling keeps when it begins with the first draw of a y.

    Six kinds of draws take turns. Whether a draw is kept depends on whose turn it is, and so on all draws before. So
    the draws are cut into lanes, every lane is walked from all six turns at once, and then the lanes are joined end to
    start.
    """
    length, next_turn = 256, np.roll(np.arange(6, dtype=np.intp), -1)
    draws = np.concatenate([draws, np.full(-len(draws) % length, _MASK, np.uint32)])  # padding is always rejected
    lanes = draws.reshape(-1, length)
    limits = np.repeat(_MASK // (_AMPLITUDES + 1) * (_AMPLITUDES + 1), 2).astype(np.uint32)
    kept = np.empty((length, 6, len(lanes)), bool)
    turn = np.repeat(np.arange(6)[:, None], len(lanes), axis=1)
    for step, draw in enumerate(np.ascontiguousarray(lanes.T)):
        np.less(draw, limits[turn], out=kept[step])
        turn = np.where(kept[step], next_turn[turn], turn)
    start = [0]
    for end in turn.T[:-1]:
        start.append(end[start[-1]])
    return lanes[kept[:, start, np.arange(len(lanes))].T]


def _kiss99() -> Iterator[np.ndarray]:
    """Yield the values of Marsaglia's KISS99 with `png2y4m`'s seeds, as uint32 arrays of 2**18.

    The four parts of KISS99 are linear. So n steps at once cost no more than one step, and n steps from each of the
    first n states give the next n states. The array is doubled until it is long enough; then whole arrays follow.
    """
    bits = np.uint64(1) << np.arange(32, dtype=np.uint64)
    for left, right in ((17, 0), (0, 13), (5, 0)):
        bits ^= (bits << np.uint64(left) if left else bits >> np.uint64(right)) & np.uint64(_MASK)
    jump = (36969, 18000, bits, (69069, 1234567))
    states = [np.array([seed], np.uint64) for seed in (362436069, 521288629, 123456789, 380116160)]
    states = _advance(states, jump)
    for _ in range(18):
        states = [np.concatenate(pair) for pair in zip(states, _advance(states, jump), strict=True)]
        jump = _twice(jump)
    while True:
        z, w, shift, congruential = states
        yield ((((z << np.uint64(16)) + w) ^ congruential) + shift).astype(np.uint32)
        states = _advance(states, jump)


def _advance(states: list[np.ndarray], jump: tuple) -> list[np.ndarray]:
    """Move KISS99's parts by as many steps as `jump` stands for.

    Multiply-with-carry by a, with 16-bit words, is multiplication by a modulo a * 2^16 - 1. The shift register is
    linear over bits, so `jump` says where each bit goes. The congruential generator is affine.
    """
    z, w, shift, congruential = states
    za, wa, bits, (a, c) = jump
    return [
        _remainder(z * za, _Z_MODULUS),
        _remainder(w * wa, _W_MODULUS),
        _map_bits(bits, shift),
        (a * congruential + c) & _MASK,
    ]


def _remainder(x: np.ndarray, y: int | np.int64) -> np.ndarray:
    return x - x // y * y  # This is much faster than %, which NumPy does not vectorise.


def _twice(jump: tuple) -> tuple:
    """Return the jump that stands for twice as many steps."""
    za, wa, bits, (a, c) = jump
    return za * za % _Z_MODULUS, wa * wa % _W_MODULUS, _map_bits(bits, bits), (a * a & _MASK, (a * c + c) & _MASK)


def _map_bits(bits: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the xor of bits[i] over the bits i that are set in x. A table does a byte at a time."""
    out = np.zeros_like(x)
    for byte in range(0, 32, 8):
        table = np.zeros(1, np.uint64)
        for bit in bits[byte : byte + 8]:
            table = np.concatenate([table, table ^ bit])
        out ^= table[(x >> np.uint64(byte) & np.uint64(255)).astype(np.intp)]  # NumPy gathers fast by intp only
    return out
