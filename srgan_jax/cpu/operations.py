"""The operations that several kernels are made of, on batches of float32 pictures [N, H, W, C]."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from srgan_jax.types import Array, Features, Float

Kernel = Float[Array, "k l c d"]  # c inputs, d outputs
Result = Float[Array, "n y x d"]  # what a convolution makes of Features, and the gradient of that
Grid = list[list[Array]]  # rows and columns of arrays whose shapes are equal

CHANNELS_LAST = ("NHWC", "HWIO", "NHWC")


def convolve(images: Features, kernel: Kernel, padding: str | Sequence = "SAME", stride: int = 1) -> Result:
    """Convolve [N, H, W, C] with [K, L, C, D] as XLA does."""
    return lax.conv_general_dilated(images, kernel, (stride, stride), padding, dimension_numbers=CHANNELS_LAST)


def mirrored(kernel: Kernel) -> Array:
    """Turn a kernel by 180° and exchange its inputs and outputs: [K, L, C, D] -> [K, L, D, C].

    Convolving the gradient of a convolution's result with this kernel gives the gradient of the images.
    """
    return kernel[::-1, ::-1].swapaxes(2, 3)


def sum_of_outer_products(x: Array, y: Array) -> Array:
    """Add up the outer products of all places, […, A], […, B] -> [A, B], by one matrix product."""
    return lax.dot_general(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), (((0,), (0,)), ((), ())))


def in_memory(*arrays: Array | Grid) -> tuple[Array | Grid, ...]:
    """Return the arrays (or grids of them) unchanged, and have XLA write them to memory before anything reads them.

    XLA prefers to compute an array inside each operation that reads it. Where 16 matrix products read the gradient of
    a pixel shuffle, for example, XLA would compute this gradient 16 times.
    """
    return lax.optimization_barrier(arrays)


def phases(images: Features) -> Grid:
    """Split images, H and W even, into a 2 × 2 grid: entry `[a][b]` holds the pixels (2 i + a, 2 j + b)."""
    return [[images[:, a::2, b::2] for b in (0, 1)] for a in (0, 1)]


def from_phases(grid: Grid) -> Array:
    """Put the images together again that `phases` has split."""
    return depth_to_space(jnp.concatenate([*grid[0], *grid[1]], axis=-1))


def depth_to_space(images: Features) -> Array:
    """Map [N, H, W, 4 C] -> [N, 2 H, 2 W, C]: the channels of one pixel become the pixels of a 2 × 2 block."""
    n, height, width, channels = images.shape
    blocks = images.reshape(n, height, width, 2, 2, channels // 4).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(n, 2 * height, 2 * width, channels // 4)


def stacked(grid: Grid) -> Array:
    """Turn a grid of arrays into one array, whose first two axes are the grid's."""
    return jnp.stack([jnp.stack(row) for row in grid])
