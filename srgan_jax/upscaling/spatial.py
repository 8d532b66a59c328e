"""One picture over a two-dimensional arrangement of devices, each of which keeps a rectangle of it.

The Upscaler computes tiles that overlap, one after the other on each device, and needs no connection between devices.
Here the whole picture is computed at once, nothing is computed twice, and no device ever holds more than its rectangle:
XLA lets neighbours exchange the few rows and columns that the next convolution reads beyond a rectangle (a halo
exchange). This is for accelerators with fast connections, and for pictures that come from a program on these devices
and go on to another.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from srgan_jax.cpu import compiler_options
from srgan_jax.errors import InputError
from srgan_jax.images import signed_to_integers
from srgan_jax.models.network import GeneratorNetwork
from srgan_jax.parallel.sharding import replicated
from srgan_jax.types import Array, UInt8, Variables


def create_grid(rows: int, columns: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Arrange devices in rows and columns. None takes the first ones of all devices.

    Raises:
      InputError: there are too few devices.
    """
    devices = jax.devices() if devices is None else devices
    if len(devices) < rows * columns:
        raise InputError(f"{rows} x {columns} devices are needed, but there are {len(devices)}.")
    grid = np.array(devices[: rows * columns]).reshape(rows, columns)
    return Mesh(grid, ("rows", "columns"), axis_types=(AxisType.Auto,) * 2)


def divided(grid: Mesh) -> NamedSharding:
    """Return the placement of a picture [H, W, C]: a rectangle of it on each device."""
    return NamedSharding(grid, PartitionSpec("rows", "columns"))


def compile_spatial(
    module: GeneratorNetwork, grid: Mesh
) -> Callable[[Variables, UInt8[Array, "h w c"]], UInt8[Array, "sr_h sr_w c"]]:
    """Compile `enlarge(variables, lr) -> SR` for a grid of devices.

    Args:
      module: any network whose layers are convolutions, with what comes between them.
      grid: from create_grid.

    Returns:
      A function of the network's variables and of levels [H, W, channels], H a multiple of the grid's rows and W of its
      columns; jax.device_put(lr, divided(grid)) places them. It gives levels [scale · H, scale · W, channels], placed
      likewise, which are those of the network on the whole picture, except for rounding.
    """

    def enlarge(variables: Variables, lr: UInt8[Array, "h w c"]) -> UInt8[Array, "sr_h sr_w c"]:
        unit = lr.astype(jnp.float32)[None] / jnp.iinfo(lr.dtype).max
        with jax.default_matmul_precision("highest"):  # as upscaling.program does
            return signed_to_integers(module.apply(variables, unit), np.dtype(np.uint8))[0]

    return jax.jit(
        enlarge,
        in_shardings=(replicated(grid), divided(grid)),
        out_shardings=divided(grid),
        compiler_options=compiler_options(grid.devices.flat[0]),
    )
