"""The registry of generators and discriminators: a name for each network, and checks of its description by fields."""

import dataclasses
from collections.abc import Collection
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.models.discriminator import Discriminator
from srgan_jax.models.drcn import DRCN
from srgan_jax.models.ecbsr import ECBSR
from srgan_jax.models.edsr import EDSR
from srgan_jax.models.espcn import ESPCN
from srgan_jax.models.guided import GuidedSR
from srgan_jax.models.mdsr import MDSR
from srgan_jax.models.mobile import MobileSR
from srgan_jax.models.msrresnet import MSRResNet
from srgan_jax.models.network import MOST, GeneratorNetwork
from srgan_jax.models.srcnn import SRCNN
from srgan_jax.models.srresnet import SRResNet
from srgan_jax.models.unet import UNetDiscriminator
from srgan_jax.models.vdsr import VDSR
from srgan_jax.types import Dtype, Variables

# What `config.generator.network` and the files of trained networks may name. A further generator is one file in this
# folder and one row here.
GENERATORS: dict[str, type[GeneratorNetwork]] = {
    "srresnet": SRResNet,
    "msrresnet": MSRResNet,
    "edsr": EDSR,
    "srcnn": SRCNN,
    "espcn": ESPCN,
    "vdsr": VDSR,
    "drcn": DRCN,
    "mdsr": MDSR,
    "ecbsr": ECBSR,
    "mobile": MobileSR,
    "guided": GuidedSR,
}

# What `config.discriminator.network` may name.
DISCRIMINATORS: dict[str, type[nn.Module]] = {"srgan": Discriminator, "unet": UNetDiscriminator}

# The networks of configs and files that name none, since they are older than the registry.
GENERATOR, DISCRIMINATOR = "srresnet", "srgan"

Architecture = dict[str, Any]  # {"network": a name out of GENERATORS, field: value, …}; JSON


def architecture_of(module: GeneratorNetwork) -> Architecture:
    """Return the network's name and each of its fields; create_generator makes the network again from it."""
    network = next(name for name, kind in GENERATORS.items() if type(module) is kind)
    return {"network": network} | {field: getattr(module, field) for field in _fields(type(module))}


def architecture_in(config: dict) -> Architecture:
    """Return the generator's architecture in the config of a run.

    Raises:
      InputError: the config lacks a part of it.
    """
    try:
        return {"scale": config["scale"], "channels": config["channels"], **config["generator"]}
    except (KeyError, TypeError) as error:
        raise InputError(f"its config does not say what the generator is ({error}).") from None


def create_generator(architecture: Architecture, *, dtype: Dtype = jnp.float32) -> GeneratorNetwork:
    """Make the network that an architecture describes; fields that it lacks have their defaults.

    Args:
      architecture: see Architecture.
      dtype: of the computation.

    Raises:
      InputError: no such network, field or value; the message names the field.
    """
    return _create(GENERATORS, {"network": GENERATOR} | architecture, dtype)


def create_discriminator(architecture: Architecture, *, dtype: Dtype = jnp.float32) -> nn.Module:
    """Make the discriminator that `config.discriminator` describes; as create_generator.

    Every config has the fields of the default network. At their defaults they say nothing to a network without them.
    """
    architecture = {"network": DISCRIMINATOR} | architecture
    kind, defaults = DISCRIMINATORS.get(str(architecture["network"])), _fields(DISCRIMINATORS[DISCRIMINATOR])
    if kind is not None:
        silent = {field for field, value in defaults.items() if architecture.get(field) == value} - _fields(kind).keys()
        architecture = {field: value for field, value in architecture.items() if field not in silent}
    return _create(DISCRIMINATORS, architecture, dtype)


def _create(registry: dict[str, type[nn.Module]], architecture: Architecture, dtype: Dtype) -> nn.Module:
    values = dict(architecture)
    network = values.pop("network")
    if not isinstance(network, str) or network not in registry:
        raise InputError(f"network: no {network!r}; {nearest_name(str(network), registry)}")
    kind = registry[network]
    defaults, allowed = _fields(kind), getattr(kind, "VALUES", {})
    for field, value in values.items():
        if field not in defaults:
            raise InputError(f"{field}: {network} has no such field; {nearest_name(field, defaults)}")
        _check_value(field, value, defaults[field], allowed.get(field))
    return kind(**values, dtype=dtype)


def _fields(kind: type[nn.Module]) -> dict[str, Any]:
    """Return the architecture's fields and their defaults."""
    return {f.name: f.default for f in dataclasses.fields(kind) if f.name not in ("parent", "name", "dtype")}


def _check_value(field: str, value: Any, default: Any, allowed: Collection | None) -> None:
    if allowed is None:
        allowed = {bool: (False, True), int: range(1, MOST + 1)}.get(type(default))
    if type(value) is type(default) and (allowed is None or value in allowed):
        return
    if isinstance(allowed, range):
        raise InputError(f"{field} must be a whole number from {allowed.start} to {allowed.stop - 1}, got {value!r}.")
    if allowed and isinstance(default, str):
        raise InputError(f"{field}: no {value!r}; {nearest_name(str(value), allowed)}")
    if allowed:
        raise InputError(f"{field} must be one of {', '.join(map(str, allowed))}, got {value!r}.")
    raise InputError(f"{field} must be of type {type(default).__name__}, got {value!r}.")


def expected_variables(module: GeneratorNetwork) -> Variables:
    """Return the shapes and dtypes of the network's arrays."""
    example = jax.ShapeDtypeStruct((1, 8, 8, module.inputs), jnp.float32)
    return jax.eval_shape(module.init, jax.random.key(0), example)
