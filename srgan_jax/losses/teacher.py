"""Terms by which a small network learns from a larger one that is trained already, its teacher (`config.teacher`)."""

import jax.numpy as jnp

from srgan_jax.errors import InputError
from srgan_jax.losses.context import Context, Term
from srgan_jax.losses.pixel import l1
from srgan_jax.types import Array, Features, Float, Scalar

# Added to the squared norm of a pixel's features, so that the gradient of a pixel without any is finite.
NORM_EPSILON = 1e-6


def teacher_l1(context: Context) -> Scalar:
    """Return the mean absolute difference of SR and the teacher's SR.

    This is for images what Hinton et al. do for classes ("Distilling the Knowledge in a Neural Network", 2015).
    """
    return l1(context.sr, context.teacher["sr"])


def affinity(features: Features) -> Float[Array, "n pixels pixels"]:
    """Return the cosine of the angle between the features of any two pixels of an image."""
    n, h, w, c = features.shape
    pixels = features.astype(jnp.float32).reshape(n, h * w, c)
    pixels = pixels / jnp.sqrt(jnp.sum(jnp.square(pixels), -1, keepdims=True) + NORM_EPSILON)
    return pixels @ pixels.swapaxes(1, 2)


def teacher_affinity(context: Context) -> Scalar:
    """Return the mean absolute difference of the affinities of G's features and the teacher's.

    This is the spatial affinity of He et al., "FAKD: Feature-affinity Based Knowledge Distillation for Efficient Image
    Super-Resolution", ICIP 2020. The features are those after the last block, on LR's pixels. The two networks may have
    different numbers of them.
    """
    for whose, features in (("the generator", context.features), ("the teacher", context.teacher.get("features"))):
        if features is None:
            raise InputError(
                f"losses.teacher_affinity: {whose} gives no features on LR's pixels; set it to 0, or take a generator "
                "with a chain of blocks, such as ecbsr or srresnet."
            )
    return l1(affinity(context.features), affinity(context.teacher["features"]))


TERMS = {
    "teacher_l1": Term(teacher_l1, frozen=("teacher",)),
    "teacher_affinity": Term(teacher_affinity, frozen=("teacher",), outputs=("features",)),
}
