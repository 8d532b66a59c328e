"""Blur kernels as Wang et al. draw them (Real-ESRGAN, ICCV 2021 workshops, section 3.1), and blurring by any kernel.

All of this runs inside of a jitted step, on one image at a time; jax.vmap makes a batch of it.
"""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from srgan_jax.data.dice import Dice, Number
from srgan_jax.types import AnyArray, Array, Float

Kernel = Float[AnyArray, "taps taps"]  # sums to 1


def bells(radius: int, sigmas: tuple, angle: Number, profile: Callable) -> Kernel:
    """Return a kernel that depends on the distance from its middle, as an ellipse measures it.

    Args:
      radius: the kernel has 2 · radius + 1 taps on each side.
      sigmas: standard deviations along the ellipse's two axes, in pixels.
      angle: of the first axis, in radians.
      profile: squared distance in standard deviations -> weight.
    """
    x, y = _grid(radius)
    along, across = x * jnp.cos(angle) + y * jnp.sin(angle), y * jnp.cos(angle) - x * jnp.sin(angle)
    return profile(jnp.square(along / sigmas[0]) + jnp.square(across / sigmas[1]))


def gaussian(squares: Array, beta: Array | float = 1.0) -> Array:
    """Return the profile of a Gaussian; where β is not 1, of a generalised one with longer or shorter tails."""
    return jnp.exp(-0.5 * squares**beta)


def plateau(squares: Array, beta: Array) -> Array:
    """Return a profile with a flat top."""
    return 1 / (1 + squares**beta)


def sinc(radius: int, cutoff: Number) -> Kernel:
    """Return the circular low-pass filter, whose ringing is that of strong sharpening or compression.

    Args:
      radius: the kernel has 2 · radius + 1 taps on each side.
      cutoff: the highest frequency that is kept, up to π, in radians per pixel.
    """
    distance = jnp.hypot(*_grid(radius))
    # J1(x) is the mean of cos(t - x sin t) over a period of t. A sum over the period is exact up to rounding where it
    # has more places than x and some.
    places = 2 * np.pi * np.arange(PLACES) / PLACES
    bessel = jnp.cos(places - cutoff * distance[..., None] * np.sin(places)).mean(-1)
    middle = cutoff**2 / (4 * np.pi)
    return jnp.where(distance == 0, middle, cutoff * bessel / (2 * np.pi * jnp.where(distance == 0, 1, distance)))


PLACES = 128


def _draw_bells(dice: Dice, options: Mapping, radius: int, *, round_: bool, profile: Callable) -> Kernel:
    first, second = dice.uniform(*options["sigma"]), dice.uniform(*options["sigma"])
    sigmas, angle = (first, first if round_ else second), dice.uniform(-np.pi, np.pi)
    return bells(radius, sigmas, angle, profile(dice, options))


def _gaussian(dice: Dice, options: Mapping) -> Callable:
    return gaussian


def _generalised(dice: Dice, options: Mapping) -> Callable:
    beta = _around_one(dice, options["generalised_beta"])
    return lambda squares: gaussian(squares, beta)


def _plateau(dice: Dice, options: Mapping) -> Callable:
    beta = _around_one(dice, options["plateau_beta"])
    return lambda squares: plateau(squares, beta)


def _around_one(dice: Dice, ends: tuple[float, float]) -> Array:
    """Draw a number between the ends; as often below 1 as above, where they are on both sides of it."""
    middle = float(np.clip(1.0, *ends))
    return jnp.where(dice.chance(0.5), dice.uniform(ends[0], middle), dice.uniform(middle, ends[1]))


def _draw_sinc(dice: Dice, options: Mapping, radius: int, taken: Array) -> Kernel:
    # A small kernel would cut off the ringing of a low frequency.
    return sinc(radius, dice.uniform(jnp.where(taken < 6, np.pi / 3, np.pi / 5), np.pi))


def _row(profile: Callable, *, round_: bool) -> Callable:
    return lambda dice, options, radius, taken: _draw_bells(dice, options, radius, round_=round_, profile=profile)


# How each shape of kernel is drawn: (dice, options of a pass, largest radius, radius that is drawn) -> kernel.
SHAPES: dict[str, Callable] = {
    "isotropic": _row(_gaussian, round_=True),
    "anisotropic": _row(_gaussian, round_=False),
    "generalised_isotropic": _row(_generalised, round_=True),
    "generalised_anisotropic": _row(_generalised, round_=False),
    "plateau_isotropic": _row(_plateau, round_=True),
    "plateau_anisotropic": _row(_plateau, round_=False),
    "sinc": _draw_sinc,
}


def draw_kernel(dice: Dice, options: Mapping) -> Kernel:
    """Draw a kernel.

    Args:
      dice: what random numbers come from.
      options: of a pass, see configs/base.py: `shapes` are the weights of the rows of SHAPES; `radius` the ends of the
        radius, after which a kernel is cut off; `sigma`, `generalised_beta` and `plateau_beta` the ends of these.

    Returns:
      A kernel with the largest radius; it is zero beyond the one that was drawn.
    """
    low, high = options["radius"]
    taken = dice.integer(low, high)
    weights = {name: weight for name, weight in options["shapes"].items() if weight}
    kernels = [SHAPES[name](dice, options, high, taken) for name in weights]
    kernel = jnp.stack(kernels)[dice.choice(tuple(weights.values()))]
    x, y = _grid(high)
    kernel = jnp.where(jnp.maximum(jnp.abs(x), jnp.abs(y)) <= taken, kernel, 0)
    return kernel / kernel.sum()


def convolve(image: Float[AnyArray, "h w c"], kernel: Kernel) -> Float[Array, "h w c"]:
    """Convolve each channel of an image, whose border continues as it ends, by way of the Fourier transform."""
    radius = len(kernel) // 2
    padded = jnp.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    size = padded.shape[:2]
    centred = jnp.roll(jnp.pad(kernel, [(0, n - len(kernel)) for n in size]), (-radius, -radius), (0, 1))
    product = jnp.fft.rfft2(padded, axes=(0, 1)) * jnp.fft.rfft2(centred)[..., None]
    return jnp.fft.irfft2(product, size, axes=(0, 1))[radius:-radius, radius:-radius]


def _grid(radius: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    return x, y
