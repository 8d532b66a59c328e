"""Nested dicts, such as parameters and configs, and the same dicts with a single level."""

from collections.abc import Mapping
from typing import Any

from flax import traverse_util


def flat(tree: Mapping[str, Any], separator: str = "/") -> dict[str, Any]:
    """Flatten a nested dict into one dict whose keys are joined, as in "params/stem/kernel"."""
    return traverse_util.flatten_dict(tree, sep=separator)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `flat`, with its usual separator."""
    return traverse_util.unflatten_dict(flat, sep="/")
