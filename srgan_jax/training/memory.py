"""How much memory a step of training takes, said before the first one is compiled."""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
from ml_collections import ConfigDict

from srgan_jax.models import GeneratorNetwork, architecture_in, create_generator, expected_variables


def memory_note(config: ConfigDict, devices: int) -> str | None:
    """Return a sentence about the memory that G's training takes, where G is a network that takes much; else None.

    Args:
      config: of the run.
      devices: among which a batch is divided.
    """
    module = create_generator(architecture_in(config.to_dict()), dtype=jnp.dtype(config.dtype))
    if not module.MUCH_MEMORY:
        return None
    rows, side = config.batch_size // config.accumulate // devices, config.data.crop_size // config.scale
    gib = kept_for_gradient(module, (rows, side, side, module.inputs)) / 2**30
    return (
        f"{config.generator.network}: the features that wait for the gradient take {gib:.2f} GiB on each device, and a "
        "step takes two to three times as much in all. A smaller batch_size or crop_size takes less, and so does "
        "accumulate."
    )


def kept_for_gradient(module: GeneratorNetwork, lr_shape: tuple[int, int, int, int]) -> int:
    """Return the bytes that G's forward pass of a batch keeps for its gradient, without the parameters.

    Nothing is computed: these are the shapes of what the pullback of G refers to.

    Args:
      module: the network.
      lr_shape: [N, H, W, channels] of LR.
    """
    variables = expected_variables(module)

    def pullback(variables, lr):
        def run(params):
            given = variables | {"params": params}
            return module.apply(given, lr, train=True, mutable=["batch_stats", "auxiliary"])

        return jax.vjp(run, variables["params"])[1]

    kept = jax.eval_shape(pullback, variables, jax.ShapeDtypeStruct(lr_shape, jnp.float32))
    return _bytes(kept) - _bytes(variables)


def _bytes(tree: PyTree[jax.ShapeDtypeStruct]) -> int:
    return sum(array.size * array.dtype.itemsize for array in jax.tree.leaves(tree))
