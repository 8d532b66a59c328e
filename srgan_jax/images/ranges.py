"""Value ranges of images, and the eight flips and turns.

LR images are in [0, 1], HR and SR images in [-1, 1] (paper, section 3.2). Files and metrics use uint8. Arrays are
[..., height, width, channels].
"""

import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from srgan_jax.types import AnyArray, Array, Float, Int, Shaped


def lr_to_unit(levels: ArrayLike) -> Float[Array, "..."]:
    """Map the levels 0..255 of an LR image to the network's input range [0, 1]."""
    return jnp.asarray(levels, jnp.float32) / 255.0


def hr_to_signed(levels: ArrayLike) -> Float[Array, "..."]:
    """Map the levels 0..255 of an HR image to the losses' range [-1, 1]."""
    return jnp.asarray(levels, jnp.float32) / 127.5 - 1.0


def unit_to_signed(image: Float[AnyArray, "..."]) -> Float[AnyArray, "..."]:
    """Map [0, 1] to [-1, 1]."""
    return 2.0 * image - 1.0


def signed_to_unit(image: Float[AnyArray, "..."]) -> Float[AnyArray, "..."]:
    """Map [-1, 1] to [0, 1]."""
    return (image + 1.0) / 2.0


def signed_to_levels(image: Float[AnyArray, "..."]) -> Float[AnyArray, "..."]:
    """Map [-1, 1] to the levels 0..255 without rounding or clipping. VGG's preprocessing starts from these."""
    return (image + 1.0) * 127.5


def signed_to_integers(image: Float[AnyArray, "..."], dtype: DTypeLike = jnp.uint8) -> Array:
    """Map the network's output in [-1, 1] to the integers that are saved and scored.

    Args:
      image: the output, of any shape.
      dtype: uint8 or uint16.

    Returns:
      The same shape in `dtype`. Values are clipped to the dtype's range and rounded to the nearest integer, halves up.
    """
    highest = jnp.iinfo(dtype).max
    return jnp.floor(jnp.clip((image + 1.0) * (highest / 2), 0, highest) + 0.5).astype(dtype)


def turn(images: Shaped[AnyArray, "n side side c"], turns: Int[AnyArray, " n"]) -> Array:
    """Apply one of the eight flips and turns of the square to each image of a batch.

    Args:
      images: [N, S, S, C]. They must be square, because a quarter turn swaps height and width.
      turns: int32 [N] in 0..7. Bit 0 flips left-right, bit 1 flips top-bottom, bit 2 transposes, in this order.

    Returns:
      The images after their flips and turns, [N, S, S, C].
    """
    for bit, change in enumerate((lambda x: x[:, :, ::-1], lambda x: x[:, ::-1], lambda x: x.transpose(0, 2, 1, 3))):
        images = jnp.where((turns >> bit & 1 == 1)[:, None, None, None], change(images), images)
    return images
