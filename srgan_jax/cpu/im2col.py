"""The kernel gradient of convolutions with few outputs, by one matrix product with all shifts of the result's gradient.

The shifted copies lie side by side, as im2col lays out what a kernel sees. Of a few outputs they are small: 12 outputs
and a kernel of 5×5, for example, make 300 columns.
"""

import jax.numpy as jnp

from srgan_jax.cpu.operations import Kernel, Result, in_memory, sum_of_outer_products
from srgan_jax.types import Features

SIZE = 5  # rows and columns of the kernel


def kernel_gradient(images: Features, d_out: Result) -> Kernel:
    """Turn the gradient of the result [N, H, W, D] into that of the kernel [5, 5, C, D]."""
    images, d_out = in_memory(images, d_out)
    radius, (height, width) = SIZE // 2, d_out.shape[1:3]
    padded = jnp.pad(d_out, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
    # The first tap lies over a pixel when the result is computed that comes `radius` later: the shifts run backwards.
    shifts = [padded[:, i : i + height, j : j + width] for i in reversed(range(SIZE)) for j in reversed(range(SIZE))]
    products = sum_of_outer_products(images, jnp.concatenate(shifts, axis=-1))
    return products.reshape(-1, SIZE, SIZE, d_out.shape[-1]).transpose(1, 2, 0, 3)
