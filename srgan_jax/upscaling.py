"""A picture of any size -> one `scale` times as large, in memory that does not depend on its size.

The network is compiled once, for a canvas. A picture that fits on it is computed at once, a larger one in tiles, from
windows that are larger than the tiles by the network's receptive radius. On the canvas each part of the network (its
beginning, a residual block, its end) is computed block by block, for those blocks alone that hold pixels of the window,
so that a small picture costs little. For its block a part reads some pixels more; convolutions pad nothing, and what
lies outside of the window is set to zero before each of them: just what padding does to a whole picture. So the pixels
are the same.
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
from srgan_jax.models import fold_batch_norm
from srgan_jax.models.residual import ResidualGenerator

TILE = 640  # LR pixels; the paper's network then keeps half a gigabyte of features
SMALLEST_TILE = 16  # LR pixels; where not even this fits into the memory, there is no use in trying on
STEM = 2  # which of three canvases of features the network's beginning writes; residual blocks take turns with 0 and 1
BLOCK_ON_CPU, BLOCK = 64, 256  # LR pixels: small enough to waste little at a picture's end, enough to fill the device


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
    """A part of a picture; pairs are of (rows, columns).

    Attributes:
      start, stop: its first LR pixel and the one after its last.
      margin: LR pixels on each side that are read too, as far as the picture has them.
      channels: of lr and of sr.
      canvas: LR pixels for which the network is compiled, multiples of `block`, its blocks' side.
    """

    picture: Picture
    start: tuple[int, int]
    stop: tuple[int, int]
    margin: int
    channels: tuple[slice, slice]
    canvas: tuple[int, int]
    block: int

    def window(self) -> np.ndarray:
        """The levels that are read, [h, w, C]."""
        (top, left), (bottom, right) = self._origin, (b + self.margin for b in self.stop)
        return self.picture.lr[top:bottom, left:right, self.channels[0]]

    def paste(self, levels: np.ndarray) -> int:
        """Put what belongs to the tile of its enlarged window into the picture; returns the number of LR pixels."""
        scale = len(self.picture.sr) // len(self.picture.lr)
        (top, left), (bottom, right) = (scale * np.array(at) for at in (self.start, self.stop))
        y, x = scale * np.array(self._origin)
        self.picture.sr[top:bottom, left:right, self.channels[1]] = levels[top - y : bottom - y, left - x : right - x]
        pixels = math.prod(b - a for a, b in zip(self.start, self.stop, strict=True))
        self.picture.todo -= pixels
        return pixels

    @property
    def _origin(self) -> tuple[int, int]:
        return tuple(max(0, a - self.margin) for a in self.start)

    @property
    def longest_side(self) -> int:
        return max(b - a for a, b in zip(self.start, self.stop, strict=True))

    def cut(self, sizes: tuple[int, int], **changes) -> Iterator["Tile"]:
        """The same in tiles of at most these sizes."""
        for start in itertools.product(*map(range, self.start, self.stop, sizes)):
            stop = tuple(map(min, (a + n for a, n in zip(start, sizes, strict=True)), self.stop))
            yield dataclasses.replace(self, start=start, stop=stop, **changes)


class Upscaler:
    """A network that is ready to enlarge pictures, in float32 at the highest precision.

    Args:
      module, variables: as generators.load gives them. BatchNorm is folded into the convolutions.
      tile: LR pixels computed at once in each direction, halved when the device's memory runs out; 0: all of a picture,
        with a canvas of its size.
      ensemble: average over the eight flips and turns, before rounding (Timofte et al., "Seven ways to improve
        example-based single image super resolution", CVPR 2016).
      devices: they share the tiles; by default the first alone.
      progress: called with (picture, share of its work) for each tile that is done.
    """

    def __init__(
        self,
        module: ResidualGenerator,
        variables,
        *,
        tile: int = TILE,
        ensemble: bool = False,
        devices: list[jax.Device] | None = None,
        progress: Callable[[Picture, float], object] = lambda picture, share: None,
    ):
        module, variables = fold_batch_norm(module, variables)
        self.module, self.tile, self.ensemble, self.progress = module, tile, ensemble, progress
        self._mesh = sharding.create_mesh(jax.local_devices()[:1] if devices is None else devices)
        self._params = jax.device_put(stack_blocks(module, variables["params"]), sharding.replicated(self._mesh))
        self._features = None  # of the last canvas; the next one takes their memory

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
        lengths, margin = picture.lr.shape[:2], self.module.receptive_radius
        canvas, block = self._canvas(self.tile, lengths)
        sizes = []
        for length, room in zip(lengths, canvas, strict=True):
            count = 1 if length <= room else math.ceil(length / (room - 2 * margin))
            sizes.append(math.ceil(length / count))
        for group in range(0, picture.sr.shape[2], self.module.channels):
            of_lr = slice(group, group + min(self.module.channels, picture.lr.shape[2]))
            of_sr = slice(group, group + self.module.channels)
            yield from Tile(picture, (0, 0), lengths, margin, (of_lr, of_sr), canvas, block).cut(sizes)

    def _canvas(self, tile: int, lengths: tuple[int, int] = (0, 0)) -> tuple[tuple[int, int], int]:
        """The canvas for tiles, or where they are 0 for a picture; and its blocks."""
        block = BLOCK_ON_CPU if self._mesh.devices.flat[0].platform == "cpu" else BLOCK
        if tile:
            block, lengths = min(block, tile), (tile + 2 * self.module.receptive_radius,) * 2
        return tuple(math.ceil(n / block) * block for n in lengths), block

    def _start(self, batch: list[Tile]):
        """Begin to compute the levels of the windows; None where the memory does not suffice."""
        windows = [tile.window() for tile in batch]
        with _memory_may_run_out():
            if self.ensemble:
                return self._average_of_turns(windows, batch[0].canvas, batch[0].block)
            return self._compute(windows, batch[0].canvas, batch[0].block, windows[0].dtype)

    def _average_of_turns(self, windows: list[np.ndarray], canvas: tuple[int, int], block: int):
        scale, channels = self.module.scale, self.module.channels
        mean = np.zeros((len(windows), scale * canvas[0], scale * canvas[1], channels), np.float32)
        for turn in range(8):
            turned = [_turn(window, turn) for window in windows]
            # Fetched one by one: they would take eight times the memory.
            levels = np.asarray(self._compute(turned, canvas[:: -1 if turn & 4 else 1], block, np.dtype(np.float32)))
            for total, its_levels, window in zip(mean, levels, turned, strict=False):
                sr = _turn(its_levels[: scale * window.shape[0], : scale * window.shape[1]], turn, back=True)
                total[: sr.shape[0], : sr.shape[1]] += sr / 8
        return signed_to_integers(mean, windows[0].dtype)

    def _compute(self, windows: list[np.ndarray], canvas: tuple[int, int], block: int, dtype: np.dtype) -> jax.Array:
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
            self._params,
            features,
            *jax.device_put((canvases, lengths), split),
            module=self.module,
            block=block,
            dtype=dtype,
        )
        return levels

    def _finish(self, batch: list[Tile], levels) -> None:
        """Wait for what was started, and paste it."""
        fetched = None
        with _memory_may_run_out():
            fetched = None if levels is None else np.asarray(levels)
        if fetched is not None:
            for tile, its_levels in zip(batch, fetched, strict=False):
                self.progress(tile.picture, tile.paste(its_levels) / tile.picture.work)
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
def _memory_may_run_out():
    """Suppress JAX's error for a device whose memory is full, and no other."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise


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
    for _, same in itertools.groupby(tiles, lambda t: (t.canvas, t.block, t.picture.lr.shape[2], t.picture.lr.dtype)):
        while batch := list(itertools.islice(same, size)):
            yield batch


def _turn(picture, turn: int, *, back: bool = False):
    """One of the eight flips and turns of a picture [H, W, C], numbered as images.turn has them; or its inverse."""
    changes = [change for bit, change in enumerate((np.fliplr, np.flipud, _transpose)) if turn >> bit & 1]
    return functools.reduce(lambda x, change: change(x), changes[:: -1 if back else 1], picture)


def _transpose(picture):
    return picture.swapaxes(0, 1)


def stack_blocks(module, params):
    """The parameters with those of all residual blocks in one, "blocks", each array having a first axis more."""
    names = [f"block{i}" for i in range(module.num_blocks)]
    stacked = jax.tree.map(lambda *arrays: np.stack(arrays), *(params[name] for name in names)) if names else {}
    return {name: of for name, of in params.items() if name not in names} | {"blocks": stacked}


@functools.cache
def compile_enlarge(mesh: jax.sharding.Mesh):
    """jit `enlarge_windows` for devices that share the windows."""
    return jax.jit(
        enlarge_windows,
        static_argnames=("module", "block", "dtype"),
        donate_argnames="features",
        out_shardings=sharding.split(mesh),
        compiler_options=compiler_options(mesh.devices.flat[0]),
    )


def features_shape(module, windows_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of the features that `enlarge_windows` keeps, for windows of a shape."""
    count, height, width, _ = windows_shape
    around = 2 * max(module.radii)
    return (count, 3, height + around, width + around, module.features)


def enlarge_windows(params, features, windows, lengths, *, module: ResidualGenerator, block: int, dtype: np.dtype):
    """Enlarge windows of pictures.

    Args:
      params: of `module`, which has no BatchNorm; those of its residual blocks stacked.
      features: memory of features_shape(…), whatever is in it.
      windows: levels, uint8 or uint16 [N, h, w, channels or 1], h and w multiples of `block`.
      lengths: int [N, 2], how many rows and columns each window has; the others are not looked at.
      dtype: of the result.

    Returns:
      (SR [N, scale · h, scale · w, channels], levels of an integer dtype, or around [-1, 1] as float32; the memory).
    """
    (of_begin, of_block, of_finish), scale, around = module.radii, module.scale, max(module.radii)
    lr = windows.astype(jnp.float32) / jnp.iinfo(windows.dtype).max
    lr = jnp.broadcast_to(lr, (*lr.shape[:3], module.channels))
    lr = jnp.pad(lr, ((0, 0), (around, around), (around, around), (0, 0)))[:, None]
    rows, columns = jnp.max(-(-lengths // block), axis=0)

    def for_each_block(compute, result):
        def step(n, result):
            return compute(result, (n // columns * block, n % columns * block))

        return lax.fori_loop(0, rows * columns, step, result)

    def read(canvases, which, start, radius):
        size = (len(lr), 1, block + 2 * radius, block + 2 * radius, canvases.shape[-1])
        return lax.dynamic_slice(canvases, (0, which, *(a + around - radius for a in start), 0), size)[:, 0]

    def write(canvases, which, start, x):
        return lax.dynamic_update_slice(canvases, x[:, None], (0, which, *(a + around for a in start), 0))

    def apply(part, of_part, start, radius, *inputs, **keywords):
        places = (a - radius + jnp.arange(block + 2 * radius) for a in start)
        inside = [(at >= 0) & (at < lengths[:, axis, None]) for axis, at in enumerate(places)]
        with nn.intercept_methods(_without_padding(inside)):
            return part.apply({"params": of_part}, *inputs, **keywords)

    def begin(features, start):
        made = apply(module, params, start, of_begin, read(lr, 0, start, of_begin), method="begin")
        return write(features, STEM, start, made)

    def residual(features, its):
        number, its_params = its
        source = jnp.where(number == 0, STEM, (number + 1) % 2)

        def one(features, start):
            made = apply(module.residual_block(), its_params, start, of_block, read(features, source, start, of_block))
            return write(features, number % 2, start, made)

        return for_each_block(one, features), None

    def finish(sr, start):
        inputs = [read(lr, 0, start, of_finish)] + [read(features, n, start, of_finish) for n in (STEM, last)]
        made = apply(module, params, start, of_finish, *inputs, method="finish")
        # The radius is rounded up to whole LR pixels.
        made = add(made, jnp.zeros((1, scale * block, scale * block, 1), made.dtype))
        made = made if dtype == jnp.float32 else signed_to_integers(made, dtype)
        return lax.dynamic_update_slice(sr, made, (0, *(scale * a for a in start), 0))

    # TPUs and recent GPUs would otherwise round float32 convolutions to bfloat16 or TF32.
    with jax.default_matmul_precision("highest"):
        features = for_each_block(begin, features)
        last = STEM
        if module.num_blocks:
            features, _ = lax.scan(residual, features, (jnp.arange(module.num_blocks), params["blocks"]))
            last = (module.num_blocks - 1) % 2
        n, h, w, _ = windows.shape
        sr = for_each_block(finish, jnp.zeros((n, scale * h, scale * w, module.channels), dtype))
    return sr, features


def _without_padding(inside):
    """An interceptor for Flax's modules: what reads beyond a pixel is computed as the top of this file has it.

    Args:
      inside: bool [N, h] and [N, w], which of the first input's rows and columns belong to the picture.
    """
    current = list(inside)  # for the next convolution's pixels

    def only(x, rows, columns):
        return jnp.where(rows[:, :, None, None] & columns[:, None, :, None], x, 0)

    def enlarge(call, lr):
        weight = call(only(jnp.ones_like(lr), *inside))
        return call(only(lr, *inside)) / jnp.where(weight == 0, 1, weight)

    def convolve(module, x):
        params, radii = module.variables["params"], [size // 2 for size in module.kernel_size]
        for axis in (0, 1):  # a pixel shuffle since the last convolution has made the pixels smaller
            current[axis] = jnp.repeat(current[axis], x.shape[1 + axis] // current[axis].shape[1], axis=1)
        x = only(x, *current)
        for axis, radius in enumerate(radii):
            current[axis] = current[axis][:, radius : current[axis].shape[1] - radius]
        return by_rows(x, params["kernel"]) + params.get("bias", 0)

    def intercept(call, arguments, keywords, context):
        if isinstance(context.module, nn.Conv):
            return convolve(context.module, *arguments)
        return enlarge(call, *arguments) if isinstance(context.module, Enlarge) else call(*arguments, **keywords)

    return intercept
