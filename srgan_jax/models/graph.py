"""A generator as a list of operations on named tensors, from which ONNX and PyTorch can run it.

An operation is a dict of JSON values: "op", its "inputs", the name of its "output", and its attributes. Parameters
are named by the path of their layer, such as "block0/conv1". Tensors are images or features; where the channels stand
is up to the program that runs the graph.
"""

from typing import Any

import flax.linen as nn
import numpy as np
from numpy.typing import ArrayLike

Operation = dict[str, Any]


class Graph:
    """Collects operations; every method takes and gives names of tensors."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def _add(self, op: str, *inputs: str, output: str = "", **attributes) -> str:
        output = output or f"{op}{len(self.operations)}"
        self.operations.append({"op": op, "inputs": list(inputs), "output": output} | attributes)
        return output

    def conv(self, x: str, layer: str, *, norm: str = "", groups: int = 1) -> str:
        """Add a convolution of stride 1, padded with zeros so that the size stays, with a bias where the layer has one.

        Args:
          layer: its path, with a kernel of odd sides.
          norm: the path of the BatchNorm that follows, which may be absent from the parameters.
          groups: into which the channels are divided; as many as channels for a depthwise convolution.
        """
        return self._add("conv", x, layer=layer, norm=norm, groups=groups)

    def prelu(self, x: str, layer: str) -> str:
        """Add a parametric ReLU, whose layer has one slope or one for each channel."""
        return self._add("prelu", x, layer=layer)

    def leaky_relu(self, x: str, slope: float) -> str:
        """Add max(x, slope · x); a slope of 0 is ReLU."""
        return self._add("leaky_relu", x, slope=slope)

    def tanh(self, x: str) -> str:
        """Add the hyperbolic tangent."""
        return self._add("tanh", x)

    def add(self, x: str, y: str) -> str:
        """Add x + y, of one size."""
        return self._add("add", x, y)

    def affine(self, x: str, factor: float, shift: float) -> str:
        """Add factor · x + shift."""
        return self._add("affine", x, factor=factor, shift=shift)

    def mix(self, x: str, matrix: ArrayLike, shift: ArrayLike) -> str:
        """Add a change of colours: each pixel's channels, times a constant matrix [out, in], plus a constant [out]."""
        matrix, shift = (np.asarray(constant, np.float64).tolist() for constant in (matrix, shift))
        return self._add("mix", x, matrix=matrix, shift=shift)

    def concat(self, *xs: str) -> str:
        """Join the channels of all, one after the other."""
        return self._add("concat", *xs)

    def shuffle(self, x: str, factor: int) -> str:
        """Add a pixel shuffle whose input channels are ordered (row, column, feature), as in layers.pixel_shuffle."""
        return self._add("shuffle", x, factor=factor)

    def resize(self, x: str, scale: int, method: str) -> str:
        """Enlarge by "nearest", "bilinear" or "bicubic" (a = -1/2), with weight only on pixels of the picture."""
        return self._add("resize", x, scale=scale, method=method)


def operations_of(module: nn.Module) -> list[Operation]:
    """Return the operations from "lr" to "sr" of a generator (models.network.GeneratorNetwork)."""
    graph = Graph()
    output = module.describe(graph, "lr")
    graph._add("identity", output, output="sr")
    return graph.operations


def norms_of(module: nn.Module) -> dict[str, str]:
    """Return {path of each BatchNorm: path of the convolution that it follows}."""
    return {op["norm"]: op["layer"] for op in operations_of(module) if op.get("norm")}
