"""EDSR (Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR Workshops 2017, arXiv
1707.02921), above all its baseline: SRResNet without BatchNorm."""

import math
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from srgan_jax.images import unit_to_signed
from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import FACTORS, add, conv, pixel_shuffle, upsampling_radius
from srgan_jax.models.residual import ResidualBlock, ResidualGenerator
from srgan_jax.types import Dtype, Features, Images, LRImages

MEAN_RGB = (0.4488, 0.4371, 0.4040)  # of DIV2K, in [0, 1]
LEVELS = 255  # the network computes in levels around that mean


def mean_of(channels: int) -> np.ndarray:
    """Return what is subtracted from each channel, in [0, 1]: for RGB the means of DIV2K, for others their mean."""
    return np.array(MEAN_RGB if channels == 3 else [np.mean(MEAN_RGB)] * channels, np.float32)


class EDSR(ResidualGenerator):
    """LR image -> SR image, `scale` times as large (sections 3.1 to 3.3).

    3×3 convolutions, ReLU in the residual blocks alone, and a long skip connection around them. The mean of DIV2K is
    subtracted at first and added at last. The defaults are the baseline of table 1, with 1,517,571 parameters for 4
    times; the large EDSR has 32 blocks of 256 features and a residual scale of 0.1.

    Attributes:
      scale: enlargement: 2, 3 or 4.
      channels: of LR and SR; 3 for RGB.
      features: feature maps of every convolution (baseline: 64).
      num_blocks: residual blocks (baseline: 16).
      residual_scale: what a residual block's second convolution is multiplied by, above 0 and at most 1 (baseline: 1).
      dtype: of the computation; parameters are float32.
    """

    VALUES: ClassVar = ResidualGenerator.VALUES | {"scale": (2, 3, 4)}

    scale: int = 4
    channels: int = 3
    features: int = 64
    num_blocks: int = 16
    residual_scale: float = 1.0
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        self.stem = conv(self.features, (3, 3), dtype=self.dtype)
        self.blocks = [self.residual_block(name=f"block{i}") for i in range(self.num_blocks)]
        self.trunk = conv(self.features, (3, 3), dtype=self.dtype)
        self.upsamples = [
            conv(self.features * factor**2, (3, 3), dtype=self.dtype, name=f"upsample{i}")
            for i, factor in enumerate(FACTORS[self.scale])
        ]
        self.output = conv(self.channels, (3, 3), dtype=self.dtype)

    @nn.nowrap
    def residual_block(self, **names) -> ResidualBlock:
        return ResidualBlock(self.features, self.dtype, residual_scale=self.residual_scale, **names)

    def begin(self, lr: LRImages) -> Features:
        return self.stem(LEVELS * (lr.astype(jnp.float32) - mean_of(self.channels)))

    def finish(self, lr: LRImages, stem: Features, x: Features, *, train: bool = False) -> Images:
        x = add(stem, self.trunk(x))
        for upsample, factor in zip(self.upsamples, FACTORS[self.scale], strict=True):
            x = pixel_shuffle(upsample(x), factor)
        return unit_to_signed(self.output(x).astype(jnp.float32) / LEVELS + mean_of(self.channels))

    @property
    def radii(self) -> tuple[int, int, int]:
        return 1, 2, math.ceil(1 + upsampling_radius(self.scale) + 1 / self.scale)

    def describe(self, graph: Graph, lr: str) -> str:
        return self._describe(graph, lr)

    def _describe(self, graph: Graph, lr: str, *, head: str = "", before: int = 0) -> str:
        """Describe the network with so many residual blocks, and a head whose layers are named by what comes first."""
        each, mean = np.eye(self.channels), mean_of(self.channels)

        def add_block(x: str, name: str, factor: float) -> str:
            y = graph.conv(graph.leaky_relu(graph.conv(x, f"{name}/conv1"), 0.0), f"{name}/conv2")
            return graph.add(x, y if factor == 1 else graph.affine(y, factor, 0.0))

        x = graph.conv(graph.mix(lr, LEVELS * each, -LEVELS * mean), "stem")
        for i in range(before):
            x = add_block(x, f"{head}block{i}", 1)
        stem = x
        for i in range(self.num_blocks):
            x = add_block(x, f"block{i}", self.residual_scale)
        x = graph.add(stem, graph.conv(x, "trunk"))
        for i, factor in enumerate(FACTORS[self.scale]):
            x = graph.shuffle(graph.conv(x, f"{head}upsample{i}"), factor)
        return graph.mix(graph.conv(x, "output"), each / LEVELS, mean)
