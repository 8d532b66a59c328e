"""The gradients of 3×3 convolutions of stride 2, by the four phases into which a stride of 2 divides the pixels.

With one zero around the images, a pixel of an even row lies under the middle row of taps alone. A pixel of an odd row
lies under the last row of taps, and for the next result under the first. The same holds for columns.
"""

import jax.numpy as jnp

from srgan_jax.cpu.operations import (
    Kernel,
    Result,
    convolve,
    from_phases,
    in_memory,
    mirrored,
    phases,
    stacked,
    sum_of_outer_products,
)
from srgan_jax.types import Features

# For each row (and column) of taps: the phase of the pixels under it, and how many results later they get there.
PHASES_OF_TAPS = ((1, 1), (0, 0), (1, 0))
# For each phase: the rows (and columns) of mirrored taps that its pixels lie under.
TAPS_OF_PHASES = (slice(1, 2), slice(0, 3, 2))


def image_gradient(d_out: Result, kernel: Kernel) -> Features:
    """Turn the gradient of the result into that of the images [N, H, W, C], H and W even.

    Each phase is one convolution without a stride. XLA puts zeros between the gradient's pixels instead, and multiplies
    by them.
    """
    taps = mirrored(kernel)

    def phase(a, b):
        return convolve(d_out, taps[TAPS_OF_PHASES[a], TAPS_OF_PHASES[b]], ((0, a), (0, b)))

    return from_phases([[phase(a, b) for b in (0, 1)] for a in (0, 1)])


def kernel_gradient(images: Features, d_out: Result) -> Kernel:
    """Turn the gradient of the result into that of the kernel [3, 3, C, D], by one matrix product for each tap."""
    images, d_out = in_memory(images, d_out)
    later = [[jnp.pad(d_out[:, a:, b:], ((0, 0), (0, a), (0, b), (0, 0))) for b in (0, 1)] for a in (0, 1)]
    pixels, later = in_memory(phases(images), later)
    taps = PHASES_OF_TAPS
    return stacked([[sum_of_outer_products(pixels[a][b], later[i][j]) for b, j in taps] for a, i in taps])
