"""ESPCN (Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
Neural Network", CVPR 2016, arXiv 1609.05158)."""

import jax.numpy as jnp

from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import conv, pixel_shuffle
from srgan_jax.models.luma import Luma, LumaGenerator
from srgan_jax.types import Dtype


class ESPCN(LumaGenerator):
    """LR luma -> SR luma: two convolutions with tanh, and a third whose channels become the subpixels (section 2).

    All convolutions run on LR pixels, which makes the network quick. With the paper's sizes (section 3.2: kernels of
    5, 3 and 3, and 64 and 32 feature maps) it has 24,752 parameters for 4 times.

    Attributes:
      scale: enlargement: 2, 3, 4 or 8.
      channels: of LR and SR: 3 for RGB, 1 for grey.
      features: feature maps of the first convolution (paper: 64).
      mapping_features: feature maps of the second (paper: 32).
      dtype: of the computation; parameters are float32.
    """

    scale: int = 4
    channels: int = 3
    features: int = 64
    mapping_features: int = 32
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        super().setup()
        self.extraction = conv(self.features, (5, 5), dtype=self.dtype)
        self.mapping = conv(self.mapping_features, (3, 3), dtype=self.dtype)
        self.output = conv(self.scale**2, (3, 3), dtype=self.dtype)

    def enlarge_luma(self, lr: Luma, enlarged: Luma, *, train: bool) -> Luma:
        x = jnp.tanh(self.mapping(jnp.tanh(self.extraction(lr))))
        return pixel_shuffle(self.output(x), self.scale)

    @property
    def receptive_radius(self) -> int:
        return 2 + 1 + 1  # more than the bicubic enlargement of the colour sees

    def describe_luma(self, graph: Graph, lr: str, enlarged: str) -> str:
        x = graph.tanh(graph.conv(graph.tanh(graph.conv(lr, "extraction")), "mapping"))
        return graph.shuffle(graph.conv(x, "output"), self.scale)
