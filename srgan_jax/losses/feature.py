"""Terms that compare VGG19's feature maps φ_{i,j} of SR and HR (section 2.2.1)."""

from collections.abc import Callable

import jax.numpy as jnp

from srgan_jax.losses.context import Context, Setting, Term
from srgan_jax.losses.pixel import l1, mse
from srgan_jax.models.vgg import AFTER_ACTIVATION, BEFORE_ACTIVATION, LAYERS
from srgan_jax.types import Features, Scalar


def relative_l1(sr: Features, hr: Features) -> Scalar:
    """Return the mean absolute difference over HR's mean absolute value, which makes those of all layers one size."""
    return l1(sr, hr) / jnp.mean(jnp.abs(hr))


def _term(layer: str, distance: Callable[[Features, Features], Scalar]) -> Term:
    def compare(context: Context) -> Scalar:
        return distance(context.sr_features[layer], context.hr_features[layer])

    def objection(setting: Setting) -> str | None:
        if setting.channels != 3:
            return f"cannot be computed: VGG takes RGB, got channels={setting.channels}; use losses.mse."
        block, _ = LAYERS[layer]
        if setting.seen < (least := 2 ** (block - 1)):
            return (
                f"needs crops that are seen as {least} pixels at least, got {setting.seen}; raise data.crop_size or "
                "lower jitter."
            )
        return None

    return Term(compare, frozen=("vgg",), layers=(layer,), objection=objection)


# The paper's feature maps are those after the activation, compared by their squared difference (eq. 5). Before the
# activation no feature is cut off, so that a term also sees brightness; ESRGAN compares φ_{5,4} there by its absolute
# difference (Wang et al., ECCV 2018 workshops, section 3.3).
TERMS = (
    {layer: _term(layer, mse) for layer in AFTER_ACTIVATION}
    | {layer: _term(layer, relative_l1) for layer in BEFORE_ACTIVATION}
    | {f"{layer}_l1": _term(layer, l1) for layer in LAYERS}
    | {f"{layer}_mse": _term(layer, mse) for layer in BEFORE_ACTIVATION}
)
