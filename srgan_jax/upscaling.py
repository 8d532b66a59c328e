"""A picture of any size -> one `scale` times as large, tile by tile."""

import jax
import jax.numpy as jnp
import numpy as np

from srgan_jax.images import lr_to_unit, signed_to_uint8
from srgan_jax.models import SRResNet


def make_upscaler(module: SRResNet, *, tile: int = 128):
    """Build `upscale(variables, lr) -> sr` for a network, at the highest precision.

    Tiles overlap by the network's receptive field and their windows stay inside the picture, so that the result is
    that of the whole picture at once. Pictures larger than a window share one compiled program.

    Args:
      tile: LR pixels that a tile adds to the result in each direction; 0 takes the whole picture at once.

    Returns:
      upscale(variables, lr): uint8 [H, W, C] -> uint8 [scale · H, scale · W, channels]. Where C is 1 and the network
      wants 3, grey is repeated; where C is 3 and it wants 1, each channel is enlarged by itself.
    """
    scale, margin = module.scale, module.receptive_radius

    @jax.jit
    def run(variables, window):
        # TPUs and recent GPUs would otherwise round float32 convolutions to bfloat16 or TF32.
        with jax.default_matmul_precision("highest"):
            return signed_to_uint8(module.apply(variables, lr_to_unit(window)[None], train=False)[0])

    def spans(size):
        """(start, stop of the tile, start of its window) along one axis, and the window's size."""
        step = tile or size
        window = min(size, step + 2 * margin)
        starts = range(0, size, step) if window < size else [0]
        step = step if window < size else size
        return [(a, min(a + step, size), min(max(a - margin, 0), size - window)) for a in starts], window

    def enlarge(variables, lr):
        rows, height = spans(lr.shape[0])
        columns, width = spans(lr.shape[1])
        sr = np.empty((lr.shape[0] * scale, lr.shape[1] * scale, module.channels), np.uint8)
        for top, bottom, y in rows:
            for left, right, x in columns:
                out = np.asarray(run(variables, jnp.asarray(lr[y : y + height, x : x + width])))
                sr[top * scale : bottom * scale, left * scale : right * scale] = out[
                    (top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale
                ]
        return sr

    def upscale(variables, lr):
        if lr.shape[-1] == module.channels:
            return enlarge(variables, lr)
        if lr.shape[-1] == 1:
            return enlarge(variables, np.repeat(lr, module.channels, axis=-1))
        return np.concatenate([enlarge(variables, lr[..., c : c + 1]) for c in range(lr.shape[-1])], axis=-1)

    return upscale
