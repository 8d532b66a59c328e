"""Batches of crops.

Each batch is a pure function of (seed, step). Only caches live from one batch to the next, so the number of threads,
processes and restarts changes no batch. The host only cuts crops; the accelerator makes LR images, flips and turns.
"""

import collections
import functools
import logging
import threading
from collections.abc import Callable, Iterator

import numpy as np

from srgan_jax.data.protocol import Measured, Source
from srgan_jax.errors import InputError
from srgan_jax.images import ImageError
from srgan_jax.images.resize import MARGIN_LR
from srgan_jax.types import Picture

Sample = Picture | Measured  # what a source gives, or a crop of it

_log = logging.getLogger("srgan_jax")


def random_stream(*key: int) -> np.random.Generator:
    """Return the random stream of a key. SeedSequence mixes keys, so that adjacent keys have unrelated streams."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


_EPOCH, _AREA, _CROP = range(3)  # The second number of a stream's key says what the stream is for.


class CropLoader:
    """Random crops of a source's pictures.

    Args:
      source: the pictures.
      batch_size: B, the number of crops in a global batch.
      crop_size: S, the side of a crop in HR pixels, a multiple of `scale`.
      scale: the enlargement. Crops start at its multiples, so that an LR crop is a crop of the picture's LR image.
      seed: a number that is not negative. Another seed gives other orders and crops.
      sampling: "image" takes every picture once per epoch; "area" draws pictures in proportion to their area.
      augment: whether to draw flips and turns too.
      cache_mb: how much memory decoded pictures may fill, in MiB.

    Attributes:
      skipped: {name: reason} of the pictures found unusable so far, because they are unreadable or smaller than a crop.
      reading: {thread: name} of the pictures that are being read.

    Raises:
      InputError: a value is out of range, or the source has no pictures.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        crop_size: int,
        scale: int,
        seed: int,
        sampling: str = "image",
        augment: bool = True,
        cache_mb: float = 2048,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("scale", scale, 1),
            ("crop_size", crop_size, scale),
            ("seed", seed, 0),
            ("cache_mb", cache_mb, 0),
            ("the number of pictures", len(source), 1),
        ):
            if value < least:
                raise InputError(f"{name} must be at least {least}, got {value}.")
        if crop_size % scale:
            nearest = crop_size // scale * scale
            raise InputError(f"crop_size must be a multiple of scale={scale}, got {crop_size}; try {nearest}.")
        if sampling not in _SAMPLINGS:
            raise InputError(f"sampling must be one of {', '.join(_SAMPLINGS)}, got {sampling!r}.")
        self.source, self.batch_size, self.crop_size, self.scale = source, batch_size, crop_size, scale
        self.seed, self.augment = seed, augment
        self.skipped: dict[str, str] = {}
        self.reading: dict[int, str] = {}
        self._usable: dict[int, bool] = {}
        self._lock = threading.Lock()
        self._cache = _Cache(max_bytes=int(cache_mb * 2**20))
        self._order = _SAMPLINGS[sampling](self)

    def batch(self, step: int, *, shard: tuple[int, int] = (0, 1)) -> dict[str, np.ndarray]:
        """Make the batch of a step, or one process's rows of it. The result depends on (seed, step, shard) alone.

        Args:
          step: the number of the step, from 0.
          shard: (index, count) asks for the index-th of count equal contiguous parts of the global batch.

        Returns:
          A dict of newly allocated arrays:
          hr: uint8 [B / count, S + 4 scale, S + 4 scale, C]. The crops have a margin of 2 scale pixels on each side,
            in which the picture is mirrored where it ends.
          turn: int32 [B / count] in 0..7, the flips and turns to apply (see images.turn); 0 without augmentation.

        Raises:
          InputError: no picture of the source is usable, or count does not divide B.
        """
        index, count = shard
        if self.batch_size % count:
            raise InputError(f"batch_size={self.batch_size} must be a multiple of the {count} processes.")
        rows = self.batch_size // count
        slots = range(index * rows, (index + 1) * rows)
        # The numbers are drawn for the global batch. So a slot gets the same numbers whatever shard asks for it.
        rng = random_stream(self.seed, _CROP, step)
        places = rng.random((self.batch_size, 2))
        turn = rng.integers(8, size=self.batch_size, dtype=np.int32) * np.int32(self.augment)
        order, start = self._order(step)
        margin, hr = MARGIN_LR * self.scale, None
        size = self.crop_size + 2 * margin
        for row, slot in enumerate(slots):
            image = self._pick(order, start, slot)
            hr = np.empty((rows, size, size, image.shape[2]), image.dtype) if hr is None else hr
            y, x = (
                int(place * ((side - self.crop_size) // self.scale + 1)) * self.scale - margin
                for place, side in zip(places[slot].tolist(), image.shape, strict=False)
            )
            hr[row] = _window(image, y, x, size)
        return {"hr": hr, "turn": turn[slots.start : slots.stop]}

    def _candidates(self, order: np.ndarray, start: int, slot: int) -> Iterator[int]:
        """Yield the pictures to try for a slot, best first. If the source has B pictures, no two slots share one."""
        length = len(order) // self.batch_size * self.batch_size
        for position in range(start + slot, start + slot + length, self.batch_size):
            yield int(order[position % length])

    def _pick(self, order: np.ndarray, start: int, slot: int) -> Sample:
        """Return a slot's first usable candidate. Other slots, and so other processes' pictures, are rarely read."""
        for index in self._candidates(order, start, slot):
            image = self._image(index)
            if image is not None:
                return image
        # It is rare that all candidates are unusable. Such slots get, in turn, usable pictures that no other slot has.
        slots = range(self.batch_size)
        taken = [next(filter(self._is_usable, self._candidates(order, start, other)), None) for other in slots]
        spare = [index for index in dict.fromkeys(order.tolist()) if index not in taken and self._is_usable(index)]
        choices = spare + [index for index in taken if index is not None]
        if not choices:
            first = self.skipped[self.source.name(0)]
            raise InputError(f"none of the {len(self.source)} images can be used for training; the first one: {first}")
        rank = sum(index is None for index in taken[:slot])
        return self._image(choices[rank % len(choices)])

    def _is_usable(self, index: int) -> bool:
        return self._usable[index] if index in self._usable else self._image(index) is not None

    def _image(self, index: int) -> Sample | None:
        """Return a picture, uint8 [H, W, C], cut to multiples of the scale; None if it is unusable."""
        if not self._usable.get(index, True):
            return None
        image = self._cache.get(index)
        if image is None:
            self.reading[threading.get_ident()] = self.source.name(index)
            try:
                image = self.source[index]
                self._check_size(index, *image.shape[:2])
            except ImageError as error:
                return self._skip(index, str(error))
            finally:
                self.reading.pop(threading.get_ident(), None)
            height, width = (side // self.scale * self.scale for side in image.shape[:2])
            image = image[:height, :width]
            self._usable[index] = True
            if not self.source.raw:
                self._cache.put(index, image)
        return image

    def _check_size(self, index: int, height: int, width: int) -> int:
        """Return the picture's area in pixels, or raise an ImageError if no crop fits into it."""
        if min(height, width) < self.crop_size:
            size = f"{self.crop_size}x{self.crop_size}"
            raise ImageError(f"{self.source.name(index)}: {width}x{height} pixels are too few for a crop of {size}.")
        return height * width

    def _skip(self, index: int, reason: str) -> None:
        """Remember that a picture is unusable, and log this once."""
        with self._lock:
            if self._usable.get(index, True):
                self._usable[index] = False
                self.skipped[self.source.name(index)] = reason
                _log.warning("left out of training: %s", reason)

    def _areas(self) -> np.ndarray:
        """Return every picture's area in pixels, or 0 where the header already shows that the picture is unusable."""
        areas = np.zeros(len(self.source))
        for index in range(len(areas)):
            try:
                areas[index] = self._check_size(index, *self.source.size(index))
            except ImageError as error:
                self._skip(index, str(error))
        return areas


def _window(image: Sample, y: int, x: int, size: int) -> np.ndarray:
    """Cut [size, size, C] out of an image from (y, x) on. Outside of the image its mirror image continues it."""
    window = image[max(y, 0) : y + size, max(x, 0) : x + size]
    for axis, (start, side) in enumerate(zip((y, x), image.shape, strict=False)):
        before, after = max(-start, 0), max(start + size - side, 0)
        # A second round comes only where the margin is larger than the picture. np.pad would take four times longer.
        while before or after:
            line = window.swapaxes(0, axis)
            head, tail = line[:before][::-1], line[max(len(line) - after, 0) :][::-1]
            window = np.concatenate([head, line, tail]).swapaxes(0, axis)
            before, after = before - len(head), after - len(tail)
    return window


# A sampling gives for each step an order of pictures, and the place in this order at which the batch starts. Where
# there are B pictures, any B in a row are distinct. Where there are fewer, the order repeats them as evenly as it can.


def _by_image(loader: CropLoader) -> Callable[[int], tuple[np.ndarray, int]]:
    """Pass over a new permutation of the pictures in each epoch."""
    count, size, repeats = len(loader.source), loader.batch_size, -(-loader.batch_size // len(loader.source))

    @functools.lru_cache(maxsize=2)  # Threads may be on both sides of an epoch's end.
    def permutation(epoch: int) -> np.ndarray:
        rng = random_stream(loader.seed, _EPOCH, epoch)
        return np.concatenate([rng.permutation(count) for _ in range(repeats)])

    def order(step: int) -> tuple[np.ndarray, int]:
        epoch, batch = divmod(step, repeats * count // size)
        return permutation(epoch), batch * size

    return order


def _by_area(loader: CropLoader) -> Callable[[int], tuple[np.ndarray, int]]:
    """Draw pictures without replacement in each step, in proportion to their areas.

    Every picture gets a random time from an exponential distribution whose mean is 1 / area. The order of these times
    is the order of the draw.
    """
    areas, repeats = loader._areas(), -(-loader.batch_size // len(loader.source))
    mean = np.divide(1.0, areas, out=np.full(len(areas), np.inf), where=areas > 0)

    def order(step: int) -> tuple[np.ndarray, int]:
        rng = random_stream(loader.seed, _AREA, step)
        return np.concatenate([np.argsort(rng.standard_exponential(len(mean)) * mean) for _ in range(repeats)]), 0

    return order


_SAMPLINGS = {"image": _by_image, "area": _by_area}


class _Cache:
    """Keep the most recently used pictures, up to a number of bytes. Several threads may use one cache."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._images: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()
        self._lock = threading.Lock()

    def get(self, index: int) -> Sample | None:
        with self._lock:
            if index in self._images:
                self._images.move_to_end(index)
            return self._images.get(index)

    def put(self, index: int, image: Sample) -> None:
        with self._lock:
            if index not in self._images:
                self._images[index] = image
                self._bytes += image.nbytes
            while self._bytes > self._max_bytes:
                self._bytes -= self._images.popitem(last=False)[1].nbytes
