"""The shapes that signatures speak of, in one place (jaxtyping; the tests check them while they run).

Letters stand for sizes: n pictures of a batch, h rows and w columns of pixels, c channels. Where a signature has two
pictures whose letters are equal, their sizes are.
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, UInt8, UInt16

# Batches on the accelerator.
Images = Float[Array, "n h w c"]  # LR in [0, 1]; SR and HR in [-1, 1]
Features = Float[Array, "n h w c"]
Logits = Float[Array, " n"]
Scalar = Float[Array, ""]

# One picture on the host, in levels.
Picture = UInt8[np.ndarray, "h w c"]  # c is 1 for grey, 3 for RGB
Plane = UInt8[np.ndarray, "h w"]
DeepPicture = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]  # 8 or 16 bits

Params = dict[str, Any]  # nested dicts of arrays, as Flax has them
Variables = dict[str, Params]  # {"params": …, "batch_stats": …}
Terms = dict[str, Scalar]  # values by name, for the log
Key = jax.Array  # of jax.random

__all__ = [
    "Array",
    "DeepPicture",
    "Features",
    "Float",
    "Images",
    "Int",
    "Key",
    "Logits",
    "Params",
    "Picture",
    "Plane",
    "Scalar",
    "Terms",
    "UInt8",
    "UInt16",
    "Variables",
]
