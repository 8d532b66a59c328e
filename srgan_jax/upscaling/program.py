"""The compiled program: windows of pictures -> their enlargements, block by block, on a canvas.

A part of the network is computed for those blocks alone that hold pixels of the window, so that a small picture costs
little. The parts of a residual network are its beginning, each residual block, and its end; what they compute lies on
canvases of features between them, and for a block of its result a part reads a few pixels more (`radii`). Any other
network is a single part, which reads `receptive_radius` pixels more.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from srgan_jax.cpu import compiler_options
from srgan_jax.images import signed_to_integers
from srgan_jax.models.network import GeneratorNetwork
from srgan_jax.models.residual import ResidualGenerator
from srgan_jax.parallel import sharding
from srgan_jax.types import Array, Features, Float, Images, Int, Params, UInt8, UInt16, Variables
from srgan_jax.upscaling.borders import padded, unpadded

STEM = 2  # the canvas of features that the network's beginning writes; residual blocks take turns with 0 and 1

Start = tuple[Any, Any]  # the first row and column of a block, as traced integers
Windows = UInt8[Array, "n h w c"] | UInt16[Array, "n h w c"] | Float[Array, "n h w c"]
Lengths = Int[Array, "n 2"]  # how many rows and columns of each window are looked at


def compile_enlarge(mesh: jax.sharding.Mesh) -> Callable:
    """jit `enlarge_windows` for devices that share the windows, once for each mesh and kernels in use."""
    return _compile(mesh, tuple(compiler_options(mesh.devices.flat[0]).items()))


@functools.cache
def _compile(mesh: jax.sharding.Mesh, options: tuple) -> Callable:
    return jax.jit(
        enlarge_windows,
        static_argnames=("module", "block", "dtype"),
        donate_argnames="features",
        out_shardings=sharding.split(mesh),
        compiler_options=dict(options),
    )


def stack_blocks(module: ResidualGenerator, params: Params) -> Params:
    """Return the parameters with those of all residual blocks in one, "blocks", each array having a first axis more."""
    names = [f"block{i}" for i in range(module.num_blocks)]
    stacked = jax.tree.map(lambda *arrays: np.stack(arrays), *(params[name] for name in names)) if names else {}
    return {name: of for name, of in params.items() if name not in names} | {"blocks": stacked}


def features_shape(module: GeneratorNetwork, windows_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the features that `enlarge_windows` keeps, which only a residual network has.

    There are three canvases: one for the network's beginning, and two by turns for the residual blocks.
    """
    count, height, width, _ = windows_shape
    if not isinstance(module, ResidualGenerator):
        return (count, 0)
    around = 2 * max(module.radii)
    return (count, 3, height + around, width + around, module.features)


def enlarge_windows(
    variables: Params | Variables,
    features: Array,
    windows: Windows,
    lengths: Lengths,
    *,
    module: GeneratorNetwork,
    block: int,
    dtype: np.dtype,
) -> tuple[Array, Array]:
    """Enlarge windows of pictures.

    Args:
      variables: of `module`; of a residual network, which has no BatchNorm, its parameters from `stack_blocks`.
      features: memory of features_shape(…), whatever is in it.
      windows: levels of an integer dtype, or float32 in [0, 1], [N, h, w, inputs or 1], h and w multiples of `block`.
      lengths: how many rows and columns each window has; the others are not looked at.
      module: the network.
      block: LR pixels, the side of the blocks.
      dtype: of the result.

    Returns:
      (SR [N, scale · h, scale · w, channels], levels of an integer dtype, or around [-1, 1] as float32; the memory).
    """
    floating = jnp.issubdtype(windows.dtype, jnp.floating)
    lr = windows if floating else windows.astype(jnp.float32) / jnp.iinfo(windows.dtype).max
    lr = jnp.broadcast_to(lr, (*lr.shape[:3], module.inputs))
    n, height, width, _ = windows.shape
    blocks, scale = _Blocks(lengths, block), module.scale
    parts = _residual_parts if isinstance(module, ResidualGenerator) else _single_part
    # TPUs and recent GPUs would otherwise round float32 convolutions to bfloat16 or TF32.
    with jax.default_matmul_precision("highest"):
        features, last_part = parts(variables, features, lr, blocks, module)

        def write(sr, start):
            made = _centre(last_part(start), scale * block)
            made = made if dtype == jnp.float32 else signed_to_integers(made, dtype)
            return lax.dynamic_update_slice(sr, made, (0, *(scale * a for a in start), 0))

        sr = blocks.for_each(write, jnp.zeros((n, scale * height, scale * width, module.channels), dtype))
    return sr, features


