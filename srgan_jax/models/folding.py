"""BatchNorm at inference is a multiplication and an addition: they can be done to the convolution before it, once."""

import numpy as np
from flax import traverse_util

from srgan_jax.layers import BATCH_NORM_EPSILON

# The convolution that each BatchNorm follows.
FOLLOWS = {"bn1": "conv1", "bn2": "conv2", "trunk_bn": "trunk"}


def fold_batch_norm(module, variables):
    """A generator with BatchNorm -> the same function of LR without it, for inference alone.

    Args:
      module: models.SRResNet, or a network that has no BatchNorm.
      variables: {"params": …, "batch_stats": …}, its arrays.

    Returns:
      (module with batch_norm=False, {"params": …} as float32 NumPy arrays). Equal to the original but for float32
      rounding; computed in float64. A network without BatchNorm comes back as it is.
    """
    if not variables.get("batch_stats"):
        return module, {"params": variables["params"]}
    params = {key: np.asarray(array) for key, array in traverse_util.flatten_dict(variables["params"]).items()}
    stats = traverse_util.flatten_dict(variables["batch_stats"])
    for *block, norm in sorted({path[:-1] for path in stats}):
        scale, shift = (params.pop((*block, norm, name)).astype(np.float64) for name in ("scale", "bias"))
        mean, variance = (np.asarray(stats[*block, norm, name], np.float64) for name in ("mean", "var"))
        factor = scale / np.sqrt(variance + BATCH_NORM_EPSILON)
        conv = (*block, FOLLOWS[norm])
        params[*conv, "bias"] = (shift - mean * factor).astype(np.float32)
        params[*conv, "kernel"] = (params[*conv, "kernel"] * factor).astype(np.float32)
    return module.clone(batch_norm=False), {"params": traverse_util.unflatten_dict(params)}
