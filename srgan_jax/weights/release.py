"""Our release format: one safetensors file with a generator's arrays, and in its header all that describes them."""

import json
import pathlib

import numpy as np
from flax import traverse_util
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

import srgan_jax
from srgan_jax.errors import InputError
from srgan_jax.files import replacing

FORMAT = "srgan_jax-generator-1"


def write_release(path, architecture: dict, variables: dict, *, info: dict | None = None) -> None:
    """Write a generator through a temporary name.

    Args:
      architecture: fields of models.SRResNet, dtype aside.
      variables: {"params": …, "batch_stats": …}.
      info: anything else worth knowing, such as the config and the step; JSON.
    """
    path = pathlib.Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: a release file ends in .safetensors.")
    arrays = {key: np.asarray(array) for key, array in traverse_util.flatten_dict(variables, sep="/").items()}
    header = {
        "format": FORMAT,
        "version": srgan_jax.__version__,
        "architecture": json.dumps(architecture),
        "ranges": "lr [0, 1], sr [-1, 1], NHWC",
        "info": json.dumps(info or {}),
    }
    with replacing(path) as partial:
        save_file(arrays, partial, metadata=header)


def read_release(path) -> tuple[dict, dict, dict]:
    """Read a release file -> (architecture, variables, info); an InputError where it is none."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise InputError(f"{path}: not a generator of srgan_jax (format {header.get('format')!r}).")
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
            architecture, info = json.loads(header["architecture"]), json.loads(header["info"])
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from None
    return architecture, traverse_util.unflatten_dict(arrays, sep="/"), info
