"""MDSR (Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR Workshops 2017, arXiv
1707.02921, section 3.4): one network for several scales."""

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn

from srgan_jax.errors import InputError
from srgan_jax.models.edsr import EDSR
from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import FACTORS, conv, pixel_shuffle
from srgan_jax.models.residual import ResidualBlock
from srgan_jax.types import Features, Images, LRImages

HEAD_BLOCKS = 2  # residual blocks with kernels of 5×5 that each scale has before the common blocks


def head_name(scale: int) -> str:
    """Return what the names of the layers of one scale begin with."""
    return f"x{scale}_"


class MDSR(EDSR):
    """LR image -> SR image, `scale` times as large, by the head for this scale and the trunk of all scales.

    The arrays of all heads belong to the network; `clone(scale=3)` is the network that enlarges 3 times with the same
    arrays. A head has two residual blocks of 5×5 kernels before the trunk, and convolutions and pixel shuffles after
    it. The first and the last convolution and the residual blocks between are common. With the defaults there are
    3,227,203 parameters.

    Attributes:
      scales: those that there are heads for, such as "2,3,4".
      scale: the one of them by which this module enlarges.
      channels, features, num_blocks, residual_scale, dtype: as EDSR has them.
    """

    VALUES: ClassVar = EDSR.VALUES | {"scales": ("2,3", "2,4", "3,4", "2,3,4")}

    scales: str = "2,3,4"

    @property
    def heads(self) -> tuple[int, ...]:
        return tuple(map(int, self.scales.split(",")))

    def layers_of(self, scale: int) -> tuple[str, ...]:
        return (head_name(scale),)

    def setup(self) -> None:
        if self.scale not in self.heads:
            raise InputError(f"scale={self.scale} is none of scales={self.scales}.")
        self.stem = conv(self.features, (3, 3), dtype=self.dtype)
        self.blocks = [self.residual_block(name=f"block{i}") for i in range(self.num_blocks)]
        self.trunk = conv(self.features, (3, 3), dtype=self.dtype)
        self.before = {head_name(scale): self._blocks_before(scale) for scale in self.heads}
        self.after = {head_name(scale): self._convolutions_after(scale) for scale in self.heads}
        self.output = conv(self.channels, (3, 3), dtype=self.dtype)

    def _blocks_before(self, scale: int) -> list[ResidualBlock]:
        names = (f"{head_name(scale)}block{i}" for i in range(HEAD_BLOCKS))
        return [ResidualBlock(self.features, self.dtype, kernel_size=5, name=name) for name in names]

    def _convolutions_after(self, scale: int) -> list[nn.Conv]:
        return [
            conv(self.features * factor**2, (3, 3), dtype=self.dtype, name=f"{head_name(scale)}upsample{i}")
            for i, factor in enumerate(FACTORS[scale])
        ]

    @property
    def upsamples(self) -> Sequence[nn.Conv]:
        return self.after[head_name(self.scale)]

    def __call__(self, lr: LRImages, *, train: bool = False) -> Images:
        if self.is_initializing():  # a layer comes into being when it is first called
            for scale in self.heads:
                x = super().begin(lr)
                for block in self.before[head_name(scale)]:
                    x = block(x)
                for upsample, factor in zip(self.after[head_name(scale)], FACTORS[scale], strict=True):
                    x = pixel_shuffle(upsample(x), factor)
        return super().__call__(lr, train=train)

    def begin(self, lr: LRImages) -> Features:
        x = super().begin(lr)
        for block in self.before[head_name(self.scale)]:
            x = block(x)
        return x

    @property
    def radii(self) -> tuple[int, int, int]:
        begin, block, finish = super().radii
        return begin + 4 * HEAD_BLOCKS, block, finish

    def describe(self, graph: Graph, lr: str) -> str:
        return self._describe(graph, lr, head=head_name(self.scale), before=HEAD_BLOCKS)
