"""Terms in which a discriminator has a part: G's side and D's side of each stand together."""

import jax
import jax.numpy as jnp

from srgan_jax.losses.context import Term
from srgan_jax.types import Logits, Scalar


def vanilla_generator(fake: Logits) -> Scalar:
    """The generator's -log D(G(x)) (eq. 6), averaged over the batch."""
    return jnp.mean(jax.nn.softplus(-fake))


def vanilla_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Binary cross-entropy, -log D(HR) - log(1 - D(SR)) (eq. 2), averaged over the batch."""
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


TERMS = {
    "adversarial": Term(
        generator=lambda context: vanilla_generator(context.fake_logits),
        discriminator=lambda context: vanilla_discriminator(context.real_logits, context.fake_logits),
    ),
}
