"""The parts of a picture that are computed at once, and where their results belong."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from srgan_jax.types import DeepPicture, Float, UInt8, UInt16

# A picture of another size than the one in the same signature; s stands for scale.
Enlarged = UInt8[np.ndarray, "sh sw sc"] | UInt16[np.ndarray, "sh sw sc"] | Float[np.ndarray, "sh sw sc"]

# What is enlarged: levels, or float32, of which LR is in [0, 1] and SR in [-1, 1].
Pixels = DeepPicture | Float[np.ndarray, "h w c"]


@dataclasses.dataclass
class Enlargement:
    """A picture that is being enlarged.

    Attributes:
      item: what the caller has given with the picture.
      lr: levels [H, W, C].
      sr: levels [scale · H, scale · W, channels] of the same dtype, which the tiles fill.
      work: LR pixels, times the groups of channels that are computed one by one.
      todo: how much of this work is left.
    """

    item: Any
    lr: Pixels
    sr: Enlarged
    work: int
    todo: int

    @classmethod
    def prepare(cls, item: Any, lr: Pixels, *, groups: int, channels: int, scale: int) -> "Enlargement":
        """Take the memory for the result of a network of this scale, which gives so many channels of each group."""
        height, width = lr.shape[:2]
        sr = np.empty((scale * height, scale * width, groups * channels), lr.dtype)
        return cls(item, lr, sr, work=height * width * groups, todo=height * width * groups)


@dataclasses.dataclass(frozen=True)
class Tile:
    """A part of a picture; pairs are of (rows, columns).

    Attributes:
      picture: the picture that the tile is a part of.
      start, stop: the first LR pixel of the tile, and the one after its last.
      margin: LR pixels on each side that are read too, as far as the picture has them.
      channels: of lr and of sr.
      canvas: LR pixels for which the network is compiled, multiples of `block`.
      block: LR pixels, the side of the blocks that the program computes one after the other.
    """

    picture: Enlargement
    start: tuple[int, int]
    stop: tuple[int, int]
    margin: int
    channels: tuple[slice, slice]
    canvas: tuple[int, int]
    block: int

    def window(self) -> Pixels:
        """Return the levels that are read, [h, w, C]."""
        (top, left), (bottom, right) = self._origin, (b + self.margin for b in self.stop)
        return self.picture.lr[top:bottom, left:right, self.channels[0]]

    def paste(self, levels: Pixels) -> float:
        """Put the tile's part of its enlarged window into the picture; returns the share of the picture's work."""
        scale = len(self.picture.sr) // len(self.picture.lr)
        (top, left), (bottom, right) = (scale * np.array(at) for at in (self.start, self.stop))
        y, x = scale * np.array(self._origin)
        self.picture.sr[top:bottom, left:right, self.channels[1]] = levels[top - y : bottom - y, left - x : right - x]
        pixels = math.prod(b - a for a, b in zip(self.start, self.stop, strict=True))
        self.picture.todo -= pixels
        return pixels / self.picture.work

    @property
    def _origin(self) -> tuple[int, int]:
        return tuple(max(0, a - self.margin) for a in self.start)

    @property
    def longest_side(self) -> int:
        return max(b - a for a, b in zip(self.start, self.stop, strict=True))

    def cut(self, sizes: tuple[int, int], **changes) -> Iterator["Tile"]:
        """Divide the tile into tiles of at most these sizes, with other changes of their attributes."""
        for start in itertools.product(*map(range, self.start, self.stop, sizes)):
            stop = tuple(map(min, (a + n for a, n in zip(start, sizes, strict=True)), self.stop))
            yield dataclasses.replace(self, start=start, stop=stop, **changes)


def batches(tiles: Iterable[Tile], size: int) -> Iterator[list[Tile]]:
    """Yield lists of at most `size` consecutive tiles that one program computes."""
    for _, same in itertools.groupby(tiles, lambda t: (t.canvas, t.block, t.picture.lr.shape[2], t.picture.lr.dtype)):
        while batch := list(itertools.islice(same, size)):
            yield batch
