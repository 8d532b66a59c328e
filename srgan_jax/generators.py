"""A trained generator, from whatever holds one."""

import dataclasses
import hashlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from srgan_jax import checkpoints
from srgan_jax.errors import InputError
from srgan_jax.models import SRResNet
from srgan_jax.weights import release

ARCHITECTURE = tuple(f.name for f in dataclasses.fields(SRResNet) if f.name not in ("parent", "name", "dtype"))


@dataclasses.dataclass(frozen=True)
class Generator:
    """A network with its arrays.

    Attributes:
      module: SRResNet, computing in float32.
      variables: {"params": …, "batch_stats": …}.
      name: the file or directory that it came from.
      info: what is known of its training; JSON.
    """

    module: SRResNet
    variables: dict
    name: str
    info: dict

    @property
    def architecture(self) -> dict:
        """The fields that make the network again: SRResNet(**architecture)."""
        return {field: getattr(self.module, field) for field in ARCHITECTURE}

    def sha256(self) -> str:
        """Digest of names, shapes and bytes of all arrays: the same whatever file they came in."""
        digest = hashlib.sha256()
        for key, array in sorted(traverse_util.flatten_dict(self.variables, sep="/").items()):
            digest.update(f"{key} {array.shape} {array.dtype}\n".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def architecture_of(config: dict) -> dict:
    """The generator's architecture out of a run's config."""
    return {"scale": config["scale"], "channels": config["channels"], **config["generator"]}


def load(path) -> Generator:
    """Load a generator for evaluation and upscaling.

    Args:
      path: a run directory (its best checkpoint is taken), one checkpoint of it, or an exported .safetensors file.

    Raises:
      InputError: nothing there, or its arrays do not fit the architecture that it states.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        path = checkpoints.find_checkpoint(path)
        config, variables = checkpoints.read_generator(path)
        architecture, info = architecture_of(config), {"config": config, "step": int(path.name)}
    elif path.suffix == ".safetensors":
        architecture, variables, info = release.read_release(path)
    elif path.exists():
        raise InputError(f"{path}: expected a run directory, a checkpoint directory, or a .safetensors file.")
    else:
        raise InputError(f"{path}: no such file or directory.")
    try:
        module = SRResNet(**architecture)
    except TypeError as error:
        raise InputError(f"{path}: made by another version: {error}.") from None
    example = jax.ShapeDtypeStruct((1, 8, 8, module.channels), jnp.float32)
    expected = jax.eval_shape(module.init, jax.random.key(0), example)
    checkpoints.check_same_arrays(path, variables, expected)
    return Generator(module, variables, str(path), info)