class _Blocks:
    """The blocks of windows that hold pixels.

    Args:
      lengths: see enlarge_windows.
      side: of a block, in LR pixels.
    """

    def __init__(self, lengths: Lengths, side: int) -> None:
        self.lengths, self.side = lengths, side
        self.rows, self.columns = jnp.max(-(-lengths // side), axis=0)

    def for_each(self, compute: Callable[[Array, Start], Array], result: Array) -> Array:
        """Let compute(result, start of a block) change the result, block after block."""

        def step(n, result):
            return compute(result, (n // self.columns * self.side, n % self.columns * self.side))

        return lax.fori_loop(0, self.rows * self.columns, step, result)

    def read(self, canvases: Array, which: Array | int, start: Start, radius: int, around: int) -> Features:
        """Read a block and the pixels around it, out of canvases [N, count, h + 2 · around, w + 2 · around, C]."""
        side = self.side + 2 * radius
        size = (len(canvases), 1, side, side, canvases.shape[-1])
        return lax.dynamic_slice(canvases, (0, which, *(a + around - radius for a in start), 0), size)[:, 0]

    def inside(self, start: Start, radius: int) -> list[Array]:
        """Return which rows [N, side] and columns of a block, with the pixels around it, belong to the pictures."""
        places = (a - radius + jnp.arange(self.side + 2 * radius) for a in start)
        return [(at >= 0) & (at < self.lengths[:, axis, None]) for axis, at in enumerate(places)]


def _canvas_of(lr: Images, around: int) -> Array:
    """Return LR as a canvas, with some pixels around it."""
    return jnp.pad(lr, ((0, 0), (around, around), (around, around), (0, 0)))[:, None]


def _centre(x: Features, side: int) -> Array:
    """Return the middle of what a part gives for a block.

    A part may see less than its radius, which is in whole LR pixels.
    """
    top, left = ((n - side) // 2 for n in x.shape[1:3])
    return x[:, top : top + side, left : left + side]


def _single_part(
    variables: Variables, features: Array, lr: Images, blocks: _Blocks, module: GeneratorNetwork
) -> tuple[Array, Callable]:
    """Return, for any network, (memory, a function start -> SR of the block, with some pixels around it)."""
    radius = module.receptive_radius
    canvas = _canvas_of(lr, radius)

    def enlarge(start):
        with nn.intercept_methods(padded(blocks.inside(start, radius))):
            return module.apply(variables, blocks.read(canvas, 0, start, radius, radius), train=False)

    return features, enlarge


def _residual_parts(
    params: Params, features: Array, lr: Images, blocks: _Blocks, module: ResidualGenerator
) -> tuple[Array, Callable]:
    """Return, for a residual network, (features of all parts but the last, the last as _single_part gives it)."""
    (of_begin, of_block, of_finish), around = module.radii, max(module.radii)
    canvas = _canvas_of(lr, around)

    def write(features, which, start, x):
        x = _centre(x, blocks.side)[:, None]
        return lax.dynamic_update_slice(features, x, (0, which, *(a + around for a in start), 0))

    def apply(part, of_part, start, radius, *inputs, **keywords):
        with nn.intercept_methods(unpadded(blocks.inside(start, radius))):
            return part.apply({"params": of_part}, *inputs, **keywords)

    def begin(features, start):
        seen = blocks.read(canvas, 0, start, of_begin, around)
        return write(features, STEM, start, apply(module, params, start, of_begin, seen, method="begin"))

    def residual(features, its):
        number, its_params = its
        source = jnp.where(number == 0, STEM, (number + 1) % 2)

        def one(features, start):
            seen = blocks.read(features, source, start, of_block, around)
            made = apply(module.residual_block(), its_params, start, of_block, seen)
            return write(features, number % 2, start, made)

        return blocks.for_each(one, features), None

    def finish(start):
        seen = [blocks.read(features, which, start, of_finish, around) for which in (STEM, last)]
        lr_seen = blocks.read(canvas, 0, start, of_finish, around)
        return apply(module, params, start, of_finish, lr_seen, *seen, method="finish")

    features, last = blocks.for_each(begin, features), STEM
    if module.num_blocks:
        features, _ = lax.scan(residual, features, (jnp.arange(module.num_blocks), params["blocks"]))
        last = (module.num_blocks - 1) % 2
    return features, finish
