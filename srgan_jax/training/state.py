"""A network in training: parameters, BatchNorm statistics and optimizer, in one pytree."""

from typing import Any

import flax.linen as nn
import jax
import optax
from flax.training import train_state

from srgan_jax.types import Images, Key, LRImages, Params, Variables


class NetworkState(train_state.TrainState):
    """Flax's TrainState with the BatchNorm statistics beside the parameters."""

    batch_stats: Any = None


def create_network(module: nn.Module, key: Key, example: Images, tx: optax.GradientTransformation) -> NetworkState:
    """Initialise `module` on `example` (an array of the input's shape) with the optimizer `tx`."""
    # jit: initialising layer by layer would compile every operation by itself.
    variables = jax.jit(module.init)(key, example)
    return NetworkState.create(
        apply_fn=module.apply, params=variables["params"], batch_stats=variables.get("batch_stats", {}), tx=tx
    )


def generate(
    network: NetworkState, params: Params, lr: LRImages, *, outputs: tuple[str, ...] = (), train: bool = True
) -> tuple[dict[str, jax.Array], Params]:
    """Apply a generator, as `forward` does -> ({"sr": SR}, running averages after this batch).

    Beside SR there is what `outputs` names of what the network gives on its way, as far as it does (see
    models.network.GeneratorNetwork).
    """
    variables = {"params": params, "batch_stats": network.batch_stats}
    sr, updates = network.apply_fn(variables, lr, train=train, mutable=["batch_stats", "auxiliary"])
    auxiliary = {name: arrays[0] for name, arrays in updates.get("auxiliary", {}).items() if name in outputs}
    return {"sr": sr} | auxiliary, updates.get("batch_stats", {})


def forward(
    network: NetworkState, params: Params, x: Images, *, batch_stats: Params | None = None, train: bool = True
) -> tuple[jax.Array, Params]:
    """Apply the network, in training mode unless `train` says otherwise: BatchNorm sees this batch.

    Args:
      params: taken apart from `network`, so that one can differentiate with respect to them.
      batch_stats: running averages to start from; by default the network's.
      train: False holds BatchNorm at its running averages.

    Returns:
      (output, running averages after this batch).
    """
    variables = {"params": params, "batch_stats": network.batch_stats if batch_stats is None else batch_stats}
    output, updates = network.apply_fn(variables, x, train=train, mutable=["batch_stats"])
    return output, updates.get("batch_stats", {})


def variables_of(network: NetworkState) -> Variables:
    """Return what the module is applied to: {"params": …, "batch_stats": …}."""
    return {"params": network.params, "batch_stats": network.batch_stats}
