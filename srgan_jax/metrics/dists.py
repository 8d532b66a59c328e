"""DISTS, the deep image structure and texture similarity of Ding et al. (TPAMI 2020)."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax

from srgan_jax.images import signed_to_unit
from srgan_jax.metrics import canvas
from srgan_jax.metrics.canvas import Distances, Pair, Sizes
from srgan_jax.metrics.networks import Maps, features
from srgan_jax.types import Images, Params

# Of ImageNet's photographs in [0, 1].
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)

C = 1e-6  # keeps the quotients of equations 4 and 5 defined


def dists(params: Params, sr: Images, hr: Images, *, sizes: Sizes | None = None) -> Distances:
    """Return the DISTS distance of each pair of images; its gradients are finite, so that it can be a loss.

    The six maps are the images themselves, in [0, 1], and what the last convolution of each of VGG16's five blocks
    makes of them, where L2 poolings stand in place of the max-poolings (eq. 1). For channel j of map i, with means μ,
    variances σ² and covariances over its pixels (eq. 4 to 6):

        l_ij = (2 μ_sr μ_hr + c) / (μ_sr² + μ_hr² + c)        the likeness of textures
        s_ij = (2 σ_sr,hr + c) / (σ_sr² + σ_hr² + c)          the likeness of structures
        d(sr, hr) = 1 - Σ_ij (α_ij l_ij + β_ij s_ij),         where Σ_ij (α_ij + β_ij) = 1

    Lower is better, 0 for equal images; values lie between 0 and about 1. Images are compared at their own size, where
    the authors' script first reduces larger ones to 256 pixels on the shorter side.

    Args:
      params: {"conv0": {"kernel", "bias"}, …, "alpha": [1475], "beta": [1475]}, as weights.perceptual.load_dists
        returns them.
      sr, hr: images in [-1, 1], RGB.
      sizes: heights and widths of pictures that lie in the upper left corner of these images; None if they fill them.
    """
    textures, structures = [], []
    for (x, places), (y, _) in zip(*(_maps(params, images, sizes) for images in (sr, hr)), strict=True):
        mean_x, mean_y = canvas.average(x, places), canvas.average(y, places)
        x, y = (canvas.inside(m - mean[:, None, None], places) for m, mean in ((x, mean_x), (y, mean_y)))
        energy, product = canvas.average(x * x + y * y, places), canvas.average(x * y, places)
        textures.append((2 * mean_x * mean_y + C) / (mean_x**2 + mean_y**2 + C))
        structures.append((2 * product + C) / (energy + C))
    alpha, beta = params["alpha"], params["beta"]
    likeness = jnp.concatenate(textures, axis=1) @ alpha + jnp.concatenate(structures, axis=1) @ beta
    return 1 - likeness / (alpha.sum() + beta.sum())


def make_dists(params: Params) -> Callable[[Sequence[Pair]], list[float]]:
    """Build score(pairs of uint8 pictures) -> DISTS of each; see `dists`, and canvas.make_score for what it takes."""
    return canvas.make_score(dists, params, name="DISTS", smallest=1)


def _maps(params: Params, images: Images, sizes: Sizes | None) -> list[tuple[Maps, Sizes | None]]:
    """Return the six maps of images in [-1, 1], and the sizes of the pictures there."""
    images = canvas.inside(signed_to_unit(images), sizes)
    standardised = (images - jnp.array(MEAN)) / jnp.array(DEVIATION)
    return [(images, sizes), *features(params, standardised, sizes, network="vgg", pool=l2_pool)]


def l2_pool(x: Maps, sizes: Sizes | None) -> tuple[Maps, Sizes | None]:
    """Return the root of the windowed mean of squares, every second pixel (eq. 1); its gradient is finite at 0 too.

    The window is Hanning's of 3 × 3 pixels, (1, 2, 1) / 4 along each axis, and outside there are zeros.
    """
    x = jnp.pad(jnp.square(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for axis in (1, 2):
        first, middle, last = (lax.slice_in_dim(x, i, x.shape[axis] - 2 + i, 2, axis) for i in range(3))
        x = (first + 2 * middle + last) / 4
    sizes = canvas.window_places(sizes, 3, stride=2, padding=1)
    return canvas.inside(jnp.sqrt(x + 1e-12), sizes), sizes
