"""Data parallelism as a placement of arrays: a batch is split over the devices, and the state is copied to each.

The compiled step calls no collective operation itself. XLA sums the gradients, and BatchNorm averages over the global
batch, which other frameworks call synchronised BatchNorm.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from srgan_jax.cpu import compiler_options
from srgan_jax.errors import InputError
from srgan_jax.types import Array, Key, Terms


def create_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Arrange devices along one axis, "batch". None takes all devices of all processes."""
    devices = jax.devices() if devices is None else devices
    return Mesh(np.array(devices), ("batch",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the placement of states and metrics: every device has a copy."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """Return the placement of batches: their first axis is divided among the devices."""
    return NamedSharding(mesh, PartitionSpec("batch"))


def check_batch_size(batch_size: int, mesh: Mesh, *, accumulate: int = 1) -> None:
    """Check that a batch can be divided equally among the devices.

    Args:
      batch_size: the number of crops in a global batch.
      mesh: the devices.
      accumulate: the number of equal parts in which the batch is computed, one after the other.

    Raises:
      InputError: batch_size is no multiple of the number of devices times `accumulate`.
    """
    unit = mesh.size * accumulate
    if batch_size % unit:
        parts = f" times accumulate={accumulate}" if accumulate > 1 else ""
        raise InputError(
            f"batch_size must be a multiple of the number of devices, {mesh.size}{parts}, got {batch_size}; "
            f"try {-(-batch_size // unit) * unit}."
        )


def place_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, Array]:
    """Turn this process's rows of a batch into arrays over the whole mesh."""
    return jax.tree.map(lambda rows: jax.make_array_from_process_local_data(split(mesh), rows), batch)


def compile_init(init: Callable[[Key], dict[str, Any]], mesh: Mesh) -> Callable[[Key], dict[str, Any]]:
    """Compile `init(key) -> state`. Every device gets a copy of the state."""
    # On a CPU, XLA would take half a minute to optimise the drawing of random numbers, which happens once. Without
    # that optimisation the values are the same.
    options = {"xla_backend_optimization_level": 1} if mesh.devices.flat[0].platform == "cpu" else None
    return jax.jit(init, out_shardings=replicated(mesh), compiler_options=options)


def compile_step(
    step: Callable[[dict[str, Any], dict[str, Array], Any, Key], tuple[dict[str, Any], Terms]],
    mesh: Mesh,
    *,
    seed: int = 0,
) -> Callable[[dict[str, Any], dict[str, Array], Any, Array | np.int32], tuple[dict[str, Any], Terms]]:
    """Compile `step(state, batch, frozen, key) -> (state, metrics)`. The state that goes in is donated.

    Args:
      step: the function to compile.
      mesh: the devices. The batch is divided among them; everything else is copied to each.
      seed: the seed of the run.

    Returns:
      A function (state, batch, frozen, number of the step) -> (state, metrics). The key that `step` gets is folded from
      the seed and the number, so a resumed run draws what the uninterrupted run would have drawn.
    """
    whole = replicated(mesh)

    def numbered(
        state: dict[str, Any], batch: dict[str, Array], frozen: Any, number: Array
    ) -> tuple[dict[str, Any], Terms]:
        return step(state, batch, frozen, jax.random.fold_in(jax.random.key(seed), number))

    return jax.jit(
        numbered,
        in_shardings=(whole, split(mesh), whole, whole),
        out_shardings=whole,
        donate_argnums=0,
        compiler_options=compiler_options(mesh.devices.flat[0]),
    )
