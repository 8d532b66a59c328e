"""What turns gradients into updates: Adam, as in the paper, or SGD with momentum, as before it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from srgan_jax.parallel import sharding
from srgan_jax.types import Params

OUTPUT = "output"  # the name that generators give to their last convolution


def _adam(config: ConfigDict, rate: Callable) -> optax.GradientTransformation:
    return optax.adam(rate, b1=config.b1, b2=config.b2, eps=config.eps)


def _sgd(config: ConfigDict, rate: Callable) -> optax.GradientTransformation:
    return optax.sgd(rate, momentum=config.momentum)


OPTIMIZERS = {"adam": _adam, "sgd": _sgd}


def create_optimizer(config: ConfigDict, rate: Callable, *, output_rate: float = 1.0) -> optax.GradientTransformation:
    """Make the optimizer of one network.

    Gradients are clipped first; then weight decay is added to them, as the gradient of half the squared norm of all
    parameters; then Adam or SGD makes updates of the sum.

    Args:
      config: `config.optimizer`.
      rate: learning rate of a step.
      output_rate: the rate of the last convolution, divided by that of the other layers.
    """
    chain = []
    if config.clip:
        chain.append(clip_by_rate(config.clip, rate))
    if config.weight_decay:
        chain.append(optax.add_decayed_weights(config.weight_decay))
    chain.append(OPTIMIZERS[config.name](config, rate))
    if output_rate != 1:
        chain.append(optax.stateless(lambda updates, params: _scale_output(updates, output_rate)))
    # A chain of one would have another state than the optimizer by itself, and old checkpoints hold the latter.
    tx = chain[0] if len(chain) == 1 else optax.chain(*chain)
    return _between_whole_arrays(tx) if config.sharded else tx


def _between_whole_arrays(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """Make an optimizer whose gradients and updates are whole on every device, however its own arrays are divided."""

    def update(gradients: Params, state: optax.OptState, params: Params | None = None) -> tuple[Params, optax.OptState]:
        updates, state = tx.update(sharding.whole(gradients), state, params)
        return sharding.whole(updates), state

    return optax.GradientTransformation(tx.init, update)


def clip_by_rate(bound: float, rate: Callable) -> optax.GradientTransformation:
    """Clip every number of the gradient to ±bound / rate (Kim et al., VDSR, CVPR 2016, section 3.2).

    An update of plain SGD is then at most `bound`, at high and at low rates alike.
    """

    def init(params: Params) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(count=jnp.zeros([], jnp.int32))

    def update(
        updates: Params, state: optax.ScaleByScheduleState, params: Params | None = None
    ) -> tuple[Params, optax.ScaleByScheduleState]:
        # At a rate of 0, where a warm-up starts, the quotient is infinite: nothing needs to be clipped.
        most = bound / rate(state.count)
        clipped = jax.tree.map(lambda gradient: jnp.clip(gradient, -most, most), updates)
        return clipped, optax.ScaleByScheduleState(count=optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


def _scale_output(updates: Params, factor: float) -> Params:
    return {
        layer: jax.tree.map(lambda array: factor * array, its) if layer == OUTPUT else its
        for layer, its in updates.items()
    }
