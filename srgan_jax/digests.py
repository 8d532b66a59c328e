"""Digests of arrays, by which damage is noticed and a network is told from another."""

import hashlib
import json
from typing import Any

import numpy as np
from flax import traverse_util


def flat(tree) -> dict[str, Any]:
    """A nested dict as one dict, its keys joined by "/"."""
    return traverse_util.flatten_dict(tree, sep="/")


def of_variables(variables: dict) -> str:
    """SHA-256 of the names, shapes, dtypes and bytes of all arrays: it does not depend on the file they came in."""
    digest = hashlib.sha256()
    for key, array in sorted(flat(variables).items()):
        digest.update(f"{key} {array.shape} {array.dtype}\n".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def of_file(path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_json(value) -> str:
    """SHA-256 of a JSON value; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
