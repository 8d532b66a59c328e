"""Terms that compare VGG19's feature maps φ_{i,j} of SR and HR (section 2.2.1)."""

import jax.numpy as jnp

from srgan_jax.losses.context import Context, Term
from srgan_jax.losses.pixel import l1, mse
from srgan_jax.models.vgg import AFTER_ACTIVATION, BEFORE_ACTIVATION
from srgan_jax.types import Scalar


def _paper_term(layer: str) -> Term:
    """The mean squared difference of one feature map after its activation (eq. 5)."""

    def distance(context: Context) -> Scalar:
        return mse(context.sr_features[layer], context.hr_features[layer])

    return Term(distance, frozen=("vgg",))


def _relative_term(layer: str) -> Term:
    """The mean absolute difference of one feature map before its activation, over HR's mean absolute value.

    Before the activation no feature is cut off, so that the term also sees brightness (Wang et al., ESRGAN, ECCV 2018
    workshops, section 3.3); relative differences of all layers are of one size.
    """

    def distance(context: Context) -> Scalar:
        sr, hr = context.sr_features[layer], context.hr_features[layer]
        return l1(sr, hr) / jnp.mean(jnp.abs(hr))

    return Term(distance, frozen=("vgg",))


TERMS = {layer: _paper_term(layer) for layer in AFTER_ACTIVATION} | {
    layer: _relative_term(layer) for layer in BEFORE_ACTIVATION
}
