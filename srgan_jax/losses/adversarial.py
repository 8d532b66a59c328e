"""Terms in which a discriminator has a part: G's side and D's side of each stand together, and the penalties of D.

Logits may be those of whole pictures or of their parts: a mean over the batch is then also one over the parts.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from srgan_jax.losses.context import Context, Setting, Term
from srgan_jax.types import Array, Float, Images, Logits, Scalar


def vanilla_generator(fake: Logits) -> Scalar:
    """Return the generator's -log D(G(x)) (eq. 6), averaged over the batch."""
    return jnp.mean(jax.nn.softplus(-fake))


def vanilla_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return the binary cross-entropy, -log D(HR) - log(1 - D(SR)) (eq. 2), averaged over the batch."""
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def least_squares_generator(fake: Logits) -> Scalar:
    """Return ½ (D(SR) - 1)², averaged over the batch (Mao et al., LSGAN, ICCV 2017, eq. 9)."""
    return 0.5 * jnp.mean(jnp.square(fake - 1))


def least_squares_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return ½ (D(HR) - 1)² + ½ D(SR)², averaged over the batch (Mao et al., LSGAN, ICCV 2017, eq. 9)."""
    return 0.5 * (jnp.mean(jnp.square(real - 1)) + jnp.mean(jnp.square(fake)))


def linear_generator(fake: Logits) -> Scalar:
    """Return -D(SR), averaged over the batch: G's side of the hinge loss and of the Wasserstein loss."""
    return -jnp.mean(fake)


def hinge_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return max(0, 1 - D(HR)) + max(0, 1 + D(SR)), averaged over the batch (Miyato et al., ICLR 2018, eq. 16)."""
    return jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake))


def wasserstein_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return D(SR) - D(HR), averaged over the batch (Gulrajani et al., NeurIPS 2017, eq. 3).

    If D's slope is at most 1, minus the least value is the Wasserstein distance of SR's and HR's distributions.
    """
    return jnp.mean(fake) - jnp.mean(real)


def relativistic_average_generator(real: Logits, fake: Logits) -> Scalar:
    """Return the discriminator's loss with HR and SR exchanged (Wang et al., ESRGAN, ECCV 2018 workshops, eq. 2)."""
    return relativistic_average_discriminator(fake, real)


def relativistic_average_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return the cross-entropy of "more natural than the others are on average", averaged over the batch.

    HR's logits are taken relative to the mean of SR's, and SR's relative to the mean of HR's (Jolicoeur-Martineau, ICLR
    2019; ESRGAN, eq. 1). This is the sum of both, of which published programs take half.
    """
    return vanilla_discriminator(real - jnp.mean(fake), fake - jnp.mean(real))


def image_gradients(context: Context, images: Images) -> Float[Array, "n h w c"]:
    """Return the gradient of D's judgement of each image, which is the mean logit where D has several."""

    def judgement(images: Images) -> Scalar:
        logits = context.judge(images)
        return jnp.sum(logits) * (len(images) / len(logits))

    return jax.grad(judgement)(images)


def gradient_penalty(context: Context) -> Scalar:
    """Return (‖∇D(x)‖ - 1)² at a random point x between HR and SR, averaged over the batch (Gulrajani et al., eq. 3).

    Each pair of images has a point of its own. The norm is that over all pixels and channels of an image.
    """
    hr, sr = context.seen(context.hr), context.seen(context.sr)
    # A key of its own, since the jitter draws from the update's.
    between = jax.random.uniform(jax.random.fold_in(context.key, 1), (len(hr), 1, 1, 1))
    squares = jnp.sum(jnp.square(image_gradients(context, between * hr + (1 - between) * sr)), axis=(1, 2, 3))
    return jnp.mean(jnp.square(jnp.sqrt(squares + 1e-12) - 1))  # a root without the constant has no slope at 0


def r1_penalty(context: Context) -> Scalar:
    """Return ‖∇D(HR)‖², averaged over the batch; the weight is γ / 2 (Mescheder et al., ICML 2018, eq. 9)."""
    return jnp.mean(jnp.sum(jnp.square(image_gradients(context, context.seen(context.hr))), axis=(1, 2, 3)))


def _needs_judgements_by_image(setting: Setting) -> str | None:
    if getattr(setting.discriminator, "has_batch_norm", False):
        return (
            "needs a discriminator that judges every picture by itself, and BatchNorm mixes those of a batch; set "
            'discriminator.norm="none" or "spectral".'
        )
    return None


def _needs_bounded_slope(setting: Setting) -> str | None:
    if "gradient_penalty" in setting.weights or getattr(setting.discriminator, "is_spectral", False):
        return None
    return (
        "has no least value unless the discriminator's slope is bounded; set losses.gradient_penalty=10 with "
        'discriminator.norm="none", or discriminator.norm="spectral".'
    )


def _relative(side: Callable) -> Callable[[Context], Scalar]:
    """Return a side that looks at the logits of HR and of SR."""
    return lambda context: side(context.real_logits, context.fake_logits)


def _of_fake(side: Callable) -> Callable[[Context], Scalar]:
    """Return a side that looks at the logits of SR alone."""
    return lambda context: side(context.fake_logits)


TERMS = {
    "adversarial": Term(_of_fake(vanilla_generator), _relative(vanilla_discriminator)),
    "least_squares": Term(_of_fake(least_squares_generator), _relative(least_squares_discriminator)),
    "hinge": Term(_of_fake(linear_generator), _relative(hinge_discriminator)),
    "relativistic_average": Term(
        _relative(relativistic_average_generator), _relative(relativistic_average_discriminator)
    ),
    "wasserstein": Term(
        _of_fake(linear_generator), _relative(wasserstein_discriminator), objection=_needs_bounded_slope
    ),
    "gradient_penalty": Term(penalty=gradient_penalty, objection=_needs_judgements_by_image),
    "r1": Term(penalty=r1_penalty, objection=_needs_judgements_by_image),
}
