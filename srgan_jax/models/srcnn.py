"""SRCNN (Dong et al., "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 2016, arXiv 1501.00092)."""

import functools
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import conv
from srgan_jax.models.luma import Luma, LumaGenerator
from srgan_jax.types import Dtype


class SRCNN(LumaGenerator):
    """Luma enlarged bicubically -> SR luma, by three convolutions with ReLU between them (section 3.1).

    The paper names the forms by the sides of their kernels: 9-1-5 with 8,129 parameters, and 9-5-5 with 57,281. Its
    training pads nothing and loses the border; here zeros are padded, so that the size stays. Kernels start as the
    paper's do, from a normal distribution with the deviation 0.001 (section 3.3).

    Attributes:
      scale: enlargement: 2, 3, 4 or 8.
      channels: of LR and SR: 3 for RGB, 1 for grey.
      features: feature maps of the first convolution (paper: 64).
      mapping_features: feature maps of the second (paper: 32).
      mapping_size: side of the second convolution's kernel: 1, 3 or 5.
      dtype: of the computation; parameters are float32.
    """

    VALUES: ClassVar = LumaGenerator.VALUES | {"mapping_size": (1, 3, 5)}

    scale: int = 4
    channels: int = 3
    features: int = 64
    mapping_features: int = 32
    mapping_size: int = 5
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        super().setup()
        layer = functools.partial(conv, kernel_init=nn.initializers.normal(0.001), dtype=self.dtype)
        self.extraction = layer(self.features, (9, 9))
        self.mapping = layer(self.mapping_features, (self.mapping_size, self.mapping_size))
        self.output = layer(1, (5, 5))

    def enlarge_luma(self, lr: Luma, enlarged: Luma, *, train: bool) -> Luma:
        return self.output(nn.relu(self.mapping(nn.relu(self.extraction(enlarged)))))

    @property
    def receptive_radius(self) -> int:
        return self.radius_of(4 + self.mapping_size // 2 + 2)

    def describe_luma(self, graph: Graph, lr: str, enlarged: str) -> str:
        x = graph.leaky_relu(graph.conv(enlarged, "extraction"), 0.0)
        return graph.conv(graph.leaky_relu(graph.conv(x, "mapping"), 0.0), "output")
