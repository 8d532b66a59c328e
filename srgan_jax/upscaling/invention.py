"""How far SR leaves the picture of a reference, and a bound on it.

A network that was trained adversarially invents detail. A network that was trained for the least squared error, such
as SRResNet, gives the mean of all pictures that LR could have come from, and so invents little. The difference between
the two is what the first one has invented. Where a picture must not show what may not be there, as in medicine and
with text and faces, this difference can be shown (images/heat_map.py) and bounded.
"""

import numpy as np

from srgan_jax.types import DeepPicture, Float
from srgan_jax.upscaling.options import check_max_invention


def bounds(reference: DeepPicture, max_invention: float) -> tuple[DeepPicture, DeepPicture]:
    """Return the lowest and the highest levels that SR may have.

    Args:
      reference: levels [H, W, C] of the reference's enlargement.
      max_invention: by how many levels SR may leave the reference, in each pixel and channel, from 0 to 255. These are
        levels of 8 bits. A 16-bit picture has 257 of its levels for each of them. What is no whole number of the
        picture's levels is rounded down.

    Returns:
      (lowest, highest), of the shape and dtype of `reference`.

    Raises:
      OptionError: `max_invention` is out of its range.
    """
    check_max_invention(max_invention)
    highest = np.iinfo(reference.dtype).max
    # The small number keeps 257 · 0.7 and the like from falling just below a whole number.
    step = int(max_invention * (highest // 255) + 1e-9)
    levels = reference.astype(np.int32)
    return tuple(np.clip(levels + by, 0, highest).astype(reference.dtype) for by in (-step, step))


def bound(sr: DeepPicture, reference: DeepPicture, max_invention: float) -> DeepPicture:
    """Move the levels of SR that leave the reference too far to the nearest ones that do not.

    Args:
      sr, reference: levels [H, W, C] of one dtype.
      max_invention: see `bounds`.

    Returns:
      Levels of the shape and dtype of `sr`.
    """
    return np.clip(sr, *bounds(reference, max_invention))


def invention(sr: DeepPicture, reference: DeepPicture) -> Float[np.ndarray, "h w"]:
    """Return |SR − reference| in levels of 8 bits, of each pixel the largest difference among its channels.

    Args:
      sr, reference: levels [H, W, C] of one dtype.

    Returns:
      float32 [H, W], from 0 to 255. `bound` makes it at most `max_invention`.
    """
    difference = np.abs(sr.astype(np.int32) - reference).max(-1)
    return (difference / (np.iinfo(sr.dtype).max // 255)).astype(np.float32)
