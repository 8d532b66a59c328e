"""SR whose reduction is LR: then the network has added detail only, and has kept all that LR says about the picture.

Back-projection (Irani and Peleg, "Improving resolution by image registration", CVGIP 1991) reduces SR by D, enlarges by
E what the reduced picture lacks of LR, adds it to SR, and repeats this:

    SR <- SR + E(LR - D(SR))

Here D is MATLAB's bicubic `imresize` by 1 / scale, and E is the one by `scale`. The NTIRE challenges measure how
consistent a method is by the difference between LR and D(SR).

D tells the truth about pictures that were reduced by bicubic interpolation, as those of benchmarks are. Of any other
picture, such as a camera's, consistency makes one that would be reduced to it, noise and artefacts included.
"""

import dataclasses
import functools
from fractions import Fraction

import numpy as np
from scipy import ndimage

from srgan_jax.errors import InputError
from srgan_jax.images.resize import imresize, resize_matrix
from srgan_jax.types import DeepPicture
from srgan_jax.upscaling.tiles import Enlarged

# A picture is corrected window by window, so that little of SR is in floating point at any time. Windows are small, as
# the matrices that resize them are dense although bicubic ones are banded. Enlargement reads 2 LR pixels beyond a
# window, and reduction the SR pixels of 2.
WINDOW, MARGIN = 24, 2  # LR pixels

# First come passes of back-projection, whose correction is smooth. Details change less under D and E than flat areas
# do; a step a little above 1 serves both.
SMOOTH_PASSES, STEP = 6, 1.25
# Where each SR pixel has limits of its own, much of the correction is cut off, and more passes are needed.
SMOOTH_PASSES_WITHIN = 20
# What is left are a few pixels that rounding or clipping has put out of place: all SR pixels under an LR pixel are
# raised by what this pixel lacks, until the rounded reduction of the rounded SR is LR. Most pictures need 5 to 15 such
# passes, the later ones in few windows.
BLOCK_PASSES = 20


def make_consistent(
    sr: Enlarged,
    lr: DeepPicture,
    scale: int,
    *,
    border: str = "symmetric",
    within: tuple[Enlarged, Enlarged] | None = None,
) -> Enlarged:
    """Correct SR until its reduction is LR, level for level.

    An LR pixel is missed where its SR pixels would have to be below 0 or above the highest level, as beside overexposed
    areas. These SR pixels then are at the limit, and the LR pixel is as near as they bring it. With `within`, each SR
    pixel has limits of its own, which always hold.

    Args:
      sr: levels [scale · H, scale · W, C].
      lr: levels [H, W, C] of the same dtype.
      scale: of SR to LR.
      border: the rule by which LR was reduced at its border, see resize.imresize.
      within: the lowest and the highest levels that SR may have, of the shape and dtype of `sr`, such as those of
        invention.bounds; by default 0 and the highest level of the dtype.

    Returns:
      Levels of the shape and dtype of `sr`. resize_levels(result, (H, W), border=border) is `lr`, but for the pixels
      that are missed.

    Raises:
      InputError: the shapes or the dtypes do not belong together.
    """
    height, width, channels = lr.shape
    if sr.shape != (scale * height, scale * width, channels) or sr.dtype != lr.dtype:
        raise InputError(
            f"SR of shape {sr.shape} and dtype {sr.dtype} is not {scale} times LR of shape {lr.shape} and dtype "
            f"{lr.dtype}."
        )
    ends = np.iinfo(sr.dtype)
    low, high = within or (np.broadcast_to(sr.dtype.type(end), sr.shape) for end in (ends.min, ends.max))
    planes = (np.moveaxis(levels, 2, 0) for levels in (sr, lr, low, high))
    correction = _Correction(*planes, scale, border, *np.zeros((2, channels, height, width), np.float32))
    everywhere = correction.windows(np.ones((height, width), bool))
    for _ in range(SMOOTH_PASSES_WITHIN if within else SMOOTH_PASSES):
        correction.improve(correction.smooth, STEP, everywhere, rounded=False)
    windows = everywhere
    for _ in range(BLOCK_PASSES):
        changed = correction.improve(correction.blocks, 1.0, windows, rounded=True)
        windows = correction.windows(ndimage.maximum_filter(changed, 2 * MARGIN + 1))  # who reads what has changed
    result = np.empty_like(sr)
    for window in everywhere:
        result[_times(window, scale)] = np.moveaxis(correction.levels(window, rounded=True), 0, 2)
    return result


def resize_levels(levels: DeepPicture, size: tuple[int, int], *, border: str = "symmetric") -> Enlarged:
    """Resize levels [H, W, C] by imresize to (rows, columns): uint8 is rounded after each pass, uint16 at the end."""
    if levels.shape[:2] == tuple(size):
        return levels
    if levels.dtype == np.uint8:
        return imresize(levels, size=size, border=border)
    return _whole(imresize(levels.astype(np.float64), size=size, border=border), levels.dtype).astype(levels.dtype)


Window = tuple[slice, slice]  # rows and columns of LR


