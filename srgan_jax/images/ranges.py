"""Value ranges of images, and the eight flips and turns.

LR images are in [0, 1], HR and SR images in [-1, 1] (paper, section 3.2). Files and metrics use uint8. Arrays are
[..., height, width, channels].
"""

import jax.numpy as jnp


def lr_to_unit(levels):
    """Levels 0..255 of an LR image -> the network's input range [0, 1]."""
    return jnp.asarray(levels, jnp.float32) / 255.0


def hr_to_signed(levels):
    """Levels 0..255 of an HR image -> the losses' range [-1, 1]."""
    return jnp.asarray(levels, jnp.float32) / 127.5 - 1.0


def unit_to_signed(image):
    """[0, 1] -> [-1, 1]."""
    return 2.0 * image - 1.0


def signed_to_unit(image):
    """[-1, 1] -> [0, 1]."""
    return (image + 1.0) / 2.0


def signed_to_levels(image):
    """[-1, 1] -> levels 0..255, unrounded and unclipped (what VGG's preprocessing starts from)."""
    return (image + 1.0) * 127.5


def signed_to_integers(image, dtype=jnp.uint8):
    """The network's output in [-1, 1] -> uint8 or uint16, rounded half up and clipped: what is saved and scored."""
    highest = jnp.iinfo(dtype).max
    return jnp.floor(jnp.clip((image + 1.0) * (highest / 2), 0, highest) + 0.5).astype(dtype)


def turn(images, turns):
    """Apply one of the eight flips and turns of the square to each image of a batch.

    Args:
      images: [N, S, S, C], square, because a quarter turn swaps height and width.
      turns: int32 [N] in 0..7. Bit 0 flips left-right, bit 1 flips top-bottom, bit 2 transposes.
    """
    for bit, change in enumerate((lambda x: x[:, :, ::-1], lambda x: x[:, ::-1], lambda x: x.transpose(0, 2, 1, 3))):
        images = jnp.where((turns >> bit & 1 == 1)[:, None, None, None], change(images), images)
    return images
