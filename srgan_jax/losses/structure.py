"""Terms that compare the structure of SR and HR: gradients, edges, SSIM and MS-SSIM."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from srgan_jax.losses.context import Context, Setting, Term
from srgan_jax.losses.pixel import charbonnier, l1
from srgan_jax.types import AnyArray, Array, Float, Images, Scalar

WINDOW, DEVIATION = 11, 1.5  # pixels, of SSIM's Gaussian
C1, C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # images in [-1, 1] have the range 2

# The weights of MS-SSIM's five scales, the finest first (Wang, Simoncelli and Bovik, 2003, section 3.2).
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

# SSIM may be negative, and the powers in MS-SSIM are infinitely steep at 0. What is below counts as this. So images
# without any likeness have no gradient, and a pixel term has to bring them near.
LEAST = 1e-2


def gradient_magnitude(images: Images) -> Float[AnyArray, "n _ _ c"]:
    """Return the length of the gradient by central differences, without the border: [N, H - 2, W - 2, C]."""
    rows = images[:, 2:, 1:-1] - images[:, :-2, 1:-1]
    columns = images[:, 1:-1, 2:] - images[:, 1:-1, :-2]
    return jnp.sqrt(jnp.square(rows) + jnp.square(columns) + 1e-6)


def gradient(sr: Images, hr: Images) -> Scalar:
    """Return the mean absolute difference of the lengths of gradients (Ma et al., SPSR, CVPR 2020, section 3)."""
    return l1(gradient_magnitude(sr), gradient_magnitude(hr))


def laplacian(images: Images) -> Float[AnyArray, "n _ _ c"]:
    """Return the sum of each pixel's four neighbours minus four times the pixel, without the border."""
    neighbours = images[:, 2:, 1:-1] + images[:, :-2, 1:-1] + images[:, 1:-1, 2:] + images[:, 1:-1, :-2]
    return neighbours - 4 * images[:, 1:-1, 1:-1]


def edge(sr: Images, hr: Images) -> Scalar:
    """Return the Charbonnier distance of the Laplacians, averaged over pixels (Zamir et al., CVPR 2021, section 3)."""
    return charbonnier(laplacian(sr), laplacian(hr))


def _blur(images: AnyArray) -> AnyArray:
    """Average under SSIM's Gaussian window at all places where it lies inside, along rows and columns."""
    taps = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / DEVIATION) ** 2)
    taps = (taps / taps.sum()).tolist()
    for axis in (1, 2):
        places = images.shape[axis] - WINDOW + 1
        images = sum(t * jax.lax.slice_in_dim(images, i, i + places, axis=axis) for i, t in enumerate(taps))
    return images


def _similarities(x: Images, y: Images) -> tuple[Float[Array, "n c"], Float[Array, "n c"]]:
    """Return (SSIM, its factor of contrast and structure), each a mean over a channel of an image."""
    mean_x, mean_y, of_xx, of_yy, of_xy = jnp.split(_blur(jnp.concatenate([x, y, x * x, y * y, x * y])), 5)
    variances, covariance = of_xx - mean_x**2 + of_yy - mean_y**2, of_xy - mean_x * mean_y
    structure = (2 * covariance + C2) / (variances + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return (luminance * structure).mean((1, 2)), structure.mean((1, 2))


def ssim(sr: Images, hr: Images) -> Scalar:
    """Return 1 - SSIM (Wang et al., IEEE TIP 2004), averaged over channels and images; 0 for equal images.

    Windows lie wholly inside. The images are brought to [0, 2] first, as SSIM is defined for levels from 0 on.
    """
    return 1 - _similarities(sr + 1, hr + 1)[0].mean()


def ms_ssim(sr: Images, hr: Images) -> Scalar:
    """Return 1 - MS-SSIM (Wang, Simoncelli and Bovik, Asilomar 2003, eq. 7), averaged over channels and images.

    Contrast and structure are compared at up to five scales, each of which halves the last by means of 2 × 2 pixels,
    and luminance at the coarsest. Five scales need 176 pixels. Smaller crops have the scales that have room for a
    window (96 pixels: four), with weights that have the sum of all five.
    """
    count = _scales(min(sr.shape[1:3]))
    weights = np.array(SCALES[:count]) * sum(SCALES) / sum(SCALES[:count])
    sr, hr, product = sr + 1, hr + 1, 1.0
    for i, weight in enumerate(weights.tolist()):
        if i:
            sr, hr = _halve(sr), _halve(hr)
        whole, structure = _similarities(sr, hr)
        product *= jnp.maximum(whole if i == count - 1 else structure, LEAST) ** weight
    return 1 - product.mean()


def _scales(side: int) -> int:
    """Return how many scales have room for a window."""
    return max(1, min(len(SCALES), (side // WINDOW).bit_length()))


def _halve(images: Images) -> Float[AnyArray, "n _ _ c"]:
    """Return the means of 2 × 2 pixels; an odd last row or column is left out."""
    n, h, w, c = images.shape
    return images[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _needs_window(setting: Setting) -> str | None:
    if setting.crop < WINDOW:
        return f"needs crops of {WINDOW} pixels at least, got {setting.crop}; raise data.crop_size."
    return None


def _term(distance: Callable, **options) -> Term:
    def compare(context: Context) -> Scalar:
        return distance(context.sr, context.hr)

    return Term(compare, **options)


TERMS = {
    "gradient": _term(gradient),
    "edge": _term(edge),
    "ssim": _term(ssim, objection=_needs_window),
    "ms_ssim": _term(ms_ssim, objection=_needs_window),
}
