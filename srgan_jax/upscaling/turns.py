"""The eight flips and turns of a picture.

They are numbered by three bits, and done in this order: bit 0 flips left and right, bit 1 flips top and bottom, bit 2
transposes. Number 5, for example, flips left and right and then transposes: a quarter turn to the left.
"""

import functools

import numpy as np

COUNT = 8
TRANSPOSED = 4  # the bit of the turns that swap height and width

# What each bit does to [..., H, W, C].
_CHANGES = (lambda x: x[..., ::-1, :], lambda x: x[..., ::-1, :, :], lambda x: x.swapaxes(-3, -2))


def turn(picture: np.ndarray, number: int, *, back: bool = False) -> np.ndarray:
    """Flip and turn a picture.

    Args:
      picture: [..., H, W, C].
      number: which of the eight turns, 0 to 7; 0 changes nothing.
      back: undo this turn instead.

    Returns:
      A view of [..., H, W, C], or of [..., W, H, C] where the turn transposes.
    """
    changes = [change for bit, change in enumerate(_CHANGES) if number >> bit & 1]
    return functools.reduce(lambda x, change: change(x), changes[:: -1 if back else 1], picture)
