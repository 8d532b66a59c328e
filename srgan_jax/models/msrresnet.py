"""MSRResNet, the generator that BasicSR, KAIR and mmagic publish weights of: SRResNet without BatchNorm."""

import math
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.images import unit_to_signed
from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import FACTORS, Enlarge, add, conv, pixel_shuffle, upsampling_radius
from srgan_jax.models.residual import ResidualBlock, ResidualGenerator
from srgan_jax.types import Dtype, Features, Images, LRImages

NEGATIVE_SLOPE = 0.1


def leaky_relu(x: Features) -> Features:
    return nn.leaky_relu(x, NEGATIVE_SLOPE)


class MSRResNet(ResidualGenerator):
    """LR image -> SR image, `scale` times as large.

    3×3 convolutions, ReLU in the residual blocks and LeakyReLU 0.1 elsewhere, no long skip connection; the output is
    what is added to the LR image enlarged bilinearly.

    Attributes:
      scale: enlargement: 2, 3 or 4.
      channels: of LR and SR; 3 for RGB.
      features: feature maps of every convolution.
      num_blocks: residual blocks.
      upsample_activation: LeakyReLU after each pixel shuffle (BasicSR, KAIR) or nothing (mmagic).
      dtype: of the computation; parameters are float32.
    """

    VALUES: ClassVar = ResidualGenerator.VALUES | {"scale": (2, 3, 4)}

    scale: int = 4
    channels: int = 3
    features: int = 64
    num_blocks: int = 16
    upsample_activation: bool = True
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        self.stem = conv(self.features, (3, 3), dtype=self.dtype)
        self.blocks = [self.residual_block(name=f"block{i}") for i in range(self.num_blocks)]
        self.upsamples = [
            conv(self.features * factor**2, (3, 3), dtype=self.dtype, name=f"upsample{i}")
            for i, factor in enumerate(FACTORS[self.scale])
        ]
        self.hr = conv(self.features, (3, 3), dtype=self.dtype)
        self.output = conv(self.channels, (3, 3), dtype=self.dtype)
        # Half-pixel centres, the border repeated: PyTorch's align_corners=False.
        self.enlarge = Enlarge("bilinear", self.scale, name="global_skip")

    @nn.nowrap
    def residual_block(self, **names) -> ResidualBlock:
        return ResidualBlock(self.features, self.dtype, **names)

    def begin(self, lr: LRImages) -> Features:
        return leaky_relu(self.stem(lr))

    def finish(self, lr: LRImages, stem: Features, x: Features, *, train: bool = False) -> Images:
        for upsample, factor in zip(self.upsamples, FACTORS[self.scale], strict=True):
            x = pixel_shuffle(upsample(x), factor)
            x = leaky_relu(x) if self.upsample_activation else x
        sr = self.output(leaky_relu(self.hr(x))).astype(jnp.float32)
        return unit_to_signed(add(self.enlarge(lr.astype(jnp.float32)), sr))

    @property
    def radii(self) -> tuple[int, int, int]:
        return 1, 2, math.ceil(upsampling_radius(self.scale) + 2 / self.scale)

    def describe(self, graph: Graph, lr: str) -> str:
        x = graph.leaky_relu(graph.conv(lr, "stem"), NEGATIVE_SLOPE)
        for block in (f"block{i}" for i in range(self.num_blocks)):
            y = graph.leaky_relu(graph.conv(x, f"{block}/conv1"), 0.0)
            x = graph.add(x, graph.conv(y, f"{block}/conv2"))
        for i, factor in enumerate(FACTORS[self.scale]):
            x = graph.shuffle(graph.conv(x, f"upsample{i}"), factor)
            x = graph.leaky_relu(x, NEGATIVE_SLOPE) if self.upsample_activation else x
        x = graph.conv(graph.leaky_relu(graph.conv(x, "hr"), NEGATIVE_SLOPE), "output")
        return graph.add(x, graph.resize(lr, self.scale, "bilinear"))
