"""9×9 convolutions with few outputs, computed on a grid half as fine, where there are four times as many outputs.

Few outputs leave a CPU's vector units idle. Space to depth makes the 2 × 2 pixels of a block the channels of one pixel,
of the images as of the result. The convolution between these has a kernel of 5×5. Instead of 64 inputs and 3 outputs,
for example, it has 256 and 12.
"""

import jax
import jax.numpy as jnp

from srgan_jax.cpu.operations import (
    Kernel,
    Result,
    convolve,
    depth_to_space,
    in_memory,
    mirrored,
    space_to_depth,
    sum_of_outer_products,
)
from srgan_jax.types import Array, Features

SIZE, COARSE = 9, 5  # rows and columns of a kernel, and of the kernel between the coarse grids


def result(images: Features, kernel: Kernel) -> Result:
    """Convolve [N, H, W, C], H and W even, with [9, 9, C, D]; there are zeros around the images."""
    return depth_to_space(convolve(space_to_depth(images), _coarse(kernel)))


def image_gradient(d_out: Result, kernel: Kernel) -> Features:
    """Turn the gradient of the result into that of the images."""
    return depth_to_space(convolve(space_to_depth(d_out), mirrored(_coarse(kernel))))


def kernel_gradient(images: Features, d_out: Result) -> Kernel:
    """Turn the gradient of the result into that of the kernel."""
    kernel = jax.ShapeDtypeStruct((SIZE, SIZE, images.shape[-1], d_out.shape[-1]), images.dtype)
    gradient = _im2col_gradient(*in_memory(space_to_depth(images), space_to_depth(d_out)))
    return jax.linear_transpose(_coarse, kernel)(gradient)[0]


def _coarse(kernel: Kernel) -> Array:
    """[9, 9, C, D] -> [5, 5, 4 C, 4 D]."""
    *_, inputs, outputs = kernel.shape
    # The results of phase (a, b) have the kernel shifted by (a, b) pixels; each 2 × 2 of its taps are one coarse tap.
    padded = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    ends = 1 + 2 * COARSE
    shifted = jnp.stack([padded[1 - a : ends - a, 1 - b : ends - b] for a in (0, 1) for b in (0, 1)], axis=-2)
    coarse = shifted.reshape(COARSE, 2, COARSE, 2, inputs, 4, outputs).transpose(0, 2, 1, 3, 4, 5, 6)
    return coarse.reshape(COARSE, COARSE, 4 * inputs, 4 * outputs)


def _im2col_gradient(images: Features, d_out: Result) -> Kernel:
    """Compute the gradient of the kernel between the coarse grids, by one matrix product with all shifts of d_out."""
    radius, (height, width) = COARSE // 2, d_out.shape[1:3]
    padded = jnp.pad(d_out, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
    # The first tap lies over a pixel when the result is computed that comes `radius` later: the shifts run backwards.
    shifts = [
        padded[:, i : i + height, j : j + width] for i in reversed(range(COARSE)) for j in reversed(range(COARSE))
    ]
    products = sum_of_outer_products(images, jnp.concatenate(shifts, axis=-1))
    return products.reshape(-1, COARSE, COARSE, d_out.shape[-1]).transpose(1, 2, 0, 3)
