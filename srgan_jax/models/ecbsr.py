"""ECBSR (Zhang, Zeng and Zhang, "Edge-oriented Convolution Block for Real-time Super Resolution on Mobile Devices",
ACM Multimedia 2021): plain convolutions at inference, each of which learns as the sum of several branches."""

from collections.abc import Mapping

import flax.linen as nn
import numpy as np

from srgan_jax import cpu
from srgan_jax.cpu.operations import CHANNELS_LAST
from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import PReLU, conv
from srgan_jax.models.light import LightGenerator
from srgan_jax.types import AnyArray, Dtype, Features, Float, Params, Variables

# The fixed filters of the branches that look for edges (section 3.2).
FILTERS = {
    "sobel_x": np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], np.float32),
    "sobel_y": np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], np.float32),
    "laplacian": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32),
}
EXPANSION = 2  # channels between the two convolutions of the second branch, relative to those of the result


def merged(branches: Mapping[str, AnyArray]) -> Float[AnyArray, "3 3 inputs outputs"]:
    """Return the one kernel that does what all branches do together (section 3.3).

    Args:
      branches: the parameters of a BranchedConv.
    """
    kernel = branches["kernel"] + branches["expand"] @ branches["squeeze"]
    for name, fixed in FILTERS.items():
        kernel = kernel + fixed[:, :, None, None] * (branches[name] * branches[f"{name}_scale"])
    return kernel


class BranchedConv(nn.Module):
    """A 3×3 convolution that learns as the sum of five branches, all of which are linear.

    The branches are a 3×3 convolution; a 1×1 convolution, which has more channels, and a 3×3 convolution after it; and
    three 1×1 convolutions with a fixed filter after each, times a factor for every channel. Since a sum of linear maps
    is one linear map, the kernels are added up before the picture comes in: a step costs hardly more than that of a
    plain convolution, and the result is the same but for rounding.

    Attributes:
      features: channels of the result.
      dtype: of the computation.
    """

    features: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Features) -> Float[AnyArray, "n _ _ g"]:
        inputs, outputs, between = x.shape[-1], self.features, EXPANSION * self.features
        glorot = nn.initializers.glorot_uniform()
        branches = {
            "kernel": self.param("kernel", glorot, (3, 3, inputs, outputs)),
            "expand": self.param("expand", glorot, (inputs, between)),
            "squeeze": self.param("squeeze", glorot, (3, 3, between, outputs)),
        }
        for name in FILTERS:
            scale = f"{name}_scale"
            branches[name] = self.param(name, glorot, (inputs, outputs))
            branches[scale] = self.param(scale, nn.initializers.normal(1e-3), (outputs,))
        bias = self.param("bias", nn.initializers.zeros, (outputs,))
        x, kernel, bias = (array.astype(self.dtype) for array in (x, merged(branches), bias))
        return cpu.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=CHANNELS_LAST) + bias


class ConvBlock(nn.Module):
    """A 3×3 convolution and a PReLU.

    Attributes:
      features: feature maps.
      dtype: of the computation.
      branches: whether the convolution learns as the sum of branches.
    """

    features: int
    dtype: Dtype
    branches: bool

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Features:
        return PReLU(name="prelu")(convolution(self.features, self.dtype, self.branches, name="conv")(x))


def convolution(features: int, dtype: Dtype, branches: bool, **names) -> nn.Module:
    """Return a 3×3 convolution, with or without branches."""
    if branches:
        return BranchedConv(features, dtype, **names)
    return conv(features, (3, 3), dtype=dtype, **names)


class ECBSR(LightGenerator):
    """LR image -> SR image by a chain of 3×3 convolutions on LR pixels (section 3.1).

    The paper's network enlarges luma; this one enlarges all channels. The defaults are those of the paper's M10C32.
    Without branches, as it is released, it then has 107,600 parameters.

    Attributes:
      scale: enlargement: 2, 3, 4 or 8.
      channels: of LR and SR; 3 for RGB.
      features: feature maps of every convolution (paper: 8, 16, 32 or 64).
      num_blocks: convolutions between the first and the last one (paper: 4, 10 or 16).
      branches: whether each convolution learns as the sum of branches. `folded` makes a network without them.
      dtype: of the computation; parameters are float32.
    """

    branches: bool = True

    def convolution(self, features: int) -> nn.Module:
        return convolution(features, self.dtype, self.branches)

    @nn.nowrap
    def residual_block(self, **names) -> ConvBlock:
        return ConvBlock(self.features, self.dtype, self.branches, **names)

    def folded(self, variables: Variables) -> tuple["ECBSR", Variables]:
        if not self.branches:
            return self, variables
        return self.clone(branches=False), variables | {"params": _fold(variables["params"])}

    def describe_block(self, graph: Graph, x: str, name: str) -> str:
        return graph.prelu(graph.conv(x, f"{name}/conv"), f"{name}/prelu")


def _fold(params: Params) -> Params:
    """Return the parameters with one kernel for each convolution with branches, computed in float64."""
    if "expand" in params:
        exact = {name: np.asarray(array, np.float64) for name, array in params.items()}
        return {"kernel": merged(exact).astype(np.float32), "bias": np.asarray(params["bias"])}
    return {name: _fold(of) if isinstance(of, Mapping) else of for name, of in params.items()}
