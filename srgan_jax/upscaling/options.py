"""The options of upscaling, and what each of them may be."""

import numbers
from typing import Any

from srgan_jax.errors import InputError

TILE = 640  # LR pixels; the paper's network then keeps half a gigabyte of features
LARGEST_SCALE = 64


class OptionError(InputError):
    """A value that an option cannot have; commands add the name of their flag.

    Attributes:
      option: the name of the argument.
      problem: what is wrong with its value.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option, self.problem = option, problem


def check_tile(tile: Any) -> None:
    """Raise an OptionError unless `tile` is a number of LR pixels, or 0 for whole pictures."""
    if not isinstance(tile, numbers.Integral) or tile < 0:
        raise OptionError("tile", f"{tile!r} is no number of pixels; give a whole number, or 0 for whole pictures.")


def check_scale(scale: Any) -> None:
    """Raise an OptionError unless `scale` is a number above 0 and at most LARGEST_SCALE, or None."""
    if scale is not None and not (isinstance(scale, numbers.Real) and 0 < scale <= LARGEST_SCALE):
        raise OptionError("scale", f"{scale!r} is no number above 0 and at most {LARGEST_SCALE}.")


def check_max_invention(levels: Any) -> None:
    """Raise an OptionError unless `levels` is a number from 0 to 255, or None."""
    if levels is not None and not (isinstance(levels, numbers.Real) and 0 <= levels <= 255):
        raise OptionError("max_invention", f"{levels!r} is no number of levels from 0 to 255.")


def check_quality(quality: Any) -> None:
    """Raise an OptionError unless `quality` is a number from 1 to 100, or None."""
    if quality is not None and not (isinstance(quality, numbers.Real) and 1 <= quality <= 100):
        raise OptionError("quality", f"{quality!r} is not from 1 to 100.")


def check_suffix(suffix: Any) -> None:
    """Raise an OptionError unless `suffix` can stand in the name of a file, or is None."""
    if suffix is not None and not (isinstance(suffix, str) and not set(suffix) & set("/\\\0")):
        raise OptionError("suffix", f"{suffix!r} cannot stand in the name of a file.")


def check_share(share: Any) -> None:
    """Raise an OptionError unless `share` is from 0 to 1."""
    if not (isinstance(share, numbers.Real) and 0 <= share <= 1):
        raise OptionError("share", f"{share!r} is no number from 0 to 1.")
