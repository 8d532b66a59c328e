"""The stages of training: which networks there are, how a step changes them, and what becomes of them.

A stage owns its networks. The loop and the checkpoints hold its state without knowing what is in it: they ask the
stage what to evaluate and export, and the stage takes over the networks of an earlier run.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from srgan_jax import losses
from srgan_jax.data.degradations import Degradation, create_degradation
from srgan_jax.errors import InputError, nearest_name
from srgan_jax.generators import EMA, load
from srgan_jax.models import (
    GeneratorNetwork,
    architecture_in,
    architecture_of,
    create_discriminator,
    create_generator,
)
from srgan_jax.training import scales
from srgan_jax.training.checks import check_fields, layers_named
from srgan_jax.training.frozen import FROZEN
from srgan_jax.training.optimizers import create_optimizer
from srgan_jax.training.schedules import SCHEDULES
from srgan_jax.training.state import create_network, variables_of
from srgan_jax.training.steps import STEPS, Batch, Losses, State
from srgan_jax.types import AnyArray, Key, Params, Scalar, Shaped, Terms, Variables
from srgan_jax.weights.checkpoints import read_networks


@dataclasses.dataclass(frozen=True)
class Stage:
    """What the loop needs to know of a stage.

    Attributes:
      init: init(key) -> state.
      step: step(state, batch, frozen, key) -> (state, metrics); see steps.py.
      prepare: prepare(batch, number of the step) -> the batch that the step takes, before it goes to the devices.
      frozen: {network: parameters} that every step reads.
      learning_rate: learning_rate(step) of G's Adam; D's rate is this times a constant.
      generators: generators(state) -> {name: variables} of the generators to evaluate and export: "generator", the
        one that is trained, and perhaps "generator_ema", its running average.
      adopt: adopt(state) -> state of a new run, with the networks of the trained one that `config.init_from` names.
      check: check(config of a checkpoint, where it is) raises an InputError that names the first field in which the
        trained generator differs from the one that this run would train.
    """

    init: Callable[[Key], State]
    step: Callable
    prepare: Callable[[Batch, int], Batch]
    frozen: dict[str, Params]
    learning_rate: Callable
    generators: Callable[[State], dict[str, Variables]]
    adopt: Callable[[State], State]
    check: Callable[[dict, str | pathlib.Path], None]


def unchanged(batch: Batch, number: int) -> Batch:
    """Return what most stages do to a batch before it goes to the devices."""
    return batch


def generators_of(state: State) -> dict[str, Variables]:
    """Return the trained generator of a state, and its running average where there is one."""
    found = {"generator": variables_of(state["g"])}
    return found | ({"generator_ema": state["g_ema"]} if "g_ema" in state else {})


def with_average(init: Callable, step: Callable, decay: float) -> tuple[Callable, Callable]:
    """Return a stage's (init, step) with "g_ema" in the state: an exponential moving average of what makes up G.

    After each update the average is decay · average + (1 - decay) · G, of the parameters and the BatchNorm statistics
    alike; at first it is G itself.
    """

    def init_with(key: Key) -> State:
        state = init(key)
        return state | {"g_ema": variables_of(state["g"])}

    def step_with(state: State, batch: Batch, frozen: dict[str, Params], key: Key) -> tuple[State, Terms]:
        networks, metrics = step(state, batch, frozen, key)
        average = optax.incremental_update(variables_of(networks["g"]), state["g_ema"], step_size=1 - decay)
        return networks | {"g_ema": average}, metrics

    return init_with, step_with


def with_frozen_layers(step: Callable, layers: str, steps: int) -> Callable:
    """Return a stage's step in which some layers of G keep their parameters for its first `steps` updates.

    Adam's moments of these layers are kept up to date meanwhile.
    """

    def step_with(state: State, batch: Batch, frozen: dict[str, Params], key: Key) -> tuple[State, Terms]:
        networks, metrics = step(state, batch, frozen, key)
        old, new = state["g"].params, dict(networks["g"].params)
        keep = functools.partial(jnp.where, state["g"].step < steps)
        for layer in layers_named(layers, new):
            new[layer] = jax.tree.map(keep, old[layer], new[layer])
        return networks | {"g": networks["g"].replace(params=new)}, metrics

    return step_with


def with_degradation(step: Callable, degradation: Degradation) -> Callable:
    """Return a stage's step whose batches have an LR that was degraded, drawn from the key of the step."""

    def step_with(state: State, batch: Batch, frozen: dict[str, Params], key: Key) -> tuple[State, Terms]:
        return step(state, batch | {"lr": degradation(batch["hr"], key)}, frozen, key)

    return step_with


