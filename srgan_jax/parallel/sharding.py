"""Data parallelism, as a placement of arrays: batches are split over the devices, states are copied to each.

The compiled step needs no collective of ours: XLA sums gradients, and BatchNorm's averages run over the global batch
(what other frameworks call synchronised BatchNorm).
"""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from srgan_jax.cpu import compiler_options
from srgan_jax.errors import InputError


def create_mesh(devices=None) -> Mesh:
    """One axis, "batch", over all devices (of all processes)."""
    devices = jax.devices() if devices is None else devices
    return Mesh(np.array(devices), ("batch",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The placement of states and metrics."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The placement of batches: their first axis is divided."""
    return NamedSharding(mesh, PartitionSpec("batch"))


def check_batch_size(batch_size: int, mesh: Mesh, *, accumulate: int = 1) -> None:
    """Raise an InputError unless the batch, or each of the parts it is computed in, divides over the devices."""
    unit = mesh.size * accumulate
    if batch_size % unit:
        parts = f" times accumulate={accumulate}" if accumulate > 1 else ""
        raise InputError(
            f"batch_size must be a multiple of the number of devices, {mesh.size}{parts}, got {batch_size}; "
            f"try {-(-batch_size // unit) * unit}."
        )


def place_batch(batch, mesh: Mesh):
    """This process's rows of a batch (NumPy) -> arrays over the mesh."""
    return jax.tree.map(lambda rows: jax.make_array_from_process_local_data(split(mesh), rows), batch)


def compile_init(init, mesh: Mesh):
    """jit `init(key) -> state`, its result a copy on every device."""
    # Drawing random numbers takes XLA half a minute to optimise on a CPU, and is done once: the values are the same.
    options = {"xla_backend_optimization_level": 1} if mesh.devices.flat[0].platform == "cpu" else None
    return jax.jit(init, out_shardings=replicated(mesh), compiler_options=options)


def compile_step(step, mesh: Mesh, *, seed: int = 0):
    """jit `step(state, batch, frozen, key) -> (state, metrics)` once, its state donated.

    Returns:
      A function (state, batch, frozen, number of the step) -> (state, metrics), whose key is folded from the seed and
      the number: a run that goes on draws what it would have drawn.
    """
    whole = replicated(mesh)

    def numbered(state, batch, frozen, number):
        return step(state, batch, frozen, jax.random.fold_in(jax.random.key(seed), number))

    return jax.jit(
        numbered,
        in_shardings=(whole, split(mesh), whole, whole),
        out_shardings=whole,
        donate_argnums=0,
        compiler_options=compiler_options(mesh.devices.flat[0]),
    )
