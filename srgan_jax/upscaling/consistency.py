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

import numpy as np
from scipy import ndimage

from srgan_jax.errors import InputError
from srgan_jax.images.resize import imresize, nearest
from srgan_jax.types import DeepPicture
from srgan_jax.upscaling.tiles import Enlarged

# A picture is corrected window by window, so that little of SR is in floating point at any time. Bicubic enlargement
# reads 2 LR pixels beyond a window, and the reduction 2 more.
WINDOW, MARGIN = 64, 4  # LR pixels

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
    correction = _Correction(sr, lr, scale, border, low, high, *np.zeros((2, *lr.shape), np.float32))
    for _ in range(SMOOTH_PASSES_WITHIN if within else SMOOTH_PASSES):
        correction.improve(correction.smooth, STEP, correction.all, rounded=False)
    todo = correction.all
    for _ in range(BLOCK_PASSES):
        changed = correction.improve(correction.blocks, 1.0, todo, rounded=True)
        todo = ndimage.binary_dilation(changed, np.ones((3, 3)))  # those who read a window that has changed
    result = np.empty_like(sr)
    for window in correction.windows(correction.all):
        result[_times(window, scale)] = correction.levels(window, rounded=True)
    return result


def resize_levels(levels: DeepPicture, size: tuple[int, int], *, border: str = "symmetric") -> Enlarged:
    """Resize levels [H, W, C] by imresize to (rows, columns): uint8 is rounded after each pass, uint16 at the end."""
    if levels.shape[:2] == tuple(size):
        return levels
    if levels.dtype == np.uint8:
        return imresize(levels, size=size, border=border)
    return _round(imresize(levels.astype(np.float64), size=size, border=border), levels.dtype)


def _round(levels: np.ndarray, dtype: np.dtype) -> DeepPicture:
    return np.floor(np.clip(levels, 0, np.iinfo(dtype).max) + 0.5).astype(dtype)


Window = tuple[slice, slice]  # rows and columns


@dataclasses.dataclass(frozen=True)
class _Correction:
    """What is added to SR.

    Attributes:
      sr, lr, scale, border: as make_consistent has them.
      low, high: the limits of SR, levels of its shape.
      smooth: levels [H, W, C] that are added after bicubic enlargement.
      blocks: levels [H, W, C] that are added to all SR pixels under an LR pixel.
    """

    sr: Enlarged
    lr: DeepPicture
    scale: int
    border: str
    low: Enlarged
    high: Enlarged
    smooth: np.ndarray
    blocks: np.ndarray

    @functools.cached_property
    def all(self) -> np.ndarray:
        """A grid that chooses every window."""
        return np.ones([-(-length // WINDOW) for length in self.lr.shape[:2]], bool)

    def windows(self, chosen: np.ndarray) -> list[Window]:
        """Return the windows of LR that a grid chooses."""
        return [tuple(slice(WINDOW * at, WINDOW * (at + 1)) for at in place) for place in np.argwhere(chosen)]

    def improve(self, correction: np.ndarray, step: float, chosen: np.ndarray, *, rounded: bool) -> np.ndarray:
        """Add the residual to `correction` in the windows that a grid chooses; return the grid of those that change."""
        residuals = [self.residual(window, rounded=rounded) for window in self.windows(chosen)]
        for window, residual in zip(self.windows(chosen), residuals, strict=True):
            correction[window] += step * residual
        changed = np.zeros_like(chosen)
        changed[chosen] = [residual.any() for residual in residuals]
        return changed

    def residual(self, window: Window, *, rounded: bool) -> np.ndarray:
        """Return what the reduction of SR lacks of LR in a window, float64; 0 where rounded SR cannot give more."""
        seen = self.around(window)
        lr, sr = self.lr[seen].astype(np.float64), self.levels(seen, rounded=rounded)
        reduced = (resize_levels if rounded else imresize)(sr, size=lr.shape[:2], border=self.border)
        residual, sr = (lr - reduced)[_within(window, seen)], sr[_times(_within(window, seen), self.scale)]
        if rounded:
            at = _times(window, self.scale)
            limit = np.where(nearest(residual > 0, self.scale), self.high[at], self.low[at])
            movable = (sr != limit).reshape(len(residual), self.scale, -1, self.scale, sr.shape[2])
            residual *= movable.any((1, 3))
        return residual

    def levels(self, window: Window, *, rounded: bool) -> np.ndarray:
        """Return the corrected SR of a window, clipped; as float64 unless it is rounded."""
        seen = self.around(window)
        smooth = imresize(self.smooth[seen], self.scale, border=self.border)
        sr = smooth[_times(_within(window, seen), self.scale)] + nearest(self.blocks[window], self.scale)
        at = _times(window, self.scale)
        sr = np.clip(sr + self.sr[at], self.low[at], self.high[at])
        return _round(sr, self.sr.dtype) if rounded else sr

    def around(self, window: Window) -> Window:
        """Return a window and what is read around it, as far as there is LR."""
        pairs = zip(window, self.lr.shape, strict=False)
        return tuple(slice(max(0, side.start - MARGIN), min(side.stop + MARGIN, length)) for side, length in pairs)


def _within(window: Window, seen: Window) -> Window:
    """Return a window as counted from the start of another."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(window, seen, strict=True))


def _times(window: Window, scale: int) -> Window:
    """Return the SR pixels of a window of LR."""
    return tuple(slice(scale * side.start, scale * side.stop) for side in window)
