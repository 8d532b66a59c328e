"""The losses of the paper (section 2.2), each a function of images in [-1, 1] that gives a scalar.

The generator's loss is a weighted sum of terms that a config names: `losses = {"mse": 1, "adversarial": 1e-3}`.
A weight of zero leaves its term out of the computation.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.models.vgg import LAYERS, VGG19


def mse(sr, hr):
    """Pixel-wise mean squared error (eq. 4)."""
    return jnp.mean(jnp.square(sr - hr))


def total_variation(sr, hr):
    """Anisotropic total variation of SR, summed over the pixels of an image, averaged over the batch.

    The paper weighs it by 2e-8 (section 3.4) and leaves its form open; this is the sum that its implementations
    take. It does not look at HR.
    """
    del hr
    vertical = jnp.abs(sr[:, 1:] - sr[:, :-1]).sum((1, 2, 3))
    horizontal = jnp.abs(sr[:, :, 1:] - sr[:, :, :-1]).sum((1, 2, 3))
    return jnp.mean(vertical + horizontal)


def adversarial(fake_logits):
    """The generator's -log D(G(x)) (eq. 6), averaged over the batch."""
    return jnp.mean(jax.nn.softplus(-fake_logits))


def discriminator_loss(real_logits, fake_logits):
    """Binary cross-entropy: -log D(HR) - log(1 - D(SR)) (eq. 2), averaged over the batch."""
    return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(jax.nn.softplus(fake_logits))


# Terms that compare images; those of VGG's features carry the names of models.vgg.LAYERS, for example "vgg54".
IMAGE_TERMS: dict[str, Callable] = {"mse": mse, "tv": total_variation}
NAMES = (*IMAGE_TERMS, *LAYERS, "adversarial")


def make_generator_loss(weights: dict[str, float], *, vgg_preprocessing: str = "caffe", dtype=jnp.float32):
    """Build the perceptual loss (eq. 3): the weighted sum of the terms whose weight is not zero.

    Args:
      weights: {name out of NAMES: weight}.
      vgg_preprocessing: what VGG's weights expect, see models.vgg.PREPROCESSING.
      dtype: of the computation inside VGG.

    Returns:
      loss(sr, hr, vgg_params, judge) -> (scalar, {name: term before weighting}). `vgg_params` may be None where no
      VGG term has a weight. `judge` maps SR to logits; it is called for the adversarial term alone.

    Raises:
      InputError: an unknown name, or no weight but zeros.
    """
    if unknown := sorted(set(weights) - set(NAMES)):
        raise InputError(f"losses: unknown term {unknown[0]!r}; {nearest_name(unknown[0], NAMES)}")
    weights = {name: weight for name, weight in weights.items() if weight}
    if not weights:
        raise InputError("losses: every weight is zero; give at least one term, such as losses.mse=1.")
    layers = tuple(name for name in weights if name in LAYERS)
    vgg = VGG19(layers=layers, preprocessing=vgg_preprocessing, dtype=dtype) if layers else None

    def loss(sr, hr, vgg_params, judge):
        terms = {name: IMAGE_TERMS[name](sr, hr) for name in weights if name in IMAGE_TERMS}
        if vgg:
            sr_features, hr_features = (vgg.apply({"params": vgg_params}, image) for image in (sr, hr))
            terms |= {name: mse(sr_features[name], hr_features[name]) for name in layers}  # eq. 5
        if "adversarial" in weights:
            terms["adversarial"] = adversarial(judge(sr))
        return sum(weights[name] * term for name, term in terms.items()), terms

    return loss


def vgg_layers(weights: dict[str, float]) -> tuple[str, ...]:
    """The VGG feature maps that have a weight: what `--config.vgg_weights` is needed for."""
    return tuple(name for name, weight in weights.items() if weight and name in LAYERS)
