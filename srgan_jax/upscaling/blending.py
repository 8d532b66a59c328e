"""A generator between two others."""

import dataclasses
from typing import TypeVar

import jax
import numpy as np

from srgan_jax.errors import InputError
from srgan_jax.upscaling.options import check_share

Trained = TypeVar("Trained")  # generators.Generator, which is in a room above this one


def blend(first: Trained, second: Trained, share: float) -> Trained:
    """Interpolate between the parameters of two generators (Wang et al., ESRGAN, ECCV 2018 workshops, section 3.4).

    Args:
      first, second: generators.Generator of one architecture, for example one of higher fidelity and one of richer
        texture.
      share: of `second`: 0 gives `first`, 1 gives `second`.

    Returns:
      A generators.Generator, of whose `info` only "consistent" is known: it is true where it is true of either.

    Raises:
      InputError: the generators have different architectures, or the share is not from 0 to 1.
    """
    check_share(share)
    if first.module != second.module:
        raise InputError(f"{first.name} and {second.name} hold networks of two architectures; only one can be blended.")
    variables = jax.tree.map(
        lambda a, b: ((1 - share) * np.asarray(a, np.float64) + share * np.asarray(b, np.float64)).astype(np.float32),
        first.variables,
        second.variables,
    )
    info = {"consistent": any(generator.info.get("consistent", False) for generator in (first, second))}
    return dataclasses.replace(first, variables=variables, name=f"{first.name} + {share:g} {second.name}", info=info)
