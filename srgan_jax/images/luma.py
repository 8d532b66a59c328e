"""Luma in floating point, as MATLAB's rgb2ycbcr has it (BT.601): what SRCNN, ESPCN, VDSR and DRCN enlarge."""

import numpy as np

from srgan_jax.types import AnyArray, Float

# Black has the luma 16/255 and white 235/255. The weights are those of R, G and B in [0, 1].
WEIGHTS = np.array([65.481, 128.553, 24.966], np.float32) / 255
BLACK, RANGE = 16 / 255, 219 / 255


def luma(images: Float[AnyArray, "n h w c"]) -> Float[AnyArray, "n h w 1"]:
    """Return the luma of RGB images in [0, 1], in [16/255, 235/255]. An image of one channel comes back as it is."""
    if images.shape[-1] == 1:
        return images
    # A sum and no matrix product, whose operands an accelerator would round.
    return (images * WEIGHTS).sum(-1, keepdims=True) + BLACK