def create_stage(config: ConfigDict) -> Stage:
    """Build the stage that `config.stage` names.

    Raises:
      InputError: a field out of range, or a frozen network that is needed and not there.
    """
    check_fields(config)
    dtype, optimizer = jnp.dtype(config.dtype), config.optimizer
    adversarial = config.stage == "adversarial"
    learning_rate = SCHEDULES[optimizer.schedule](optimizer, config.num_steps)
    weights = config.losses.to_dict()
    terms = losses.selected(weights)
    loaded = {network: FROZEN[network](config, terms) for network in sorted(losses.frozen_networks(terms))}
    # D learns also where no term listens to it.
    judged = terms if any(losses.TERMS[name].discriminator for name in terms) else terms | {"adversarial": 1.0}
    stage_losses = Losses(
        generator=losses.make_generator_loss(weights),
        discriminator=losses.make_discriminator_loss(judged) if adversarial else None,
        frozen={network: apply for network, (_, apply) in loaded.items()},
        outputs=losses.outputs(terms),
        scale=config.scale,
        jitter=config.jitter,
    )

    def generator_rate(step: Shaped[AnyArray, ""] | int) -> Scalar | float:
        warmup = optimizer.generator_warmup_steps
        return learning_rate(step) * (jnp.minimum(1.0, (step + 1) / warmup) if warmup else 1.0)

    def init(key: Key) -> State:
        lr_size, hr_size = config.data.crop_size // config.scale, config.data.crop_size - config.jitter
        lr = jnp.zeros((1, lr_size, lr_size, generator.inputs))
        tx = create_optimizer(optimizer, generator_rate, output_rate=optimizer.output_rate)
        networks = {"g": create_network(generator, key, lr, tx)}
        if adversarial:
            discriminator = create_discriminator(config.discriminator.to_dict(), dtype=dtype)
            hr = jnp.zeros((1, hr_size, hr_size, config.channels))
            tx = create_optimizer(optimizer, lambda step: optimizer.discriminator_rate * learning_rate(step))
            networks["d"] = create_network(discriminator, jax.random.fold_in(key, 1), hr, tx)
        return networks

    step = functools.partial(STEPS[config.stage], losses=stage_losses, config=config)
    generator = create_generator(architecture_in(config.to_dict()), dtype=dtype)
    prepare = unchanged
    if len(generator.heads) > 1:
        prepare = scales.make_prepare(generator, config)
        step = scales.make_step(generator, stage_losses, config)
    degradation = create_degradation(config.data.get("degradation", {}), scale=config.scale, channels=config.channels)
    if degradation and config.data.source == "arrays":
        raise InputError("config.data.degradation is for pictures of 8 bits, not for arrays; leave its fields at 0.")
    if degradation:
        step = with_degradation(step, degradation)
    if config.freeze_layers:
        step = with_frozen_layers(step, config.freeze_layers, config.freeze_steps)
    if config.ema_decay:
        init, step = with_average(init, step, config.ema_decay)
    return Stage(
        init=init,
        step=step,
        prepare=prepare,
        frozen={network: params for network, (params, _) in loaded.items()},
        learning_rate=generator_rate,
        generators=generators_of,
        adopt=functools.partial(_adopt, config=config),
        check=functools.partial(_check_config, config=config),
    )


def _adopt(state: State, *, config: ConfigDict) -> State:
    """Return a new run's state with the networks `config.init_networks` of the run or file `config.init_from`.

    "g" may come from whatever generators.load takes, also from a running average (RUN:ema); "d" from a run.
    """
    origin, wanted = config.init_from, [name for name in config.init_networks.split(",") if name]
    for name in wanted:
        if name not in ("g", "d") or name not in state:
            known = nearest_name(name, set(state) & {"g", "d"})
            raise InputError(f"config.init_networks: this stage has no network {name!r}; {known}")
    if "g" in wanted:
        trained = load(origin)
        check_module(trained.module, origin, config)
        state = state | {"g": state["g"].replace(**trained.variables)}
        if "g_ema" in state:
            state["g_ema"] = jax.tree.map(jnp.copy, trained.variables)
    if "d" in wanted:
        networks = read_networks(origin.removesuffix(EMA), {"d": variables_of(state["d"])})
        state = state | {"d": state["d"].replace(**networks["d"])}
    return state


def _check_config(trained: dict, origin: str | pathlib.Path, *, config: ConfigDict) -> None:
    check_module(create_generator(architecture_in(trained)), origin, config)


STARTS = ("icnr", "zero_init_output")  # fields that say how a network is initialised


def check_module(trained: GeneratorNetwork, origin: str | pathlib.Path, config: ConfigDict) -> None:
    """Raise an InputError for the first field in which a trained network differs from the config's.

    Not every field has arrays to tell it by, such as global_skip. STARTS matter to a new network alone.
    """
    has, wants = architecture_of(trained), architecture_of(create_generator(architecture_in(config.to_dict())))
    for field in sorted(has.keys() | wants.keys(), key=lambda field: (field != "network", field)):
        if has.get(field) != wants.get(field) and field not in STARTS:
            if field not in config and field not in config.generator:  # such as BatchNorm folded
                raise InputError(f"{origin}: a network with {field}={has.get(field)!r} cannot be trained here.")
            name = field if field in config else f"generator.{field}"
            raise InputError(
                f"{origin}: trained with {name}={has.get(field)!r}, but this config has {wants.get(field)!r}; "
                f"set config.{name}={has.get(field)}, or take another directory."
            )
