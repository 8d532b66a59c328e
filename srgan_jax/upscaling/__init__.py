"""Upscaling: arrays of pictures of any size -> `scale` times as large, by any generator, in bounded memory.

- upscaler.py: the Upscaler, which takes a stream of pictures and computes them in tiles.
- tiles.py: what a tile of a picture reads and writes.
- program.py: the compiled program, which enlarges windows of pictures block by block.
- borders.py: how layers are computed on a part of a picture, and which layers can be.
- turns.py: the eight flips and turns of a picture, for the self-ensemble and for EXIF.
- consistency.py: SR whose reduction is LR.
- blending.py: what lies between two generators.
- options.py: the range of each option.
"""

from srgan_jax.upscaling.blending import blend
from srgan_jax.upscaling.consistency import make_consistent
from srgan_jax.upscaling.upscaler import TILE, Upscaler

__all__ = ["TILE", "Upscaler", "blend", "make_consistent"]
