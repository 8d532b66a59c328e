"""3×3 convolutions by Winograd's F(2 × 2, 3 × 3), which needs 16 products for 2 × 2 pixels instead of 36.

Images are cut into windows of 4 × 4 pixels that start 2 pixels apart. From the pixels d of a window and the taps g,

  Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A

is a block of 2 × 2 results (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section
4.1). Here an entry of these small matrices is an array: entry (i, j) of d holds the pixel (i, j) of every window. So
each of the 16 products ⊙ is one matrix product, of the channels.
"""

import functools
import operator
from collections.abc import Callable, Iterable

import jax.numpy as jnp
from jax import lax

from srgan_jax.cpu.operations import (
    Grid,
    Kernel,
    Result,
    from_phases,
    in_memory,
    phases,
    stacked,
    sum_of_outer_products,
)
from srgan_jax.types import Array, Features

PIXELS = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # Bᵀ
TAPS = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # G
RESULTS = ((1, 1, 1, 0), (0, 1, -1, -1))  # Aᵀ


def result(images: Features, kernel: Kernel) -> Result:
    """Convolve [N, H, W, C], H and W even, with [3, 3, C, D]; there are zeros around the images."""
    return _convolve(images, _transform(TAPS, kernel), contracted=0)


def image_gradient(d_out: Result, kernel: Kernel) -> Features:
    """Turn the gradient of the result into that of the images: a convolution with the mirrored kernel."""
    taps = _transform(TAPS, kernel)
    # Mirroring the taps exchanges the first row of transformed taps for the last, and columns likewise: nothing else.
    return _convolve(d_out, [[taps[i][j] for j in (3, 1, 2, 0)] for i in (3, 1, 2, 0)], contracted=1)


def kernel_gradient(images: Features, d_out: Result) -> Kernel:
    """Turn the gradient of the result into that of the kernel, by the transposes of the transforms G and Aᵀ."""
    images, d_out = in_memory(images, d_out)
    products = _each(sum_of_outer_products, _windows(images), _transform(_transposed(RESULTS), phases(d_out)))
    return stacked(_transform(_transposed(TAPS), products))


def _convolve(images: Array, taps: Grid, *, contracted: int) -> Array:
    """Convolve with transformed taps [C, D], whose axis `contracted` stands for the images' channels."""
    windows, taps = in_memory(_windows(images), taps)
    product = functools.partial(lax.dot_general, dimension_numbers=(((3,), (contracted,)), ((), ())))
    (products,) = in_memory(_each(product, windows, taps))
    return from_phases(_transform(RESULTS, products))


def _windows(images: Features) -> Grid:
    """Transform the pixels of all windows; the first window starts one pixel outside of the images."""
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return _transform(PIXELS, [[padded[:, i : i + height : 2, j : j + width : 2] for j in range(4)] for i in range(4)])


def _transform(matrix: Iterable, grid: Iterable) -> Grid:
    """Return the product M X Mᵀ of a matrix M of numbers and a grid X of arrays."""

    def combine(arrays):
        terms = ([w * x for w, x in zip(row, arrays, strict=True) if w] for row in matrix)
        return [functools.reduce(operator.add, of_row) for of_row in terms]

    return _transposed(map(combine, _transposed(map(combine, grid))))


def _transposed(grid: Iterable) -> list[list]:
    """Exchange the rows and the columns of a grid of arrays, or of a matrix of numbers."""
    return [list(column) for column in zip(*grid, strict=True)]


def _each(function: Callable, grid: Grid, other: Grid) -> Grid:
    """Apply a function of two arrays to what has the same place in two grids."""
    return [[function(x, y) for x, y in zip(*rows, strict=True)] for rows in zip(grid, other, strict=True)]
