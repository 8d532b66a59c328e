"""SRResNet, the generator of both of the paper's stages (section 2.1.1, figure 4)."""

import math
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.images import unit_to_signed
from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import (
    FACTORS,
    Enlarge,
    PReLU,
    add,
    batch_norm,
    conv,
    convolve_subpixels,
    icnr,
    pixel_shuffle,
    upsampling_radius,
)
from srgan_jax.models.residual import ResidualBlock, ResidualGenerator
from srgan_jax.types import Dtype, Features, Images, LRImages

# What may be added to the network's output. The paper adds nothing; small networks and short runs profit.
GLOBAL_SKIPS = {"none": None, "nearest": "nearest", "bicubic": "cubic"}  # methods of jax.image.resize

# What the last convolution's output goes through, and then from its range to [-1, 1].
OUTPUT_ACTIVATIONS = {"none": lambda x: x, "tanh": jnp.tanh}
OUTPUT_RANGES = {"signed": lambda x: x, "unit": unit_to_signed}


class SRResNet(ResidualGenerator):
    """LR image -> SR image, `scale` times as large.

    Convolutions that a BatchNorm follows have no bias: its gradient is zero in truth and noise in practice. The
    paper's network then has 1,548,547 parameters.

    Attributes:
      scale: enlargement: 1, 2, 3, 4, 8 or 16; the paper's are 2 and 4.
      channels: of LR and SR; 3 for RGB.
      features: feature maps of every convolution (paper: 64).
      num_blocks: residual blocks (paper: 16).
      global_skip: what is added to the output: "none" (paper), or the LR image enlarged by "nearest" or "bicubic".
      icnr: start the convolutions before pixel shuffles with equal kernels for all subpixels; see layers.icnr.
      zero_init_output: start the last convolution at zero, so that training starts from `global_skip`.
      output_activation: after the last convolution: "none" (paper) or "tanh".
      output_range: of images as the last convolution gives them: "signed", [-1, 1] (paper), or "unit", [0, 1], which
        is then turned into [-1, 1].
      prelu: slopes of each PReLU: one per "channel" (paper), or one that they share, "shared".
      trunk_prelu: a PReLU instead of the BatchNorm before the long skip connection.
      batch_norm: False leaves BatchNorm out and gives those convolutions a bias: what `fold_batch_norm` makes.
      dtype: of the computation; parameters and BatchNorm statistics are float32.
    """

    VALUES: ClassVar = ResidualGenerator.VALUES | {
        "scale": tuple(FACTORS),
        "global_skip": tuple(GLOBAL_SKIPS),
        "output_activation": tuple(OUTPUT_ACTIVATIONS),
        "output_range": tuple(OUTPUT_RANGES),
        "prelu": ("channel", "shared"),
    }

    scale: int = 4
    channels: int = 3
    features: int = 64
    num_blocks: int = 16
    global_skip: str = "none"
    icnr: bool = False
    zero_init_output: bool = False
    output_activation: str = "none"
    output_range: str = "signed"
    prelu: str = "channel"
    trunk_prelu: bool = False
    batch_norm: bool = True
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        self.stem = conv(self.features, (9, 9), dtype=self.dtype)
        self.stem_prelu = PReLU(self.prelu)
        self.blocks = [self.residual_block(name=f"block{i}") for i in range(self.num_blocks)]
        trunk_bn = self.batch_norm and not self.trunk_prelu
        self.trunk = conv(self.features, (3, 3), use_bias=not trunk_bn, dtype=self.dtype)
        if self.trunk_prelu:
            self.after_trunk = PReLU(self.prelu, name="trunk_prelu")
        elif trunk_bn:
            self.trunk_bn = batch_norm(dtype=self.dtype)
        factors, glorot = FACTORS[self.scale], nn.initializers.glorot_uniform()
        self.upsamples = [
            conv(
                self.features * factor**2,
                (3, 3),
                dtype=self.dtype,
                kernel_init=icnr(glorot, factor) if self.icnr else glorot,
                name=f"upsample{i}",
            )
            for i, factor in enumerate(factors)
        ]
        self.upsample_prelus = [PReLU(self.prelu, name=f"upsample{i}_prelu") for i in range(len(factors))]
        options = {"kernel_init": nn.initializers.zeros} if self.zero_init_output else {}
        if factors[-1:] == (2,):
            options["conv_general_dilated"] = convolve_subpixels
        self.output = conv(self.channels, (9, 9), dtype=self.dtype, **options)
        method = GLOBAL_SKIPS[self.global_skip]
        self.enlarge = method and Enlarge(method, self.scale, name="global_skip")

    @nn.nowrap
    def residual_block(self, **names) -> ResidualBlock:
        return ResidualBlock(self.features, self.dtype, self.batch_norm, self.prelu, **names)

    def begin(self, lr: LRImages) -> Features:
        return self.stem_prelu(self.stem(lr))

    def finish(self, lr: LRImages, stem: Features, x: Features, *, train: bool = False) -> Images:
        x = self.trunk(x)
        if self.trunk_prelu:
            x = self.after_trunk(x)
        elif self.batch_norm:
            x = self.trunk_bn(x, use_running_average=not train)
        x = add(stem, x)
        for factor, upsample, prelu in zip(FACTORS[self.scale], self.upsamples, self.upsample_prelus, strict=True):
            x = pixel_shuffle(prelu(upsample(x), factor=factor), factor)
        sr = OUTPUT_ACTIVATIONS[self.output_activation](self.output(x).astype(jnp.float32))
        if self.enlarge:
            enlarged = self.enlarge(lr.astype(jnp.float32))
            sr = add(enlarged if self.output_range == "unit" else unit_to_signed(enlarged), sr)
        return OUTPUT_RANGES[self.output_range](sr)

    @property
    def radii(self) -> tuple[int, int, int]:
        return 4, 2, math.ceil(1 + upsampling_radius(self.scale) + 4 / self.scale)  # the last one has radius 4 in SR

    def describe(self, graph: Graph, lr: str) -> str:
        stem = x = graph.prelu(graph.conv(lr, "stem"), "stem_prelu")
        for block in (f"block{i}" for i in range(self.num_blocks)):
            y = graph.prelu(graph.conv(x, f"{block}/conv1", norm=f"{block}/bn1"), f"{block}/prelu")
            x = graph.add(x, graph.conv(y, f"{block}/conv2", norm=f"{block}/bn2"))
        if self.trunk_prelu:
            x = graph.prelu(graph.conv(x, "trunk"), "trunk_prelu")
        else:
            x = graph.conv(x, "trunk", norm="trunk_bn")
        x = graph.add(stem, x)
        for i, factor in enumerate(FACTORS[self.scale]):
            x = graph.prelu(graph.shuffle(graph.conv(x, f"upsample{i}"), factor), f"upsample{i}_prelu")
        x = graph.conv(x, "output")
        x = graph.tanh(x) if self.output_activation == "tanh" else x
        skip = self.global_skip != "none"
        if self.output_range == "signed":
            x = graph.affine(x, 0.5, 0.0 if skip else 0.5)  # the global skip brings its own half
        return graph.add(x, graph.resize(lr, self.scale, self.global_skip)) if skip else x
