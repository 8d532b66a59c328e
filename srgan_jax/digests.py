"""Digests of arrays, files and JSON values. They reveal damage and tell one network from another."""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from srgan_jax import trees


def of_variables(variables: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the names, shapes, dtypes and bytes of all arrays, whatever file they were read from."""
    digest = hashlib.sha256()
    for key, array in sorted(trees.flat(variables).items()):
        digest.update(f"{key} {array.shape} {array.dtype}\n".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def of_file(path: str | pathlib.Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def name_bytes(name: str) -> bytes:
    """Encode a file's name for a digest. Names whose bytes are no UTF-8 are encoded too."""
    return name.encode("utf-8", "surrogatepass")


def of_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value. The order of an object's keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