@dataclasses.dataclass(frozen=True)
class _Correction:
    """What is added to SR. All arrays are planes [C, H, W], which one matrix for each axis resizes.

    Attributes:
      sr, lr: levels.
      low, high: the limits of SR, levels of its shape.
      scale, border: as make_consistent has them.
      smooth: levels of LR's shape that are added after bicubic enlargement.
      blocks: levels of LR's shape that are added to all SR pixels under an LR pixel.
    """

    sr: np.ndarray
    lr: np.ndarray
    low: np.ndarray
    high: np.ndarray
    scale: int
    border: str
    smooth: np.ndarray
    blocks: np.ndarray

    def windows(self, chosen: np.ndarray) -> list[Window]:
        """Return the windows that have some of the chosen pixels, Booleans [H, W]."""
        for axis in (0, 1):
            chosen = np.logical_or.reduceat(chosen, range(0, chosen.shape[axis], WINDOW), axis=axis)
        return [
            tuple(slice(WINDOW * i, min(WINDOW * (i + 1), n)) for i, n in zip(place, self.lr.shape[1:], strict=True))
            for place in np.argwhere(chosen).tolist()
        ]

    def improve(self, correction: np.ndarray, step: float, windows: list[Window], *, rounded: bool) -> np.ndarray:
        """Add the residual to `correction` in these windows; return where that has changed it, Booleans [H, W]."""
        residuals = [self.residual(window, rounded=rounded) for window in windows]
        changed = np.zeros(correction.shape[1:], bool)
        for window, residual in zip(windows, residuals, strict=True):
            correction[:, *window] += step * residual
            changed[window] = residual.any(0)
        return changed

    def residual(self, window: Window, *, rounded: bool) -> np.ndarray:
        """Return what the reduction of SR lacks of LR in a window, float64; 0 where rounded SR cannot give more."""
        seen = self.around(window)
        sr, lr = self.levels(seen, rounded=rounded), self.lr[:, *window]
        rows, columns = self.matrices(seen, window, self.scale, 1)
        if not rounded:
            return lr - rows @ sr @ columns.T
        reduced = rows @ sr
        if lr.dtype == np.uint8:  # as imresize does
            reduced = _whole(reduced, lr.dtype)
        residual = lr - _whole(reduced @ columns.T, lr.dtype)
        # LR is missed at few pixels. Some SR pixel under each of them must not yet be at its limit.
        c, y, x = missed = np.nonzero(residual)
        y, x = (at + inner.start - outer.start for at, inner, outer in zip((y, x), window, seen, strict=True))
        low, high = (limit[:, *_times(seen, self.scale)] for limit in (self.low, self.high))
        shape = (len(sr), -1, self.scale, sr.shape[2] // self.scale, self.scale)
        sr, low, high = (levels.reshape(shape)[c, y, :, x] for levels in (sr, low, high))  # [missed, scale, scale]
        movable = np.where(residual[missed][:, None, None] > 0, sr < high, sr > low)
        residual[missed] *= movable.any((1, 2))
        return residual

    def levels(self, window: Window, *, rounded: bool) -> np.ndarray:
        """Return the corrected SR of a window, clipped, as float64; whole levels, `blocks` included, if `rounded`."""
        seen, at = self.around(window), _times(window, self.scale)
        rows, columns = self.matrices(seen, window, 1, self.scale)
        sr = rows @ self.smooth[:, *seen] @ columns.T
        sr += self.sr[:, *at]
        if rounded:
            blocks = np.repeat(self.blocks[:, *window], self.scale, axis=2)[:, :, None]
            sr.reshape(*blocks.shape[:2], self.scale, -1)[:] += blocks
        np.clip(sr, self.low[:, *at], self.high[:, *at], out=sr)
        return _whole(sr, self.sr.dtype) if rounded else sr

    def matrices(self, seen: Window, window: Window, before: int, after: int) -> list[np.ndarray]:
        """Return the matrices of rows and columns that resize `seen` by after / before and give what is in `window`."""
        return [
            _matrix(*(at - outer.start for at in (inner.start, inner.stop, outer.stop)), before, after, self.border)
            for inner, outer in zip(window, seen, strict=True)
        ]

    def around(self, window: Window) -> Window:
        """Return a window and what is read around it, as far as there is LR."""
        pairs = zip(window, self.lr.shape[1:], strict=True)
        return tuple(slice(max(0, side.start - MARGIN), min(side.stop + MARGIN, length)) for side, length in pairs)


@functools.lru_cache(maxsize=64)
def _matrix(start: int, stop: int, length: int, before: int, after: int, border: str) -> np.ndarray:
    """Return the part from `start` to `stop` of the matrix that resizes `length` LR pixels by after / before."""
    whole = resize_matrix(before * length, after * length, Fraction(after, before), border=border)
    return whole[after * start : after * stop]


def _whole(levels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round levels to those that a dtype has, without a change of their own dtype; halves go up, as in imresize."""
    return np.floor(np.clip(levels, 0, np.iinfo(dtype).max) + (0.5 + 1e-9))


def _times(window: Window, scale: int) -> Window:
    """Return the SR pixels of a window."""
    return tuple(slice(scale * side.start, scale * side.stop) for side in window)
