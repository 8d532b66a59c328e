"""What the light generators have in common: 3×3 convolutions around a chain of blocks, all of them on LR pixels."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.images import unit_to_signed
from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import PReLU, add, conv, pixel_shuffle
from srgan_jax.models.residual import ResidualGenerator
from srgan_jax.types import Dtype, Features, Images, LRImages


class LightGenerator(ResidualGenerator):
    """LR image -> SR image: what the last convolution gives is added to LR's pixels, and one pixel shuffle follows.

    The result is therefore LR, enlarged by nearest neighbours, plus what the network has learned. Nothing is computed
    on SR's pixels, which makes a network quick.

    A subclass has the fields of this class, its `residual_block`, and `describe_block`.
    """

    VALUES: ClassVar = ResidualGenerator.VALUES | {"scale": (2, 3, 4, 8)}

    scale: int = 4
    channels: int = 3
    features: int = 32
    num_blocks: int = 10
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        self.stem = self.convolution(self.features)
        self.stem_prelu = PReLU()
        self.blocks = [self.residual_block(name=f"block{i}") for i in range(self.num_blocks)]
        self.output = self.convolution(self.channels * self.scale**2)

    def convolution(self, features: int) -> nn.Module:
        """Return the kind of the first and of the last convolution."""
        return conv(features, (3, 3), dtype=self.dtype)

    def begin(self, lr: LRImages) -> Features:
        return self.stem_prelu(self.stem(lr))

    def finish(self, lr: LRImages, stem: Features, x: Features, *, train: bool = False) -> Images:
        subpixels = jnp.tile(lr.astype(jnp.float32), self.scale**2)
        x = add(subpixels, self.output(x).astype(jnp.float32))
        return unit_to_signed(pixel_shuffle(x, self.scale))

    @property
    def radii(self) -> tuple[int, int, int]:
        return 1, 1, 1

    def describe_block(self, graph: Graph, x: str, name: str) -> str:
        """Return the block of this name as operations of a graph."""
        raise NotImplementedError

    def describe(self, graph: Graph, lr: str) -> str:
        x = graph.prelu(graph.conv(lr, "stem"), "stem_prelu")
        for i in range(self.num_blocks):
            x = self.describe_block(graph, x, f"block{i}")
        subpixels = graph.concat(*[lr] * self.scale**2)
        return graph.shuffle(graph.add(subpixels, graph.conv(x, "output")), self.scale)
