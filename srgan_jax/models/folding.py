"""What a network needs only while it learns is folded into its convolutions: at inference it then costs nothing.

BatchNorm at inference is an affine map of each channel. The branches of some networks are linear maps that are added up
(models/ecbsr.py).
"""

import numpy as np

from srgan_jax import trees
from srgan_jax.models.graph import norms_of
from srgan_jax.models.layers import BATCH_NORM_EPSILON
from srgan_jax.models.network import GeneratorNetwork
from srgan_jax.types import Variables


def fold_batch_norm(module: GeneratorNetwork, variables: Variables) -> tuple[GeneratorNetwork, Variables]:
    """Turn a generator with BatchNorm into one without it that gives the same pictures; for inference alone.

    Args:
      module: a network with the field `batch_norm`, or one that has no BatchNorm.
      variables: {"params": …, "batch_stats": …}, the arrays of `module`.

    Returns:
      (`module` with batch_norm=False, {"params": …} as float32 NumPy arrays). The result equals the original but for
      float32 rounding; the new parameters are computed in float64. What has neither BatchNorm nor
      branches comes back unchanged.
    """
    module, variables = module.folded(variables)
    if not variables.get("batch_stats"):
        return module, {"params": variables["params"]}
    params = {key: np.asarray(array) for key, array in trees.flat(variables["params"]).items()}
    stats = trees.flat(variables["batch_stats"])
    follows = norms_of(module)
    for norm in sorted({key.rpartition("/")[0] for key in stats}):
        scale, shift = (params.pop(f"{norm}/{name}").astype(np.float64) for name in ("scale", "bias"))
        mean, variance = (np.asarray(stats[f"{norm}/{name}"], np.float64) for name in ("mean", "var"))
        factor, conv = scale / np.sqrt(variance + BATCH_NORM_EPSILON), follows[norm]
        params[f"{conv}/bias"] = (shift - mean * factor).astype(np.float32)
        params[f"{conv}/kernel"] = (params[f"{conv}/kernel"] * factor).astype(np.float32)
    return module.clone(batch_norm=False), {"params": trees.nested(params)}
