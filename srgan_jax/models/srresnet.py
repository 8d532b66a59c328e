"""SRResNet, the generator of both of the paper's stages (section 2.1.1, figure 4)."""

import math
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.images import unit_to_signed
from srgan_jax.layers import Enlarge, PReLU, add, batch_norm, conv, pixel_shuffle

# What may be added to the network's output. The paper adds nothing; small networks and short runs profit.
GLOBAL_SKIPS = {"none": None, "nearest": "nearest", "bicubic": "cubic"}  # methods of jax.image.resize

# What the last convolution's output goes through, and then from its range to [-1, 1].
OUTPUT_ACTIVATIONS = {"none": lambda x: x, "tanh": jnp.tanh}
OUTPUT_RANGES = {"signed": lambda x: x, "unit": unit_to_signed}


class ResidualBlock(nn.Module):
    """k3n64s1 - BN - PReLU - k3n64s1 - BN, plus the input; nothing after the sum.

    Attributes:
      prelu: its slopes, "channel" or "shared"; "none" for ReLU.
    """

    features: int
    dtype: jnp.dtype
    batch_norm: bool = False
    prelu: str = "none"

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        y = x
        for i in (1, 2):
            y = conv(self.features, (3, 3), use_bias=not self.batch_norm, dtype=self.dtype, name=f"conv{i}")(y)
            if self.batch_norm:
                y = batch_norm(use_running_average=not train, dtype=self.dtype, name=f"bn{i}")(y)
            if i == 1:
                y = nn.relu(y) if self.prelu == "none" else PReLU(self.prelu, name="prelu")(y)
        return add(x, y)


class SRResNet(nn.Module):
    """LR image -> SR image, `scale` times as large.

    Convolutions that a BatchNorm follows have no bias: its gradient is zero in truth and noise in practice. The
    paper's network then has 1,548,547 parameters.

    Attributes:
      scale: enlargement, a power of two.
      channels: of LR and SR; 3 for RGB.
      features: feature maps of every convolution (paper: 64).
      num_blocks: residual blocks (paper: 16).
      global_skip: what is added to the output: "none" (paper), or the LR image enlarged by "nearest" or "bicubic".
      zero_init_output: start the last convolution at zero, so that training starts from `global_skip`.
      output_activation: after the last convolution: "none" (paper) or "tanh".
      output_range: of images as the last convolution gives them: "signed", [-1, 1] (paper), or "unit", [0, 1], which
        is then turned into [-1, 1].
      prelu: slopes of each PReLU: one per "channel" (paper), or one that they share, "shared".
      trunk_prelu: a PReLU instead of the BatchNorm before the long skip connection.
      batch_norm: False leaves BatchNorm out and gives those convolutions a bias: what `fold_batch_norm` makes.
      dtype: of the computation; parameters and BatchNorm statistics are float32.
    """

    VALUES: ClassVar = {
        "scale": (1, 2, 4, 8, 16),
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
    zero_init_output: bool = False
    output_activation: str = "none"
    output_range: str = "signed"
    prelu: str = "channel"
    trunk_prelu: bool = False
    batch_norm: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, lr, *, train: bool = False):
        """lr: [N, H, W, channels] in [0, 1] -> SR, float32 [N, scale · H, scale · W, channels] around [-1, 1].

        SR is not clipped. With `train=True` BatchNorm uses the batch's statistics and updates `batch_stats`.
        """
        stem = conv(self.features, (9, 9), dtype=self.dtype, name="stem")(lr)
        stem = PReLU(self.prelu, name="stem_prelu")(stem)

        x = stem
        for i in range(self.num_blocks):
            block = ResidualBlock(self.features, self.dtype, self.batch_norm, self.prelu, name=f"block{i}")
            x = block(x, train=train)
        trunk_bn = self.batch_norm and not self.trunk_prelu
        x = conv(self.features, (3, 3), use_bias=not trunk_bn, dtype=self.dtype, name="trunk")(x)
        if self.trunk_prelu:
            x = PReLU(self.prelu, name="trunk_prelu")(x)
        elif trunk_bn:
            x = batch_norm(use_running_average=not train, dtype=self.dtype, name="trunk_bn")(x)
        x = add(stem, x)

        for i in range(self.scale.bit_length() - 1):
            x = conv(self.features * 4, (3, 3), dtype=self.dtype, name=f"upsample{i}")(x)
            x = PReLU(self.prelu, name=f"upsample{i}_prelu")(pixel_shuffle(x, 2))

        init = {"kernel_init": nn.initializers.zeros} if self.zero_init_output else {}
        sr = conv(self.channels, (9, 9), dtype=self.dtype, name="output", **init)(x).astype(jnp.float32)
        sr = OUTPUT_ACTIVATIONS[self.output_activation](sr)
        method = GLOBAL_SKIPS[self.global_skip]
        if method is not None:
            enlarged = Enlarge(method, self.scale, name="global_skip")(lr.astype(jnp.float32))
            sr = add(enlarged if self.output_range == "unit" else unit_to_signed(enlarged), sr)
        return OUTPUT_RANGES[self.output_range](sr)

    @property
    def receptive_radius(self) -> int:
        """LR pixels on each side that a pixel of SR can depend on (40 for the paper's network)."""
        trunk = 4 + 2 * self.num_blocks + 1
        # The n-th upsampling convolution sees 1 pixel of a grid 2ⁿ times as fine; the last one has radius 4 in SR.
        upsampling = sum(0.5**n for n in range(self.scale.bit_length() - 1)) + 4 / self.scale
        return math.ceil(trunk + upsampling)
