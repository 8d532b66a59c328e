"""LPIPS, the learned perceptual image patch similarity of Zhang et al. (CVPR 2018), in its version 0.1."""

from collections.abc import Callable, Sequence
from functools import partial

import jax.numpy as jnp

from srgan_jax.metrics import canvas
from srgan_jax.metrics.canvas import Distances, Pair, Sizes
from srgan_jax.metrics.networks import features, max_pool
from srgan_jax.types import Features, Images, Params

# Windows of the max-poolings, and the fewest rows and columns of which each layer makes one pixel at least.
WINDOWS = {"alex": 3, "vgg": 2}
SMALLEST = {"alex": 31, "vgg": 16}

# The standardisation of images in [-1, 1] that version 0.1 introduced.
MEAN = (-0.030, -0.088, -0.188)
DEVIATION = (0.458, 0.448, 0.450)
EPSILON = 1e-10


def lpips(params: Params, sr: Images, hr: Images, *, network: str, sizes: Sizes | None = None) -> Distances:
    """Return the LPIPS distance of each pair of images; its gradients are finite, so that it can be a loss.

    For each of five layers l with features y of H × W pixels, and ŷ of unit length over the channels (eq. 1):

        d(sr, hr) = Σ_l 1 / (H W) · Σ_hw Σ_c w_lc (ŷ_sr - ŷ_hr)²

    Lower is better, 0 for equal images; values lie between 0 and about 1.

    Args:
      params: {"conv0": {"kernel", "bias"}, …, "lin0": [C] …}, as weights.perceptual.load_lpips returns them.
      sr, hr: images in [-1, 1], RGB.
      network: "alex" (AlexNet, what tables of papers have) or "vgg" (VGG16, what losses take).
      sizes: heights and widths of pictures that lie in the upper left corner of these images; None if they fill them.
    """
    pool = partial(max_pool, window=WINDOWS[network])
    maps = (
        features(params, (images - jnp.array(MEAN)) / jnp.array(DEVIATION), sizes, network=network, pool=pool)
        for images in (sr, hr)
    )
    distance = jnp.zeros(len(sr))
    for k, ((x, places), (y, _)) in enumerate(zip(*maps, strict=True)):
        squares = jnp.square(_unit_length(x) - _unit_length(y))
        distance += canvas.average(squares, places) @ params[f"lin{k}"]
    return distance


def make_lpips(params: Params, network: str) -> Callable[[Sequence[Pair]], list[float]]:
    """Build score(pairs of uint8 pictures) -> LPIPS of each; see `lpips`, and canvas.make_score for what it takes."""
    name = f"LPIPS ({network})"
    return canvas.make_score(partial(lpips, network=network), params, name=name, smallest=SMALLEST[network])


def _unit_length(x: Features) -> Features:
    """Divide by the length over channels. Where all channels are zero the root has no gradient, so we leave it out."""
    squares = jnp.square(x).sum(axis=-1, keepdims=True)
    length = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    return x / (length + EPSILON)
