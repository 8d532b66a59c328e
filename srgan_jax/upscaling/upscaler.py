"""A picture of any size -> one `scale` times as large, in memory that does not depend on its size.

The network is compiled once, for a canvas of LR pixels. A picture that fits on the canvas is computed at once, a larger
one in tiles. A tile is computed from a window that is larger by the network's receptive radius, so that its pixels are
those of the whole picture.
"""

import collections
import contextlib
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from srgan_jax.errors import InputError
from srgan_jax.images import signed_to_integers
from srgan_jax.models import fold_batch_norm
from srgan_jax.models.residual import ResidualGenerator
from srgan_jax.parallel import sharding
from srgan_jax.types import AnyArray, Array, Variables
from srgan_jax.upscaling import turns
from srgan_jax.upscaling.borders import check_layers
from srgan_jax.upscaling.options import TILE, check_tile
from srgan_jax.upscaling.program import compile_enlarge, features_shape, stack_blocks
from srgan_jax.upscaling.tiles import Enlarged, Enlargement, Pixels, Tile, batches

SMALLEST_TILE = 16  # LR pixels; where not even this fits into the memory, there is no use in trying on

# Sides of the blocks that a program computes, in LR pixels: small enough to waste little at the end of a picture, large
# enough to keep the device busy.
BLOCK_ON_CPU, BLOCK = 64, 256
# The block of a network that is computed window by window, in receptive radii. A window is larger than its block by two
# of them, so that it holds at most (6 / 4)² times the pixels of the block.
BLOCK_OF_WINDOWS = 4

_log = logging.getLogger("srgan_jax")

Item = TypeVar("Item")


@runtime_checkable
class TrainedNetwork(Protocol):
    """What an Upscaler needs of a generators.Generator."""

    module: object  # models.GeneratorNetwork
    variables: Variables
    info: dict


def raise_error(item: Any, error: Exception) -> NoReturn:
    """Raise the error of a picture, where the caller wants nothing else to happen."""
    raise error


