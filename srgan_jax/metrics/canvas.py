"""Pictures of many sizes on canvases of few sizes, so that few programs are compiled for them.

A picture lies in the upper left corner of its canvas, and everything outside it is zero. That is what the padding of a
convolution is too, so the values inside are those of the picture alone as long as the outside is zero before each
convolution. Functions here therefore take `sizes`, the heights and widths of the pictures; None stands for pictures
that fill their canvas.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from srgan_jax.errors import InputError
from srgan_jax.images import hr_to_signed
from srgan_jax.images.montage import as_rgb
from srgan_jax.types import Array, Features, Float, Int, Picture, UInt8

STEP = 64  # sides of canvases are multiples of it
PIXELS = 1 << 20  # of the canvases of one batch, unless a single one has more

Sizes = Int[Array, "n 2"]  # heights and widths
Means = Float[Array, "n c"]
Distances = Float[Array, " n"]
Pair = tuple[np.ndarray, np.ndarray]  # SR and HR: uint8 [H, W], [H, W, 1] or [H, W, 3]


def inside(x: Features, sizes: Sizes | None) -> Features:
    """Set to zero what lies outside the pictures."""
    if sizes is None:
        return x
    rows, columns = (jnp.arange(n) < sizes[:, axis, None] for axis, n in enumerate(x.shape[1:3]))
    return jnp.where((rows[:, :, None] & columns[:, None, :])[..., None], x, 0)


def average(x: Features, sizes: Sizes | None) -> Means:
    """Return the mean over the pixels of each picture, of maps that are zero outside."""
    pixels = math.prod(x.shape[1:3]) if sizes is None else sizes.prod(axis=1, keepdims=True)
    return x.sum(axis=(1, 2)) / pixels


def window_places(sizes: Sizes | None, window: int, *, stride: int, padding: int) -> Sizes | None:
    """Return how many places a window has along sides of these lengths: the size of what it computes."""
    return None if sizes is None else (sizes + 2 * padding - window) // stride + 1


def make_score(
    distance: Callable[..., Distances],
    params: Any,
    *,
    name: str,
    smallest: int,
    convert: Callable[[UInt8[Array, "n h w 3"]], Array] = hr_to_signed,
) -> Callable[[Sequence[Pair]], list[float]]:
    """Build a measure of pairs of pictures of any sizes from a distance between batches of images.

    Args:
      distance: (params, sr, hr, sizes=…) -> [N], for images [N, H, W, 3].
      params: what it takes first.
      name: of the measure, for messages.
      smallest: the fewest rows and columns that a picture may have.
      convert: what makes the images that `distance` takes of uint8 RGB; by default they are in [-1, 1].

    Returns:
      score(pairs) -> one number for each pair (sr, hr). A picture is uint8 [H, W], [H, W, 1] or [H, W, 3]; a grey one
      counts as RGB with three equal channels. Pictures are computed on canvases whose sides are multiples of STEP, in
      batches, in float32 at the highest precision of products; each canvas is compiled once.

      It raises an InputError for pictures whose sizes differ, or that are no such arrays, or too small.
    """
    params = jax.device_put(params)

    @jax.jit
    def run(params, sr, hr, sizes):
        with jax.default_matmul_precision("highest"):
            return distance(params, convert(sr), convert(hr), sizes=sizes)

    def score(pairs: Sequence[Pair]) -> list[float]:
        pairs = [checked_pair(sr, hr, name=name, smallest=smallest) for sr, hr in pairs]
        scores = np.zeros(len(pairs))
        for indices in batches([hr.shape for _, hr in pairs]):
            sr, hr = (np.stack([_on_canvas(pairs[i][side]) for i in indices]) for side in (0, 1))
            sizes = np.array([pairs[i][0].shape[:2] for i in indices], np.int32)
            scores[indices] = run(params, sr, hr, sizes)
        return scores.tolist()

    return score


def checked_pair(sr: np.ndarray, hr: np.ndarray, *, name: str, smallest: int) -> tuple[Picture, Picture]:
    """Return SR and HR as RGB.

    Raises:
      InputError: they are no uint8 pictures of one size with at least `smallest` rows and columns.
    """
    if sr.shape[:2] != hr.shape[:2]:
        raise InputError(f"{name} compares pictures of one size, got SR of {_size(sr)} and HR of {_size(hr)} pixels.")
    return tuple(as_rgb(checked(picture, name=name, smallest=smallest)) for picture in (sr, hr))


def checked(picture: np.ndarray, *, name: str, smallest: int = 1) -> Picture:
    """Return the picture as [H, W, 1 or 3].

    Raises:
      InputError: it is no uint8 picture [H, W], [H, W, 1] or [H, W, 3] with at least `smallest` rows and columns.
    """
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (1,), (3,)):
        raise InputError(
            f"{name} takes grey or RGB pictures of 8 bits, uint8 [H, W], [H, W, 1] or [H, W, 3], got {picture.dtype} "
            f"{list(picture.shape)}; convert the picture first."
        )
    if min(picture.shape[:2]) < smallest:
        raise InputError(
            f"{name} needs pictures of at least {smallest}x{smallest} pixels, got {_size(picture)}; leave this one out."
        )
    return np.atleast_3d(picture)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _canvas(shape: tuple[int, ...], step: int = STEP) -> tuple[int, int]:
    return tuple(-(-side // step) * step for side in shape[:2])


def _on_canvas(picture: Picture) -> UInt8[np.ndarray, "_ _ c"]:
    height, width = _canvas(picture.shape)
    return np.pad(picture, ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)))


def batches(shapes: Sequence[tuple[int, ...]], *, step: int = STEP) -> Iterator[list[int]]:
    """Yield indices of pictures that share a canvas, in batches of one length for each canvas.

    The sides of canvases are multiples of `step`. The last batch of a canvas is filled up with its last picture, so
    that no further program is compiled for it.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for i, shape in enumerate(shapes):
        groups.setdefault(_canvas(shape, step), []).append(i)
    for canvas, indices in groups.items():
        length = min(len(indices), max(1, PIXELS // math.prod(canvas)))
        for start in range(0, len(indices), length):
            batch = indices[start : start + length]
            yield batch + batch[-1:] * (length - len(batch))
