"""The one switch: "auto" uses all kernels in programs that are compiled for a CPU, "xla" uses none.

The environment variable SRGAN_JAX_KERNELS sets it without code; `use` sets it for a part of a program.
"""

import os
from contextlib import AbstractContextManager

import jax

from srgan_jax.cpu.table import ROWS
from srgan_jax.errors import InputError, nearest_name

VARIABLE = "SRGAN_JAX_KERNELS"
NAMES = ("onednn", *(row.name for row in ROWS))  # everything that can be left out by itself
CHOICES = {"auto": frozenset(NAMES), "xla": frozenset()}

# jit keeps programs apart that were traced under different values of such a context.
_chosen = jax.make_user_context(None)


def use(kernels: str = "auto", *, without: str | None = None) -> AbstractContextManager[None]:
    """Choose the kernels of all that is traced within a `with` block, whatever the environment says.

    For example, `with use("auto", without="strided"): step = compile_step(…).lower(…)`.

    Args:
      kernels: "auto" or "xla".
      without: the name of a kernel that is left out, from NAMES.

    Raises:
      InputError: there is no such choice or no such kernel.
    """
    if without is not None and without not in NAMES:
        raise InputError(f"without: there is no kernel {without!r}; {nearest_name(without, NAMES)}")
    return _chosen(_parse("kernels", kernels) - {without})


def in_use() -> frozenset[str]:
    """Return the names of the kernels that are in use here.

    Raises:
      InputError: SRGAN_JAX_KERNELS is neither "auto" nor "xla".
    """
    if _chosen.value is not None:
        return _chosen.value
    return _parse(VARIABLE, os.environ.get(VARIABLE) or "auto")


def _parse(field: str, kernels: str) -> frozenset[str]:
    if kernels not in CHOICES:
        raise InputError(f"{field} must be {' or '.join(CHOICES)}, got {kernels!r}; set it to one of these.")
    return CHOICES[kernels]
