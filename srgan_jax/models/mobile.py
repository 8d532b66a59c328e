"""A generator of MobileNet's blocks: depthwise and pointwise convolutions in turns (Howard et al., "MobileNets",
arXiv 1704.04861; Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018)."""

import functools

import flax.linen as nn

from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import PReLU, add, batch_norm, conv
from srgan_jax.models.light import LightGenerator
from srgan_jax.types import Dtype, Features


class InvertedResidual(nn.Module):
    """1×1 to more channels, a 3×3 kernel for each channel by itself, 1×1 back, plus the input (MobileNetV2, figure 3).

    A PReLU follows the first two convolutions and nothing the third, the linear bottleneck.

    Attributes:
      features: channels of the input and of the result.
      expansion: how many times as many channels there are in between.
      dtype: of the computation.
      batch_norm: False leaves BatchNorm out and gives the convolutions a bias.
    """

    features: int
    expansion: int
    dtype: Dtype
    batch_norm: bool

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Features:
        width = self.features * self.expansion
        layer = functools.partial(conv, use_bias=not self.batch_norm, dtype=self.dtype)
        layers = {
            "expand": layer(width, (1, 1), name="expand"),
            "depthwise": layer(width, (3, 3), feature_group_count=width, name="depthwise"),
            "project": layer(self.features, (1, 1), name="project"),
        }
        y = x
        for name, convolve in layers.items():
            y = convolve(y)
            if self.batch_norm:
                y = batch_norm(use_running_average=not train, dtype=self.dtype, name=f"{name}_bn")(y)
            if name != "project":
                y = PReLU(name=f"{name}_prelu")(y)
        return add(x, y)


class MobileSR(LightGenerator):
    """LR image -> SR image by inverted residual blocks on LR pixels.

    This is not a published network: MobileNetV2's blocks stand in the frame of SRResNet's long chain. With the defaults
    it has 190,368 parameters once BatchNorm is folded.

    Attributes:
      scale: enlargement: 2, 3, 4 or 8.
      channels: of LR and SR; 3 for RGB.
      features: feature maps between the blocks.
      num_blocks: inverted residual blocks.
      expansion: how many times as many channels there are within a block.
      batch_norm: False leaves BatchNorm out and gives those convolutions a bias: what `fold_batch_norm` makes.
      dtype: of the computation; parameters and BatchNorm statistics are float32.
    """

    features: int = 48
    num_blocks: int = 16
    expansion: int = 2
    batch_norm: bool = True

    @nn.nowrap
    def residual_block(self, **names) -> InvertedResidual:
        return InvertedResidual(self.features, self.expansion, self.dtype, self.batch_norm, **names)

    def describe_block(self, graph: Graph, x: str, name: str) -> str:
        y = graph.conv(x, f"{name}/expand", norm=f"{name}/expand_bn")
        y = graph.prelu(y, f"{name}/expand_prelu")
        y = graph.conv(y, f"{name}/depthwise", norm=f"{name}/depthwise_bn", groups=self.features * self.expansion)
        y = graph.prelu(y, f"{name}/depthwise_prelu")
        return graph.add(x, graph.conv(y, f"{name}/project", norm=f"{name}/project_bn"))
