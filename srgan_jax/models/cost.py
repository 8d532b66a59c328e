"""How much a network computes, counted from the operations that it describes itself by."""

import math
from fractions import Fraction

import jax

from srgan_jax import trees
from srgan_jax.models.graph import operations_of
from srgan_jax.models.network import GeneratorNetwork
from srgan_jax.models.registry import expected_variables


def count_parameters(module: GeneratorNetwork) -> int:
    """Count the numbers that the network learns; the running averages of BatchNorm are none."""
    return sum(math.prod(array.shape) for array in jax.tree.leaves(expected_variables(module)["params"]))


def multiply_adds(module: GeneratorNetwork, size: tuple[int, int] = (720, 1280)) -> int:
    """Count the multiplications, each with its addition, in the convolutions that make one SR picture.

    The literature gives these for 1280×720 pixels. An operation counts twice where FLOP are meant. Activations, sums,
    interpolation and the mixing of colours are left out, as usual.

    Args:
      module: the network.
      size: rows and columns of SR.
    """
    shapes = trees.flat(expected_variables(module)["params"])
    density, total = {"lr": Fraction(1, module.scale**2)}, Fraction(0)  # pixels of a tensor for each pixel of SR
    for operation in operations_of(module):
        growth = {"shuffle": "factor", "resize": "scale"}.get(operation["op"])
        pixels = density[operation["inputs"][0]] * (operation[growth] ** 2 if growth else 1)
        density[operation["output"]] = pixels
        if operation["op"] == "conv":
            total += pixels * math.prod(shapes[f"{operation['layer']}/kernel"].shape)
    return round(total * math.prod(size))