class Upscaler:
    """A network that is ready to enlarge pictures, in float32 at the highest precision.

    Args:
      generator: generators.Generator. BatchNorm is folded into the convolutions of a residual network.
      tile: LR pixels computed at once in each direction, halved when the device's memory runs out; 0: all of a picture,
        with a canvas of its size.
      ensemble: average over the eight flips and turns, before rounding (Timofte et al., "Seven ways to improve
        example-based single image super resolution", CVPR 2016).
      devices: they share the tiles; by default the first alone.
      progress: called for each tile that is done with (share of the work on its picture, SR pixels).

    Raises:
      InputError: `tile` is out of its range, or the network has a layer that cannot be computed in tiles.
    """

    def __init__(
        self,
        generator: TrainedNetwork,
        *,
        tile: int = TILE,
        ensemble: bool = False,
        devices: list[jax.Device] | None = None,
        progress: Callable[[float, float], object] = lambda share, pixels: None,
    ) -> None:
        check_tile(tile)
        self.generator, self.tile, self.ensemble, self.progress = generator, tile, ensemble, progress
        if ensemble and generator.module.inputs != generator.module.channels:
            raise InputError("a network with a guide cannot average over flips and turns; leave the ensemble out.")
        margin = generator.module.receptive_radius
        if 0 < tile < margin:
            _log.warning(
                "A tile of %d pixels is computed from %d, %.0f times the work; a tile of %d or more wastes little.",
                tile,
                tile + 2 * margin,
                (1 + 2 * margin / tile) ** 2,
                4 * margin,
            )
        self._mesh = sharding.create_mesh(jax.local_devices()[:1] if devices is None else devices)
        if isinstance(generator.module, ResidualGenerator):
            self.module, variables = fold_batch_norm(generator.module, generator.variables)
            variables = stack_blocks(self.module, variables["params"])
        else:
            self.module, variables = generator.module, generator.variables
            check_layers(self.module, variables)
        self._variables = jax.device_put(variables, sharding.replicated(self._mesh))
        self._features = None  # of the last canvas; the next one takes their memory

    def __call__(self, lr: Pixels) -> Enlarged:
        """Enlarge one picture, uint8 or uint16 [H, W, C], to [scale · H, scale · W, channels] of the same dtype.

        float32 in [0, 1] becomes float32 around [-1, 1], as the network gives it: neither clipped nor rounded.

        Where C is 1 and the network wants 3 channels, grey is repeated. Where the network wants 1, each channel is
        enlarged by itself. For errors see `stream`.
        """
        return next(self.stream([(None, lr)]))[1]

    def stream(
        self,
        pictures: Iterable[tuple[Item, np.ndarray]],
        *,
        failed: Callable[[Item, Exception], object] = raise_error,
    ) -> Iterator[tuple[Item, np.ndarray]]:
        """Enlarge pictures as they come, in order.

        Args:
          pictures: (item, LR as uint8 or uint16 [H, W, C]); the item is handed on, and may be anything.
          failed: called with (item, error) for a picture that the network does not take (InputError) or whose result
            the main memory does not hold (MemoryError); the others go on. By default the error is raised.

        Yields:
          (item, SR as __call__ gives it) of each picture that has not failed.

        Raises:
          InputError: the device's memory does not hold even the smallest tile.
        """
        waiting, running = collections.deque(), None

        def tiles():
            for item, lr in pictures:
                try:
                    picture = self._prepare(item, lr)
                except (InputError, MemoryError) as error:
                    failed(item, error)
                    continue
                waiting.append(picture)
                yield from self._cut(picture)

        for batch in itertools.chain(batches(tiles(), self._mesh.size), [[]]):
            started = batch and (batch, self._start(batch))  # the devices compute while the host pastes the last batch
            if running:
                self._finish(*running)
            running = started
            while waiting and not waiting[0].todo:
                done = waiting.popleft()
                yield done.item, done.sr

    def _prepare(self, item: Item, lr: Pixels) -> Enlargement:
        channels, inputs = self.module.channels, self.module.inputs
        if inputs != channels and lr.shape[2] != inputs:
            raise InputError(
                "the network needs a guide, a picture of the result's size, beside what it enlarges; in Python "
                "Generator.upscale_values(values, guide=…) takes both."
            )
        if lr.shape[2] not in (1, inputs) and inputs != 1:
            raise InputError(f"the network enlarges pictures of {channels} channels, this one has {lr.shape[2]}.")
        groups = lr.shape[2] if inputs == 1 else 1
        return Enlargement.prepare(item, lr, groups=groups, channels=channels, scale=self.module.scale)

    def _cut(self, picture: Enlargement) -> Iterator[Tile]:
        lengths, margin = picture.lr.shape[:2], self.module.receptive_radius
        canvas, block = self._canvas(self.tile, lengths)
        counts = (
            1 if length <= room else math.ceil(length / (room - 2 * margin))
            for length, room in zip(lengths, canvas, strict=True)
        )
        sizes = tuple(math.ceil(length / count) for length, count in zip(lengths, counts, strict=True))
        for group in range(0, picture.sr.shape[2], self.module.channels):
            of_lr = slice(group, group + min(self.module.inputs, picture.lr.shape[2]))
            of_sr = slice(group, group + self.module.channels)
            yield from Tile(picture, (0, 0), lengths, margin, (of_lr, of_sr), canvas, block).cut(sizes)

    def _canvas(self, tile: int, lengths: tuple[int, int] = (0, 0)) -> tuple[tuple[int, int], int]:
        """Return (the canvas for tiles, or where they are 0 for a picture of these lengths; the side of its blocks)."""
        block = BLOCK_ON_CPU if self._mesh.devices.flat[0].platform == "cpu" else BLOCK
        if not isinstance(self.module, ResidualGenerator):
            block = max(block, BLOCK_OF_WINDOWS * self.module.receptive_radius)
        if tile:
            block, lengths = min(block, tile), (tile + 2 * self.module.receptive_radius,) * 2
        return tuple(math.ceil(n / block) * block for n in lengths), block

    def _start(self, batch: list[Tile]) -> AnyArray | None:
        """Begin to compute the levels of the windows; None where the memory does not suffice."""
        windows = [tile.window() for tile in batch]
        with _memory_may_run_out():
            if self.ensemble:
                return self._average_of_turns(windows, batch[0].canvas, batch[0].block)
            return self._compute(windows, batch[0].canvas, batch[0].block, windows[0].dtype)

    def _average_of_turns(self, windows: list[np.ndarray], canvas: tuple[int, int], block: int) -> AnyArray:
        scale, channels = self.module.scale, self.module.channels
        mean = np.zeros((len(windows), scale * canvas[0], scale * canvas[1], channels), np.float32)
        for number in range(turns.COUNT):
            turned = [turns.turn(window, number) for window in windows]
            size = canvas[:: -1 if number & turns.TRANSPOSED else 1]
            # Fetched one by one: they would take eight times the memory.
            levels = np.asarray(self._compute(turned, size, block, np.dtype(np.float32)))
            for total, its_levels, window in zip(mean, levels, turned, strict=False):
                sr = turns.turn(its_levels[: scale * window.shape[0], : scale * window.shape[1]], number, back=True)
                total[: sr.shape[0], : sr.shape[1]] += sr / turns.COUNT
        dtype = windows[0].dtype
        return mean if dtype == np.float32 else signed_to_integers(mean, dtype)

    def _compute(self, windows: list[np.ndarray], canvas: tuple[int, int], block: int, dtype: np.dtype) -> Array:
        # The last batch is filled up, as every device must have one.
        canvases = np.zeros((self._mesh.size, *canvas, windows[0].shape[2]), windows[0].dtype)
        lengths = np.zeros((self._mesh.size, 2), np.int32)
        for i, window in enumerate(windows):
            lengths[i] = window.shape[:2]
            canvases[i, : window.shape[0], : window.shape[1]] = window
        split, shape = sharding.split(self._mesh), features_shape(self.module, canvases.shape)
        features, self._features = self._features, None
        if features is None or features.shape != shape:
            features = jnp.zeros(shape, device=split)
        levels, self._features = compile_enlarge(self._mesh)(
            self._variables,
            features,
            *jax.device_put((canvases, lengths), split),
            module=self.module,
            block=block,
            dtype=dtype,
        )
        return levels

    def _finish(self, batch: list[Tile], levels: AnyArray | None) -> None:
        """Wait for what was started, and paste it."""
        fetched = None
        with _memory_may_run_out():
            fetched = None if levels is None else np.asarray(levels)
        if fetched is not None:
            for tile, its_levels in zip(batch, fetched, strict=False):
                share, (height, width, _) = tile.paste(its_levels), tile.picture.sr.shape
                self.progress(share, share * height * width)
            return
        self._features = None
        side = max(tile.longest_side for tile in batch)
        if side <= SMALLEST_TILE:
            raise InputError(f"the device's memory does not hold even a tile of {side} x {side} pixels.")
        half = max(SMALLEST_TILE, math.ceil(side / 2))
        self.tile = min(self.tile or half, half)
        canvas, block = self._canvas(half)
        for tile in batch:
            for quarter in tile.cut((half, half), canvas=canvas, block=block):
                self._finish([quarter], self._start([quarter]))


@contextlib.contextmanager
def _memory_may_run_out() -> Iterator[None]:
    """Suppress JAX's error for a device whose memory is full, and no other."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
