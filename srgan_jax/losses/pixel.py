"""Terms that compare SR with HR pixel by pixel, or look at SR's pixels alone."""

from fractions import Fraction

import jax
import jax.numpy as jnp

from srgan_jax.images import unit_to_signed
from srgan_jax.images.resize import MARGIN_LR, resize_matrix
from srgan_jax.losses.context import Context, Setting, Term
from srgan_jax.types import AnyArray, Float, Images, LRImages, Scalar

CHARBONNIER_EPSILON = 1e-3  # of images in [-1, 1]: an eighth of a level


def mse(sr: Float[AnyArray, "..."], hr: Float[AnyArray, "..."]) -> Scalar:
    """Return the mean squared error (eq. 4), of images or of features."""
    return jnp.mean(jnp.square(sr - hr))


def total_variation(images: Images) -> Scalar:
    """Return the anisotropic total variation, summed over the pixels of an image and averaged over the batch.

    The paper weighs it by 2e-8 (section 3.4) and leaves its form open; its implementations take this sum.
    """
    vertical = jnp.abs(images[:, 1:] - images[:, :-1]).sum((1, 2, 3))
    horizontal = jnp.abs(images[:, :, 1:] - images[:, :, :-1]).sum((1, 2, 3))
    return jnp.mean(vertical + horizontal)


def l1(sr: Float[AnyArray, "..."], hr: Float[AnyArray, "..."]) -> Scalar:
    """Return the mean absolute error, of images or of features."""
    return jnp.mean(jnp.abs(sr - hr))


def charbonnier(sr: Images, hr: Images) -> Scalar:
    """Return the mean of sqrt(error² + ε²), a smooth L1 (Lai et al., LapSRN, CVPR 2017, section 3.3)."""
    return jnp.mean(jnp.sqrt(jnp.square(sr - hr) + CHARBONNIER_EPSILON**2))


def reduce_bicubic(images: Images, scale: int) -> LRImages:
    """Reduce [N, H, W, C] -> [N, H / scale, W / scale, C], as resize.imresize reduces, without rounding.

    Near the border the result holds what a mirrored picture would give; a crop of a larger picture differs there by up
    to MARGIN_LR pixels on each side.
    """
    exact = jax.lax.Precision.HIGHEST
    rows, columns = (
        jnp.asarray(resize_matrix(n, n // scale, Fraction(1, scale)), jnp.float32) for n in images.shape[1:3]
    )
    images = jnp.einsum("oh,nhwc->nowc", rows, images, precision=exact)
    return jnp.einsum("ow,nhwc->nhoc", columns, images, precision=exact)


def lr_l1(context: Context) -> Scalar:
    """Return the mean absolute difference of LR and SR reduced to its size, both in [-1, 1].

    It is small where SR says nothing that LR contradicts. The outermost MARGIN_LR pixels are left out, since they
    depend on what lies outside of a crop.
    """
    inside = slice(MARGIN_LR, -MARGIN_LR)
    reduced = reduce_bicubic(context.sr, context.scale)
    lr = unit_to_signed(context.lr[..., : reduced.shape[-1]])  # without a guide
    return l1(reduced[:, inside, inside], lr[:, inside, inside])


def _needs_inside(setting: Setting) -> str | None:
    least = (2 * MARGIN_LR + 1) * setting.scale
    if setting.crop < least:
        return f"needs crops of {least} pixels at least, got {setting.crop}; raise data.crop_size."
    return None


def phase(context: Context) -> Scalar:
    """Return the mean square, over the scale² phases of a picture, of the mean of SR - HR in each phase and channel.

    A pixel shuffle computes the pixels of each phase (row and column modulo the scale) by kernels of their own. If
    they come to differ in brightness, a grid appears, which neither features after an activation nor D see well.
    """
    n, h, w, c = context.sr.shape
    error = (context.sr - context.hr).reshape(
        n, h // context.scale, context.scale, w // context.scale, context.scale, c
    )
    return jnp.mean(jnp.square(error.mean((1, 3))))


TERMS = {
    "mse": Term(lambda context: mse(context.sr, context.hr)),
    "l1": Term(lambda context: l1(context.sr, context.hr)),
    "charbonnier": Term(lambda context: charbonnier(context.sr, context.hr)),
    "lr_l1": Term(lr_l1, objection=_needs_inside),
    "phase": Term(phase),
    "tv": Term(lambda context: total_variation(context.sr)),
}
