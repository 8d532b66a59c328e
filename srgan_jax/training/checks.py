"""What a config must hold before a stage is made from it."""

import fnmatch
import math
from collections.abc import Iterable

from ml_collections import ConfigDict

from srgan_jax import losses
from srgan_jax.data.degradations import create_degradation
from srgan_jax.errors import InputError, nearest_name
from srgan_jax.models import architecture_in, create_discriminator, create_generator, expected_variables
from srgan_jax.training.optimizers import OPTIMIZERS
from srgan_jax.training.schedules import SCHEDULES
from srgan_jax.training.steps import STEPS


def check_fields(config: ConfigDict) -> None:
    """Raise an InputError for a field that no network or stage can be made from."""
    for name, value, known in (
        ("stage", config.stage, STEPS),
        ("optimizer.name", config.optimizer.name, OPTIMIZERS),
        ("optimizer.schedule", config.optimizer.schedule, SCHEDULES),
        ("dtype", config.dtype, ("float32", "bfloat16")),
    ):
        if value not in known:
            raise InputError(f"config.{name}: no {value!r}; {nearest_name(str(value), known)}")
    for name, value, least in (
        ("num_steps", config.num_steps, 1),
        ("batch_size", config.batch_size, 1),
        ("accumulate", config.accumulate, 1),
        ("log_every", config.log_every, 1),
        ("discriminator_first", config.discriminator_first, 0),
        ("discriminator_steps", config.discriminator_steps, 1),
        ("freeze_steps", config.freeze_steps, 0),
        ("jitter", config.jitter, 0),
        ("optimizer.discriminator_rate", config.optimizer.discriminator_rate, 0),
        ("optimizer.output_rate", config.optimizer.output_rate, 0),
        ("optimizer.momentum", config.optimizer.momentum, 0),
        ("optimizer.weight_decay", config.optimizer.weight_decay, 0),
        ("optimizer.clip", config.optimizer.clip, 0),
        ("optimizer.generator_warmup_steps", config.optimizer.generator_warmup_steps, 0),
    ):
        if value < least:
            raise InputError(f"config.{name} must be at least {least}, got {value}.")
    for part, create, architecture in (
        ("generator.", create_generator, config.generator.to_dict()),
        ("", create_generator, {field: config[field] for field in ("scale", "channels")}),
        ("discriminator.", create_discriminator, config.discriminator.to_dict()),
    ):
        try:
            create(architecture | ({} if part else {"network": config.generator.network}))
        except InputError as error:
            raise InputError(f"config.{part}{error}") from None
    parts = [("accumulate", config.accumulate)]
    if config.stage == "adversarial" and config.discriminator_steps > 1:
        parts.append(("discriminator_steps", config.discriminator_steps))
    if config.batch_size % (unit := math.prod(number for _, number in parts)):
        raise InputError(
            f"config.batch_size must be a multiple of {' times '.join(f'{name}={number}' for name, number in parts)}, "
            f"got {config.batch_size}; try {-(-config.batch_size // unit) * unit}."
        )
    if not 0 <= config.ema_decay < 1:
        raise InputError(f"config.ema_decay must be at least 0 and less than 1, got {config.ema_decay}.")
    if config.optimizer.schedule == "cosine" and not 0 <= config.optimizer.warmup_steps < config.num_steps:
        raise InputError(
            f"config.optimizer.warmup_steps must be less than num_steps={config.num_steps}, "
            f"got {config.optimizer.warmup_steps}."
        )
    scale, crop_size = config.scale, config.data.crop_size
    if crop_size % scale or crop_size < scale:
        raise InputError(
            f"config.data.crop_size must be a multiple of scale={scale}, got {crop_size}; "
            f"try {max(1, crop_size // scale) * scale}."
        )
    _check_heads(config)
    _check_guide(config)
    if config.jitter >= crop_size:
        raise InputError(f"config.jitter must be less than data.crop_size={crop_size}, got {config.jitter}.")
    if config.freeze_layers:
        generator = create_generator(architecture_in(config.to_dict()))
        layers_named(config.freeze_layers, expected_variables(generator)["params"])
    _check_composition(config)


def _check_heads(config: ConfigDict) -> None:
    """Raise an InputError where a generator for several scales does not go with the rest of the config."""
    heads = create_generator(architecture_in(config.to_dict())).heads
    if config.scale != max(heads):
        raise InputError(
            f"config.scale must be {max(heads)}, the largest of the generator's scales, got {config.scale}: crops are "
            "cut for it, and evaluation takes it."
        )
    if len(heads) == 1:
        return
    if create_degradation(config.data.get("degradation", {}), scale=config.scale, channels=config.channels):
        raise InputError("config.data.degradation is for one scale; leave its fields at 0, or take another generator.")
    if (
        config.stage == "adversarial"
        and config.discriminator.head == "dense"
        and config.discriminator.network == "srgan"
    ):
        raise InputError(
            "config.discriminator.head: a dense layer takes crops of one size, but those of several scales differ; set "
            'it to "pool" or "patch".'
        )


def _check_guide(config: ConfigDict) -> None:
    """Raise an InputError where only one of the generator and the data has a guide."""
    generator = create_generator(architecture_in(config.to_dict()))
    guide = config.data.get("guide", "")
    if (generator.inputs != generator.channels) != bool(guide):
        raise InputError(
            f"config.data.guide: {config.generator.network} takes no guide, leave it empty."
            if guide
            else f"config.data.guide: {config.generator.network} needs a directory of guides."
        )
    if guide and config.data.source != "arrays":
        raise InputError(f'config.data.guide is for source="arrays", got source={config.data.source!r}.')


def _check_composition(config: ConfigDict) -> None:
    """Raise an InputError where the terms, the discriminator and the crops do not go together."""
    seen, discriminator = config.data.crop_size - config.jitter, None
    if config.stage == "adversarial":
        discriminator = create_discriminator(config.discriminator.to_dict())
        if seen < (least := getattr(discriminator, "SMALLEST", 1)):
            raise InputError(
                f"config.data.crop_size less jitter must be at least {least} for discriminator.network="
                f"{config.discriminator.network}, got {seen}."
            )
    terms = losses.selected(config.losses.to_dict())
    try:
        losses.check(
            losses.Setting(terms, discriminator, config.channels, config.data.crop_size, seen, scale=config.scale)
        )
    except InputError as error:
        raise InputError(f"config.{error}") from None


def layers_named(patterns: str, layers: Iterable[str]) -> list[str]:
    """Return the layers that a list of names matches, in which * stands for anything: "stem*,block[0-7]".

    Raises:
      InputError: a name matches no layer.
    """
    layers, found = sorted(layers), []
    for pattern in patterns.split(","):
        matches = fnmatch.filter(layers, pattern.strip())
        if not matches:
            raise InputError(f"config.freeze_layers: there is no layer {pattern!r}; {nearest_name(pattern, layers)}")
        found += matches
    return found
