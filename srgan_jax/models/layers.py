"""The layers that Flax lacks, and the field's settings for those whose defaults differ."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from srgan_jax import cpu
from srgan_jax.types import AnyArray, Features, Float, Shaped

# Glorot-uniform kernels and zero biases: Lasagne's defaults, which the paper's authors used.
conv = functools.partial(
    nn.Conv, kernel_init=nn.initializers.glorot_uniform(), conv_general_dilated=cpu.conv_general_dilated
)
dense = functools.partial(nn.Dense, kernel_init=nn.initializers.glorot_uniform())

# Flax's momentum is the weight of the old average: 0.9 here is PyTorch's and Lasagne's 0.1.
BATCH_NORM_EPSILON = 1e-5
batch_norm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=BATCH_NORM_EPSILON)


class PReLU(nn.Module):
    """Parametric ReLU (He et al., 2015), 0.25 at the start.

    Attributes:
      slopes: "channel" for one slope per channel, "shared" for a single one.
    """

    slopes: str = "channel"

    @nn.compact
    def __call__(self, x: Float[AnyArray, "*shape c"], *, factor: int = 1) -> Float[AnyArray, "*shape c"]:
        """Activate x. Before `pixel_shuffle(x, factor)` this gives what it would give after it, and moves less memory.

        Args:
          x: features, or subpixels of features.
          factor: of the pixel shuffle that follows, which makes factor² channels of x into one.
        """
        shape = {"channel": (x.shape[-1] // factor**2,), "shared": (1,)}[self.slopes]
        slope = self.param("slope", nn.initializers.constant(0.25), shape)
        slope = jnp.tile(slope, factor**2) if self.slopes == "channel" else slope
        return jnp.where(x >= 0, x, slope.astype(x.dtype) * x)


def max_pool(x: Features) -> Features:
    """Map [N, H, W, C] -> [N, ⌊H / 2⌋, ⌊W / 2⌋, C]: the largest of 2×2 pixels.

    On a TPU these are windows, whose gradient goes to the first of equal pixels. Elsewhere they are maxima of
    neighbours, which share the gradient if they are equal: XLA's windows are slower on a CPU, and keep oneDNN from the
    convolutions beside them; on a GPU their gradient moves twice the memory.
    """
    return lax.platform_dependent(x, tpu=_largest_in_windows, default=_largest_of_neighbours)


def _largest_in_windows(x: Features) -> Features:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _largest_of_neighbours(x: Features) -> Features:
    n, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2 * c)
    rows = jnp.maximum(x[:, :, 0], x[:, :, 1])
    return jnp.maximum(rows[..., :c], rows[..., c:])


def pixel_shuffle(x: Shaped[AnyArray, "n _ _ _"], factor: int) -> Shaped[AnyArray, "n _ _ _"]:
    """Map [N, H, W, factor² · C] -> [N, H · factor, W · factor, C] (Shi et al., 2016).

    Channel (i · factor + j) · C + c becomes channel c of subpixel (i, j): TensorFlow's depth_to_space order, which
    keeps the channels of a pixel together in memory. PyTorch's order is c · factor² + i · factor + j.
    """
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, factor, factor, c // factor**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, h * factor, w * factor, c // factor**2)


def subpixels(images: Shaped[AnyArray, "n _ _ _"], factor: int) -> Shaped[AnyArray, "n _ _ _"]:
    """Map [N, H · factor, W · factor, C] -> [N, H, W, factor² · C]: undo pixel_shuffle, also of NumPy arrays."""
    n, h, w, c = images.shape
    images = images.reshape(n, h // factor, factor, w // factor, factor, c)
    return images.transpose(0, 1, 3, 2, 4, 5).reshape(n, h // factor, w // factor, factor**2 * c)


def convolve_subpixels(
    images: Float[AnyArray, "n h w c"],
    kernel: Float[AnyArray, "k k c d"],
    window_strides: Sequence,
    padding: Any,
    **options,
) -> Float[AnyArray, "n h w d"]:
    """Convolve images, H and W even, on a grid half as fine; a `conv` of stride 1 with few outputs may be given this.

    The 2×2 pixels of a block become the channels of one pixel, of the images as of the result, and a kernel of 9×9 from
    64 channels to 3, for example, becomes one of 5×5 from 256 to 12. The sums are those of the finer grid. Few outputs
    would leave most of a processor's vector or matrix unit idle. And where a pixel shuffle has made the images, XLA
    leaves out this shuffle together with its inverse here.
    """
    coarse = cpu.conv_general_dilated(subpixels(images, 2), _coarse(kernel), window_strides, padding, **options)
    return pixel_shuffle(coarse, 2)


def _coarse(kernel: Float[AnyArray, "k k c d"]) -> Float[AnyArray, "l l _ _"]:
    """Map [k, k, C, D], k odd -> [l, l, 4 C, 4 D]: the kernel between the grids that are half as fine."""
    size, _, inputs, outputs = kernel.shape
    radius = size // 2
    coarse_radius = -(-radius // 2)
    coarse = 2 * coarse_radius + 1
    # The results of phase (a, b) have the kernel shifted by (a, b) pixels; each 2×2 of its taps are one coarse tap.
    around = (coarse - radius, coarse - radius)
    padded = jnp.pad(kernel, (around, around, (0, 0), (0, 0)))
    phases = [padded[1 - a : 1 - a + 2 * coarse, 1 - b : 1 - b + 2 * coarse] for a in (0, 1) for b in (0, 1)]
    taps = jnp.stack(phases, axis=-2).reshape(coarse, 2, coarse, 2, inputs, 4, outputs)
    return taps.transpose(0, 2, 1, 3, 4, 5, 6).reshape(coarse, coarse, 4 * inputs, 4 * outputs)


# How often each scale shuffles pixels, and by how much.
FACTORS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2), 16: (2, 2, 2, 2)}


def upsampling_radius(scale: int) -> float:
    """Return how many LR pixels 3×3 convolutions see on each side, one before each pixel shuffle of FACTORS."""
    factors = FACTORS[scale]
    return sum(1 / math.prod(factors[:n]) for n in range(len(factors)))


def icnr(init: nn.initializers.Initializer, factor: int) -> nn.initializers.Initializer:
    """Initialise a convolution before a pixel shuffle so that it begins as one before a nearest-neighbour enlargement.

    All factor² subpixels of a feature have the same kernel, so that the output shows no grid at the start (Aitken et
    al., "Checkerboard artifact free sub-pixel convolution", 2017).

    Args:
      init: gives the kernel of one subpixel.
      factor: of the pixel shuffle.
    """

    def initialise(key, shape, dtype=jnp.float32):
        kernel = init(key, (*shape[:-1], shape[-1] // factor**2), dtype)
        return jnp.tile(kernel, factor**2)

    return initialise


def add(x: Features, y: Features) -> Features:
    """Add y to the centre of x: they differ in size where convolutions pad nothing, as in upscaling/program.py."""
    top, left = ((a - b) // 2 for a, b in zip(x.shape[1:3], y.shape[1:3], strict=True))
    return x[:, top : top + y.shape[1], left : left + y.shape[2]] + y


class Enlarge(nn.Module):
    """[N, H, W, C] -> [N, scale · H, scale · W, C] by `method` of jax.image.resize; what is outside weighs nothing."""

    method: str
    scale: int

    def __call__(self, x: Features) -> Features:
        n, h, w, c = x.shape
        return jax.image.resize(x, (n, h * self.scale, w * self.scale, c), self.method)
