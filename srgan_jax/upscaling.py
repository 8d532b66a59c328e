"""A picture of any size -> one `scale` times as large, tile by tile, in memory that does not depend on its size.

A tile is computed from a window that is larger by the network's receptive radius. Within a window convolutions are
"valid" (nothing is padded, and each leaves a slightly smaller window), and what lies outside of the picture is set to
zero before each of them: just what padding does at the borders of a picture that is computed whole. So both give the
same pixels. On an accelerator the windows of all pictures have one shape, for which the network is compiled once. On a
CPU, which compiles fast and computes slowly, small pictures take one of a few smaller windows.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from srgan_jax import sharding
from srgan_jax.convolutions import by_rows, compiler_options
from srgan_jax.errors import InputError
from srgan_jax.images import signed_to_integers
from srgan_jax.layers import Enlarge, add
from srgan_jax.models import SRResNet, fold_batch_norm

TILE = 256  # LR pixels; for the paper's network about 1 GB of memory at ×4
SMALLEST_TILE = 16  # LR pixels; where not even this fits into the memory, there is no use in trying on
GRID = 64  # LR pixels; on a CPU, for pictures of all sizes, a good balance between compiling and computing


@dataclasses.dataclass
class Picture:
    """A picture, and the room for its enlargement.

    Attributes:
      lr: uint8 or uint16 [H, W, C], using the whole range of levels.
      sr: [scale · H, scale · W, channels] of the same dtype.
      work: LR pixels, times the channels that are computed by themselves.
      todo: how much of it is still to do.
    """

    lr: np.ndarray
    sr: np.ndarray
    work: int
    todo: int


@dataclasses.dataclass(frozen=True)
class Tile:
    """LR pixels from `start` on, `size` of them, perhaps beyond the end of the picture; each is (rows, columns).

    Attributes:
      margin: by how much the window is larger on each side; 0 where the tile spans the picture.
      channels: of lr and of sr.
    """

    picture: Picture
    start: tuple[int, int]
    size: tuple[int, int]
    margin: tuple[int, int]
    channels: tuple[slice, slice]

    def window(self) -> np.ndarray:
        """The window's levels [h, w, C]; zero outside of the picture."""
        lr = self.picture.lr[..., self.channels[0]]
        window = np.zeros([n + 2 * m for n, m in zip(self.size, self.margin, strict=True)] + [lr.shape[2]], lr.dtype)
        into, out_of = [], []
        for first, n, length in zip(self.origin(), window.shape, lr.shape, strict=False):
            out_of.append(slice(max(first, 0), min(first + n, length)))
            into.append(slice(out_of[-1].start - first, out_of[-1].stop - first))
        window[tuple(into)] = lr[tuple(out_of)]
        return window

    def origin(self) -> list[int]:
        """The window's first row and column."""
        return [start - margin for start, margin in zip(self.start, self.margin, strict=True)]

    def paste(self, levels: np.ndarray) -> int:
        """Put the tile's enlargement into the picture; returns the number of LR pixels."""
        lr, sr = self.picture.lr, self.picture.sr
        scale = len(sr) // len(lr)
        stop = [min(a + n, length) for a, n, length in zip(self.start, self.size, lr.shape, strict=False)]
        rows, columns = (slice(scale * a, scale * b) for a, b in zip(self.start, stop, strict=True))
        target = sr[rows, columns, self.channels[1]]
        target[:] = levels[: target.shape[0], : target.shape[1]]
        pixels = math.prod(b - a for a, b in zip(self.start, stop, strict=True))
        self.picture.todo -= pixels
        return pixels

    def quarters(self, margin: int) -> Iterator["Tile"]:
        """The tile as four, or fewer at the picture's end."""
        half = tuple(max(SMALLEST_TILE, -(-n // 2)) for n in self.size)
        for offset in itertools.product(*(range(0, n, h) for n, h in zip(self.size, half, strict=True))):
            start = tuple(a + b for a, b in zip(self.start, offset, strict=True))
            if all(a < length for a, length in zip(start, self.picture.lr.shape, strict=False)):
                yield dataclasses.replace(self, start=start, size=half, margin=(margin, margin))


class Upscaler:
    """A network that is ready to enlarge pictures, in float32 at the highest precision.

    Args:
      module, variables: as generators.load gives them. BatchNorm is folded into the convolutions.
      tile: LR pixels computed at once in each direction, halved when the device's memory runs out; 0: all of a picture.
      grid: the sides of a tile are a multiple of it, unless `tile` is 0. Pictures that fit into one or few tiles take
        smaller ones, so that little is computed in vain; a coarser grid means fewer shapes to compile. 0: all windows
        have one shape.
      ensemble: average over the eight flips and turns, before rounding (Timofte et al., "Seven ways to improve
        example-based single image super resolution", CVPR 2016).
      devices: they share the tiles; by default the first alone.
      progress: called with (picture, share of its work) for each tile that is done.
    """

    def __init__(
        self,
        module: SRResNet,
        variables,
        *,
        tile: int = TILE,
        grid: int = 1,
        ensemble: bool = False,
        devices: list[jax.Device] | None = None,
        progress: Callable[[Picture, float], object] = lambda picture, share: None,
    ):
        module, variables = fold_batch_norm(module, variables)
        self.module, self.tile, self.grid, self.ensemble, self.progress = module, tile, grid, ensemble, progress
        self._mesh = sharding.create_mesh(jax.local_devices()[:1] if devices is None else devices)
        self._params = jax.device_put(variables["params"], sharding.replicated(self._mesh))

    def __call__(self, lr: np.ndarray) -> np.ndarray:
        """uint8 or uint16 [H, W, C] -> [scale · H, scale · W, channels] of the same dtype.

        Where C is 1 and the network wants 3, grey is repeated. Where the network wants 1, each channel is enlarged by
        itself.
        """
        return next(self.stream([self.prepare(lr)])).sr

    def prepare(self, lr: np.ndarray) -> Picture:
        """A picture for `stream`; takes the memory for its result. Raises InputError for a wrong number of channels."""
        channels, scale = self.module.channels, self.module.scale
        if lr.shape[2] not in (1, channels) and channels != 1:
            raise InputError(f"the network enlarges pictures of {channels} channels, this one has {lr.shape[2]}.")
        height, width, groups = lr.shape[0], lr.shape[1], lr.shape[2] if channels == 1 else 1
        sr = np.empty((scale * height, scale * width, groups * channels), lr.dtype)
        return Picture(lr, sr, work=height * width * groups, todo=height * width * groups)

    def stream(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """Enlarge pictures from `prepare` as they come, and yield each when its `sr` is complete, in order.

        Raises:
          InputError: the device's memory does not hold even the smallest tile.
        """
        waiting, running = collections.deque(), None

        def tiles():
            for picture in pictures:
                waiting.append(picture)
                yield from self._cut(picture)

        for batch in itertools.chain(_batches(tiles(), self._mesh.size), [[]]):
            started = batch and (batch, self._start(batch))  # the devices compute while the host pastes the last batch
            if running:
                self._finish(*running)
            running = started
            while waiting and not waiting[0].todo:
                yield waiting.popleft()

    def _cut(self, picture: Picture) -> Iterator[Tile]:
        size, margin = [], []
        for length in picture.lr.shape[:2]:
            count = math.ceil(length / (self.tile or length))
            one_shape = self.tile and not self.grid
            grid = self.grid if self.tile else 1
            size.append(self.tile if one_shape else math.ceil(length / count / grid) * grid)
            margin.append(self.module.receptive_radius if one_shape or size[-1] < length else 0)
        starts = [range(0, length, n) for length, n in zip(picture.lr.shape, size, strict=False)]
        groups = range(0, picture.sr.shape[2], self.module.channels)
        for group, *start in itertools.product(groups, *starts):
            channels = slice(group, group + min(self.module.channels, picture.lr.shape[2]))
            yield Tile(
                picture,
                tuple(start),
                tuple(size),
                tuple(margin),
                (channels, slice(group, group + self.module.channels)),
            )

    def _start(self, batch: list[Tile]) -> jax.Array | None:
        """Begin to compute; None where the memory does not suffice."""
        # The last batch is filled up, as every device must have one.
        tiles = batch + batch[-1:] * (self._mesh.size - len(batch))
        windows = np.stack([tile.window() for tile in tiles])
        origins = np.array([tile.origin() for tile in tiles], np.int32)
        lengths = np.array([tile.picture.lr.shape[:2] for tile in tiles], np.int32)
        windows, origins, lengths = jax.device_put((windows, origins, lengths), sharding.split(self._mesh))
        with _memory_may_run_out():
            return compile_enlarge(self._mesh.devices.flat[0])(
                self._params,
                windows,
                origins,
                lengths,
                module=self.module,
                margin=batch[0].margin,
                ensemble=self.ensemble,
            )

    def _finish(self, batch: list[Tile], levels: jax.Array | None) -> None:
        """Wait for what was started, and paste it."""
        fetched = None
        with _memory_may_run_out():
            fetched = None if levels is None else np.asarray(levels)
        if fetched is not None:
            for tile, its_levels in zip(batch, fetched, strict=False):
                self.progress(tile.picture, tile.paste(its_levels) / tile.picture.work)
            return
        side = max(batch[0].size)
        if side <= SMALLEST_TILE:
            raise InputError(f"the device's memory does not hold even a tile of {side} x {side} pixels.")
        self.tile = min(self.tile or side, max(SMALLEST_TILE, side // 2))
        for tile in batch:
            for quarter in tile.quarters(self.module.receptive_radius):
                self._finish([quarter], self._start([quarter]))


@contextlib.contextmanager
def _memory_may_run_out():
    """Suppress JAX's error for a device whose memory is full, and no other."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise


def usual_grid() -> int:
    """The Upscaler's `grid` for pictures of all sizes."""
    return GRID if jax.default_backend() == "cpu" else 0


def blend(first, second, share: float):
    """Interpolate between two generators (Wang et al., ESRGAN, ECCV 2018 workshops, section 3.4).

    Args:
      first, second: generators.Generator of one architecture, say one of higher fidelity and one of richer texture.
      share: of `second`: 0 gives `first`, 1 gives `second`.

    Raises:
      InputError: another architecture, or a share outside of 0 to 1.
    """
    if not 0 <= share <= 1:
        raise InputError(f"--blend: {share:g} is not from 0 to 1.")
    if first.module != second.module:
        raise InputError(f"{first.name} and {second.name} hold networks of two architectures; only one can be blended.")
    variables = jax.tree.map(
        lambda a, b: ((1 - share) * np.asarray(a, np.float64) + share * np.asarray(b, np.float64)).astype(np.float32),
        first.variables,
        second.variables,
    )
    return dataclasses.replace(first, variables=variables, name=f"{first.name} + {share:g} {second.name}", info={})


def _batches(tiles: Iterable[Tile], size: int) -> Iterator[list[Tile]]:
    """Lists of at most `size` tiles in a row that one program computes."""
    for _, same in itertools.groupby(tiles, lambda t: (t.size, t.margin, t.picture.lr.shape[2], t.picture.lr.dtype)):
        while batch := list(itertools.islice(same, size)):
            yield batch


@functools.cache
def compile_enlarge(device: jax.Device):
    """jit `enlarge_windows` for devices such as this one."""
    static = ("module", "margin", "ensemble")
    return jax.jit(enlarge_windows, static_argnames=static, compiler_options=compiler_options(device))


def enlarge_windows(params, windows, origins, lengths, *, module, margin: tuple[int, int], ensemble: bool):
    """Enlarge what is within the margin of windows of pictures.

    Args:
      params: of `module`, which has no BatchNorm.
      windows: levels, uint8 or uint16 [N, h, w, channels or 1].
      origins: int [N, 2], row and column of each window's first pixel in its picture; may be negative.
      lengths: int [N, 2], height and width of the pictures.
      margin: LR pixels on each side; 0 where the window spans the picture: beyond it, there is zero.

    Returns:
      Levels [N, scale · (h - 2 · margin), scale · (w - 2 · margin), channels] of the same dtype.
    """
    highest = jnp.iinfo(windows.dtype).max
    lr = windows.astype(jnp.float32) / highest
    lr = jnp.broadcast_to(lr, (*lr.shape[:3], module.channels))
    places = [origins[:, axis, None] + jnp.arange(lr.shape[1 + axis]) for axis in (0, 1)]
    inside = [(place >= 0) & (place < lengths[:, axis, None]) for axis, place in enumerate(places)]
    network = _average_of_turns if ensemble else _apply_to_windows
    # TPUs and recent GPUs would otherwise round float32 convolutions to bfloat16 or TF32.
    with jax.default_matmul_precision("highest"):
        sr = network(module, params, lr, inside, margin)
    return signed_to_integers(sr, windows.dtype)


def _average_of_turns(module, params, lr, inside, margin):
    def average_of_flips(lr, inside, margin):
        def flip(x, which, first=1):
            for axis in (0, 1):
                x = jnp.where(which >> axis & 1 == 1, jnp.flip(x, first + axis), x)
            return x

        def one(which):
            masks = [jnp.where(which >> axis & 1 == 1, mask[:, ::-1], mask) for axis, mask in enumerate(inside)]
            return flip(_apply_to_windows(module, params, flip(lr, which), masks, margin), which)

        return lax.map(one, jnp.arange(4)).mean(0)

    turned = average_of_flips(lr.swapaxes(1, 2), inside[::-1], margin[::-1]).swapaxes(1, 2)
    return (average_of_flips(lr, inside, margin) + turned) / 2


def _apply_to_windows(module, params, lr, inside, margin):
    """[N, h, w, channels] in [0, 1] -> SR [N, scale · (h - 2 · margin), …]; `inside`: bool [N, h] and [N, w]."""
    with nn.intercept_methods(_compute_in_windows(inside, margin)):
        sr = module.apply({"params": params}, lr, train=False)
    rows, columns = (module.scale * (n - 2 * m) for n, m in zip(lr.shape[1:3], margin, strict=True))
    # The receptive radius is rounded up to whole LR pixels.
    return add(sr, jnp.zeros((1, rows, columns, 1), sr.dtype))


def _compute_in_windows(inside, margin):
    """An interceptor for Flax's modules: what reads beyond a pixel is computed as the top of this file has it."""
    current = list(inside)  # for the next convolution's pixels

    def only(x, rows, columns):
        return jnp.where(rows[:, :, None, None] & columns[:, None, :, None], x, 0)

    def enlarge(call, lr):
        weight = call(only(jnp.ones_like(lr), *inside))
        return call(only(lr, *inside)) / jnp.where(weight == 0, 1, weight)

    def convolve(module, x):
        params, padding = module.variables["params"], []
        for axis in (0, 1):  # a pixel shuffle since the last convolution has made the pixels smaller
            current[axis] = jnp.repeat(current[axis], x.shape[1 + axis] // current[axis].shape[1], axis=1)
        x = only(x, *current)
        for axis, size in enumerate(module.kernel_size):
            radius = size // 2
            padding.append((0, 0) if margin[axis] else (radius, radius))
            if margin[axis] and radius:
                current[axis] = current[axis][:, radius:-radius]
        return by_rows(x, params["kernel"], padding) + params.get("bias", 0)

    def intercept(call, arguments, keywords, context):
        if isinstance(context.module, nn.Conv):
            return convolve(context.module, *arguments)
        return enlarge(call, *arguments) if isinstance(context.module, Enlarge) else call(*arguments, **keywords)

    return intercept
