"""Our release format: one safetensors file with a generator's arrays. Its header describes them completely."""

import json
import pathlib
from typing import Any

import numpy as np

import srgan_jax
from srgan_jax import digests, trees
from srgan_jax.errors import InputError
from srgan_jax.models import create_generator
from srgan_jax.models.graph import operations_of
from srgan_jax.types import Variables
from srgan_jax.weights import arrays

FORMAT = "srgan_jax-generator-1"

# These entries of the header say what the arrays are. All others are the caller's `info`.
DESCRIPTION = ("format", "version", "architecture", "scale", "channels", "ranges", "graph", "sha256", "header_sha256")

# The kinds of the entries that the package itself reads; an entry may be missing.
_KINDS = {"config": dict, "evaluation": dict, "source": dict, "consistent": bool}
_JSON_NAMES = {dict: "object", bool: "boolean"}


def write_release(
    path: str | pathlib.Path,
    architecture: dict[str, Any],
    variables: Variables,
    *,
    info: dict[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write a generator to a release file, through a temporary name.

    Args:
      path: the file to write; its name ends in ".safetensors".
      architecture: what models.create_generator takes.
      variables: {"params": …, "batch_stats": …}.
      info: JSON values by name that are worth knowing, such as the config and step of the training, or the evaluation.
      half: whether to store float16, which halves the file. read_release gives float32 in any case.

    Raises:
      InputError: the name has another extension, or float16 cannot hold a value.
      OSError: the file cannot be written.
    """
    flat = {key: np.asarray(array) for key, array in trees.flat(variables).items()}
    if half:
        for key, array in flat.items():
            if np.abs(array).max(initial=0) > np.finfo(np.float16).max:
                raise InputError(f"{path}: {key} has values that float16 cannot hold; write float32.")
        flat = {key: array.astype(np.float16) for key, array in flat.items()}
    header = {key: json.dumps(value) for key, value in (info or {}).items()} | {
        "format": FORMAT,
        "version": srgan_jax.__version__,
        "architecture": json.dumps(architecture),
        "scale": str(architecture["scale"]),
        "channels": str(architecture["channels"]),
        "ranges": "lr [0, 1], sr [-1, 1], NHWC",
        "graph": json.dumps(operations_of(create_generator(architecture))),
        "sha256": digests.of_variables(_as_read(flat)),
    }
    header["header_sha256"] = digests.of_json(header)
    arrays.write_safetensors(path, flat, header)


def without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """Return a run's config with only the last part of each path, because the rest tells of the machine alone."""
    paths = ("path", "guide", "init_from", "vgg_weights", "teacher", "eval_data")
    return {
        field: without_folders(value)
        if isinstance(value, dict)
        else pathlib.PurePath(value).name
        if field in paths and isinstance(value, str)
        else value
        for field, value in config.items()
    }


def _check_kind(key: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{key} is no {_JSON_NAMES[kind]}")


def _as_read(flat: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays as the networks take them: float16 becomes float32."""
    return {key: array.astype(np.float32) if array.dtype == np.float16 else array for key, array in flat.items()}


def read_release(path: str | pathlib.Path) -> tuple[dict[str, Any], Variables, dict[str, Any]]:
    """Read a release file.

    Returns:
      (architecture, variables, info), as write_release takes them.

    Raises:
      InputError: the file is missing or is no release file, or its header or arrays are not those that were written.
        Files of early versions recorded no digests and are taken as they are.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    header = arrays.read_header(path)
    if header.get("format") != FORMAT:
        raise InputError(
            f"{path}: not a generator of srgan_jax (format {header.get('format')!r}); if it is another project's, "
            "python -m srgan_jax.weights import makes one of it."
        )
    described = {key: value for key, value in header.items() if key != "header_sha256"}
    if "header_sha256" in header and digests.of_json(described) != header["header_sha256"]:
        raise InputError(f"{path} is damaged: its header is not the one that was written; fetch or make it anew.")
    try:
        architecture = json.loads(header["architecture"])
        info = {key: json.loads(value) for key, value in header.items() if key not in DESCRIPTION}
        _check_kind("info", info.get("info", {}), dict)
        info |= info.pop("info", {})  # The first version of the format had one entry for everything.
        _check_kind("architecture", architecture, dict)
        for key, kind in _KINDS.items():
            _check_kind(key, info.get(key, kind()), kind)
    except (KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read (in its header: {error}).") from None
    flat = _as_read(arrays.read_arrays(path))
    if "sha256" in header and digests.of_variables(flat) != header["sha256"]:
        raise InputError(f"{path} is damaged: its arrays are not those that were written; fetch or make it anew.")
    return architecture, trees.nested(flat), info
