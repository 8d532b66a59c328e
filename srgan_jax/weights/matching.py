"""Whether arrays are those that a network has."""

import pathlib

from srgan_jax import trees
from srgan_jax.errors import InputError
from srgan_jax.types import Params


def check_same_arrays(path: str | pathlib.Path, stored: Params, expected: Params) -> None:
    """Raise an InputError unless a tree of arrays or of their metadata has the expected names, shapes and dtypes.

    The message names `path`, from which `stored` comes, and the first array that differs.
    """
    stored, expected = (
        {key: f"{tuple(array.shape)} {array.dtype}" for key, array in trees.flat(tree).items()}
        for tree in (stored, expected)
    )
    for key in sorted(stored.keys() | expected.keys()):
        has, wanted = (arrays.get(key, "no such array") for arrays in (stored, expected))
        if has != wanted:
            raise InputError(
                f"{path} holds another network: {key} is {has} there, but {wanted} is expected; "
                "take the config that it was made with, or another directory."
            )
