"""Training of a network with a head for each of several scales (models.MDSR): every update is for one of them."""

import dataclasses
from collections.abc import Callable

import jax
from jaxtyping import PyTree
from ml_collections import ConfigDict

from srgan_jax.images.resize import MARGIN_LR
from srgan_jax.models import GeneratorNetwork
from srgan_jax.training.steps import STEPS, Batch, Losses, State
from srgan_jax.types import Key, Params, Terms

STREAM = 0x5CA1E  # sets the draw of the scale apart from the other random numbers of a step


def lr_side(config: ConfigDict) -> int:
    """Return how many LR pixels a side of a crop with its margin has, at every scale."""
    return config.data.crop_size // config.scale + 2 * MARGIN_LR


def crops_for(batch: Batch, scale: int, config: ConfigDict) -> Batch:
    """Return the middle of crops that were cut for `config.scale`, with as many LR pixels at another scale."""
    side = lr_side(config) * scale
    start = (batch["hr"].shape[1] - side) // 2
    return batch | {"hr": batch["hr"][:, start : start + side, start : start + side]}


def keep_layers(layers: tuple[str, ...], old: PyTree, new: PyTree) -> PyTree:
    """Return `new`, but with what `old` has for layers of these beginnings: parameters and the optimizer's moments."""

    def choose(path: tuple, before: jax.Array, after: jax.Array) -> jax.Array:
        names = (str(getattr(step, "key", "")) for step in path)
        return before if any(name.startswith(layers) for name in names) else after

    return jax.tree_util.tree_map_with_path(choose, old, new) if layers else new


def draw(heads: tuple[int, ...], seed: int, number: int) -> int:
    """Return the scale that a step of a run is for; all have the same probability."""
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), number), STREAM)
        return heads[int(jax.random.randint(key, (), 0, len(heads)))]


def make_prepare(generator: GeneratorNetwork, config: ConfigDict) -> Callable[[Batch, int], Batch]:
    """Build `prepare(batch, number of the step) -> batch`, which cuts the crops for the scale of the step."""

    def prepare(batch: Batch, number: int) -> Batch:
        return crops_for(batch, draw(generator.heads, config.seed, number), config)

    return prepare


def make_step(generator: GeneratorNetwork, losses: Losses, config: ConfigDict) -> Callable:
    """Return the step of `config.stage` for a generator with several heads.

    The size of the crops tells the scale, so that each scale has a program of its own: XLA's convolutions on a CPU are
    more than ten times as slow within the branches of one program. The layers of the other heads, with their moments of
    Adam, stay as they are.
    """

    def at(scale: int) -> Callable:
        changed = ConfigDict(config.to_dict() | {"scale": scale})
        its_losses = dataclasses.replace(losses, scale=scale)
        others = tuple(name for other in generator.heads if other != scale for name in generator.layers_of(other))

        def step(state: State, batch: Batch, frozen: dict[str, Params], key: Key) -> tuple[State, Terms]:
            g = state["g"]
            head = state | {"g": g.replace(apply_fn=generator.clone(scale=scale).apply)}
            new, metrics = STEPS[config.stage](head, batch, frozen, key, losses=its_losses, config=changed)
            return new | {"g": keep_layers(others, g, new["g"].replace(apply_fn=g.apply_fn))}, metrics

        return step

    steps = {scale: at(scale) for scale in generator.heads}

    def step(state: State, batch: Batch, frozen: dict[str, Params], key: Key) -> tuple[State, Terms]:
        scale = batch["hr"].shape[1] // lr_side(config)
        return steps[scale](state, batch, frozen, key)

    return step
