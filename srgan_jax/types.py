"""The shapes that signatures speak of, in one place (jaxtyping; the tests check them while they run).

Letters stand for sizes: n pictures of a batch, h rows and w columns of pixels, c channels, f features. Where a
signature has two arrays with one letter, these sizes are equal; a size that is written "_" may be any.
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt8, UInt16

AnyArray = jax.Array | np.ndarray

# Batches, on the accelerator or on their way to it.
Images = Float[AnyArray, "n h w c"]  # HR and SR in [-1, 1]
LRImages = Float[AnyArray, "n lr_h lr_w lr_c"]  # LR in [0, 1]; lr_c is c, or more where a guide is in it
Features = Float[AnyArray, "n _ _ f"]
Logits = Float[AnyArray, " logits"]  # one for each picture, or for each of its parts
Scalar = Float[AnyArray, ""]

# One picture on the host, in levels.
Picture = UInt8[np.ndarray, "h w c"]  # c is 1 for grey, 3 for RGB
Plane = UInt8[np.ndarray, "h w"]
DeepPicture = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]  # 8 or 16 bits

Dtype = Any  # what NumPy and JAX take for one
Params = dict[str, Any]  # nested dicts of arrays, as Flax has them
Variables = dict[str, Params]  # {"params": …, "batch_stats": …}
Terms = dict[str, Scalar]  # values by name, for the log
Key = jax.Array  # of jax.random

__all__ = [
    "AnyArray",
    "Array",
    "Bool",
    "DeepPicture",
    "Dtype",
    "Features",
    "Float",
    "Images",
    "Int",
    "Key",
    "LRImages",
    "Logits",
    "Params",
    "Picture",
    "Plane",
    "Scalar",
    "Shaped",
    "Terms",
    "UInt8",
    "UInt16",
    "Variables",
]
