"""Upscaling: arrays of pictures of any size -> `scale` times as large, by any generator, in bounded memory.

- upscaler.py: the Upscaler, which takes a stream of pictures and computes them in tiles.
- tiles.py: what a tile of a picture reads and writes.
- program.py: the compiled program, which enlarges windows of pictures block by block.
- borders.py: how layers are computed on a part of a picture, and which layers can be.
- spatial.py: one picture over a grid of devices that exchange their borders.
- turns.py: the eight flips and turns of a picture, for the self-ensemble and for EXIF.
- consistency.py: SR whose reduction is LR.
- invention.py: how far SR leaves the picture of another generator, and a bound on it.
- blending.py: what lies between two generators.
- options.py: the range of each option.
"""

import importlib

from srgan_jax.upscaling.options import TILE

_HOMES = {"Upscaler": "upscaler", "blend": "blending", "make_consistent": "consistency"}

__all__ = ["TILE", "Upscaler", "blend", "make_consistent"]


def __getattr__(name: str) -> object:
    if name in _HOMES:  # on its first use: what only checks options does not import JAX
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
