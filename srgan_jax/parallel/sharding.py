"""Data parallelism as a placement of arrays: a batch is split over the devices, and the state is copied to each.

The compiled step calls no collective operation itself. XLA sums the gradients, and BatchNorm averages over the global
batch, which other frameworks call synchronised BatchNorm. Where the optimizer's arrays are split too, every device
updates its part of the parameters and then receives the other parts (ZeRO-1: Rajbhandari et al., "ZeRO: Memory
Optimizations Toward Training Trillion Parameter Models", SC 2020).
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


def of_state(state: Any, mesh: Mesh, *, split_optimizer: bool = False) -> Any:
    """Return the placement of each array of a state: every device has a copy of it.

    Args:
      state: the arrays of the state, or their shapes: {network: flax's TrainState}.
      mesh: the devices.
      split_optimizer: whether the arrays of the optimizers (`opt_state`) are divided among the devices instead, each
        along the longest of its axes that the number of devices divides. Arrays without such an axis are copied.
    """

    def place(path: tuple, array: Array | jax.ShapeDtypeStruct) -> NamedSharding:
        if not split_optimizer or not any(getattr(key, "name", None) == "opt_state" for key in path):
            return replicated(mesh)
        axes = [axis for axis, length in enumerate(array.shape) if length % mesh.size == 0]
        if not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: array.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, "batch"))

    return jax.tree_util.tree_map_with_path(place, state)


def whole(tree: Any) -> Any:
    """Give every device all of these arrays; to be called inside of a step that `compile_step` compiles.

    Where an optimizer's arrays are divided, this keeps XLA from dividing the convolutions too, which would cost many
    more collectives than the division saves.
    """
    return jax.lax.with_sharding_constraint(tree, PartitionSpec())


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


def compile_init(
    init: Callable[[Key], dict[str, Any]], mesh: Mesh, placement: Any = None
) -> Callable[[Key], dict[str, Any]]:
    """Compile `init(key) -> state`. Every device gets a copy of the state, or the parts that `of_state` gives it."""
    # On a CPU, XLA would take half a minute to optimise the drawing of random numbers, which happens once. Without
    # that optimisation the values are the same.
    options = {"xla_backend_optimization_level": 1} if mesh.devices.flat[0].platform == "cpu" else None
    placement = replicated(mesh) if placement is None else placement
    return jax.jit(init, out_shardings=placement, compiler_options=options)


def compile_step(
    step: Callable[[dict[str, Any], dict[str, Array], Any, Key], tuple[dict[str, Any], Terms]],
    mesh: Mesh,
    *,
    seed: int = 0,
    placement: Any = None,
) -> Callable[[dict[str, Any], dict[str, Array], Any, Array | np.int32], tuple[dict[str, Any], Terms]]:
    """Compile `step(state, batch, frozen, key) -> (state, metrics)`. The state that goes in is donated.

    Args:
      step: the function to compile.
      mesh: the devices. The batch is divided among them; everything else is copied to each.
      seed: the seed of the run.
      placement: of the state's arrays, where `of_state` divides some of them.

    Returns:
      A function (state, batch, frozen, number of the step) -> (state, metrics). The key that `step` gets is folded from
      the seed and the number, so a resumed run draws what the uninterrupted run would have drawn.
    """
    copied = replicated(mesh)
    placement = copied if placement is None else placement

    def numbered(
        state: dict[str, Any], batch: dict[str, Array], frozen: Any, number: Array
    ) -> tuple[dict[str, Any], Terms]:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # the mesh that `whole` refers to
            return step(state, batch, frozen, jax.random.fold_in(jax.random.key(seed), number))

    return jax.jit(
        numbered,
        in_shardings=(placement, split(mesh), copied, copied),
        out_shardings=(placement, copied),
        donate_argnums=0,
        compiler_options=compiler_options(mesh.devices.flat[0]),
    )
