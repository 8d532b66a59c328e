"""VDSR (Kim et al., "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016, arXiv
1511.04587)."""

import functools
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import conv
from srgan_jax.models.luma import Luma, LumaGenerator
from srgan_jax.models.network import MOST
from srgan_jax.types import Dtype


class VDSR(LumaGenerator):
    """Luma enlarged bicubically -> SR luma: a deep chain of 3×3 convolutions makes what is added to it (section 3.1).

    ReLU stands between the convolutions, and kernels start as He et al. propose. With the paper's 20 layers there are
    665,921 parameters, or 664,704 without biases.

    Attributes:
      scale: enlargement: 2, 3, 4 or 8. The paper trains one network for several scales, which this one does not.
      channels: of LR and SR: 3 for RGB, 1 for grey.
      features: feature maps of every convolution but the last (paper: 64).
      num_layers: convolutions (paper: 20).
      use_bias: False leaves the biases out, as some published weights have it.
      dtype: of the computation; parameters are float32.
    """

    VALUES: ClassVar = LumaGenerator.VALUES | {"num_layers": range(2, MOST + 1)}

    scale: int = 4
    channels: int = 3
    features: int = 64
    num_layers: int = 20
    use_bias: bool = True
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        super().setup()
        layer = functools.partial(
            conv, kernel_init=nn.initializers.he_normal(), use_bias=self.use_bias, dtype=self.dtype
        )
        self.hidden = [layer(self.features, (3, 3), name=f"hidden{i}") for i in range(self.num_layers - 1)]
        self.output = layer(1, (3, 3))

    def enlarge_luma(self, lr: Luma, enlarged: Luma, *, train: bool) -> Luma:
        x = enlarged
        for hidden in self.hidden:
            x = nn.relu(hidden(x))
        return enlarged + self.output(x).astype(jnp.float32)

    @property
    def receptive_radius(self) -> int:
        return self.radius_of(self.num_layers)

    def describe_luma(self, graph: Graph, lr: str, enlarged: str) -> str:
        x = enlarged
        for i in range(self.num_layers - 1):
            x = graph.leaky_relu(graph.conv(x, f"hidden{i}"), 0.0)
        return graph.add(enlarged, graph.conv(x, "output"))
