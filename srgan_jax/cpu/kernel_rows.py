"""Convolutions with few outputs and without padding, by the rows of the kernel side by side; upscaling has them.

Few outputs leave a CPU's vector units idle. So the K rows of a kernel become outputs of one convolution, whose kernel
has a single row; what each row gives is shifted by as many pixels as the row has rows above it, and added. From a 9×9
kernel with 3 outputs, for example, this makes a 1×9 kernel with 27 outputs, which are filled up to 32.
"""

import jax.numpy as jnp

from srgan_jax.cpu.operations import Kernel, Result, convolve
from srgan_jax.types import Features

VECTOR = 16  # float32 numbers in a vector register of 512 bits


def result(images: Features, kernel: Kernel) -> Result:
    """Convolve [N, H, W, C] with [K, L, C, D] to [N, H - K + 1, W - L + 1, D]."""
    size, width, inputs, outputs = kernel.shape
    rows = kernel.transpose(1, 2, 0, 3).reshape(1, width, inputs, size * outputs)
    rows = jnp.pad(rows, ((0, 0), (0, 0), (0, 0), (0, -size * outputs % VECTOR)))
    products = convolve(images, rows, "VALID")
    height = max(0, products.shape[1] - size + 1)
    return sum(products[:, i : i + height, :, i * outputs : (i + 1) * outputs] for i in range(size))
