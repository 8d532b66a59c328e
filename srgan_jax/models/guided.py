"""A generator that also sees a picture of SR's size, its guide: the colours beside a depth or a thermal picture."""

import math
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from srgan_jax.images import unit_to_signed
from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import FACTORS, Enlarge, conv, pixel_shuffle, upsampling_radius
from srgan_jax.models.network import MOST, GeneratorNetwork
from srgan_jax.models.residual import ResidualBlock
from srgan_jax.types import Dtype, Images, LRImages

BICUBIC_RADIUS = 2  # LR pixels


class GuidedSR(GeneratorNetwork):
    """LR and a guide of SR's size -> SR, `scale` times as large as LR.

    Where the guide has contours, SR may have them too, and at the places where the guide has them (joint filtering, as
    in Hui et al., "Depth Map Super-Resolution by Deep Multi-Scale Guidance", ECCV 2016). A small network of residual
    blocks enlarges LR; two convolutions look at the guide; a third looks at both. The result is what the last one adds
    to the bicubic enlargement. This is not a published network.

    The guide comes in the channels after those of LR: each LR pixel has the scale² · guide_channels numbers of the
    guide that lie in it, ordered as `layers.pixel_shuffle` wants them (`layers.subpixels` makes them). So a guided
    network enlarges in tiles, trains and is exported as others are, but for the larger number of channels, `inputs`.

    Attributes:
      scale: enlargement: 2, 3, 4 or 8.
      channels: of LR and SR, without the guide.
      guide_channels: of the guide; 3 for RGB.
      features: feature maps of every convolution.
      num_blocks: residual blocks on LR's pixels.
      dtype: of the computation; parameters are float32.
    """

    VALUES: ClassVar = {"scale": (2, 3, 4, 8), "num_blocks": range(MOST + 1)}

    scale: int = 4
    channels: int = 1
    guide_channels: int = 3
    features: int = 32
    num_blocks: int = 6
    dtype: Dtype = jnp.float32

    @property
    def inputs(self) -> int:
        return self.channels + self.guide_channels * self.scale**2

    def setup(self) -> None:
        self.stem = conv(self.features, (3, 3), dtype=self.dtype)
        self.blocks = [ResidualBlock(self.features, self.dtype, name=f"block{i}") for i in range(self.num_blocks)]
        self.upsamples = [
            conv(self.features * factor**2, (3, 3), dtype=self.dtype, name=f"upsample{i}")
            for i, factor in enumerate(FACTORS[self.scale])
        ]
        self.guide = [conv(self.features, (3, 3), dtype=self.dtype, name=f"guide{i}") for i in (0, 1)]
        self.fusion = conv(self.features, (3, 3), dtype=self.dtype)
        self.output = conv(self.channels, (3, 3), dtype=self.dtype, kernel_init=nn.initializers.zeros)
        self.enlarge = Enlarge("cubic", self.scale)

    def __call__(self, lr: LRImages, *, train: bool = False) -> Images:
        lr = lr.astype(jnp.float32)
        lr, guide = lr[..., : self.channels], pixel_shuffle(lr[..., self.channels :], self.scale)
        x = nn.relu(self.stem(lr))
        for block in self.blocks:
            x = block(x)
        for upsample, factor in zip(self.upsamples, FACTORS[self.scale], strict=True):
            x = nn.relu(pixel_shuffle(upsample(x), factor))
        for convolve in self.guide:
            guide = nn.relu(convolve(guide))
        x = nn.relu(self.fusion(jnp.concatenate([x, guide], -1)))
        return unit_to_signed(self.enlarge(lr) + self.output(x).astype(jnp.float32))

    @property
    def receptive_radius(self) -> int:
        of_network = math.ceil(1 + 2 * self.num_blocks + upsampling_radius(self.scale) + 2 / self.scale)
        return max(of_network, BICUBIC_RADIUS, math.ceil(4 / self.scale))

    def describe(self, graph: Graph, lr: str) -> str:
        each = np.eye(self.inputs)  # a matrix that picks channels
        lr, guide = (
            graph.mix(lr, rows, np.zeros(len(rows))) for rows in (each[: self.channels], each[self.channels :])
        )
        x = graph.leaky_relu(graph.conv(lr, "stem"), 0.0)
        for i in range(self.num_blocks):
            y = graph.conv(graph.leaky_relu(graph.conv(x, f"block{i}/conv1"), 0.0), f"block{i}/conv2")
            x = graph.add(x, y)
        for i, factor in enumerate(FACTORS[self.scale]):
            x = graph.leaky_relu(graph.shuffle(graph.conv(x, f"upsample{i}"), factor), 0.0)
        guide = graph.shuffle(guide, self.scale)
        for i in (0, 1):
            guide = graph.leaky_relu(graph.conv(guide, f"guide{i}"), 0.0)
        x = graph.leaky_relu(graph.conv(graph.concat(x, guide), "fusion"), 0.0)
        return graph.add(graph.resize(lr, self.scale, "bicubic"), graph.conv(x, "output"))
