"""MSRResNet, the generator that BasicSR, KAIR and mmagic publish weights of: SRResNet without BatchNorm."""

import math
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.images import unit_to_signed
from srgan_jax.layers import Enlarge, add, conv, pixel_shuffle
from srgan_jax.models.srresnet import ResidualBlock

# How often each scale shuffles pixels, and by how much.
FACTORS = {2: (2,), 3: (3,), 4: (2, 2)}

NEGATIVE_SLOPE = 0.1


def leaky_relu(x):
    return nn.leaky_relu(x, NEGATIVE_SLOPE)


class MSRResNet(nn.Module):
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

    VALUES: ClassVar = {"scale": tuple(FACTORS)}

    scale: int = 4
    channels: int = 3
    features: int = 64
    num_blocks: int = 16
    upsample_activation: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, lr, *, train: bool = False):
        """lr: [N, H, W, channels] in [0, 1] -> SR, float32 [N, scale · H, scale · W, channels] around [-1, 1].

        SR is not clipped. `train` changes nothing.
        """
        x = leaky_relu(conv(self.features, (3, 3), dtype=self.dtype, name="stem")(lr))
        for i in range(self.num_blocks):
            x = ResidualBlock(self.features, self.dtype, name=f"block{i}")(x)
        for i, factor in enumerate(FACTORS[self.scale]):
            x = conv(self.features * factor**2, (3, 3), dtype=self.dtype, name=f"upsample{i}")(x)
            x = pixel_shuffle(x, factor)
            x = leaky_relu(x) if self.upsample_activation else x
        x = leaky_relu(conv(self.features, (3, 3), dtype=self.dtype, name="hr")(x))
        sr = conv(self.channels, (3, 3), dtype=self.dtype, name="output")(x).astype(jnp.float32)
        # Half-pixel centres, the border repeated: PyTorch's align_corners=False.
        return unit_to_signed(add(Enlarge("bilinear", self.scale, name="global_skip")(lr.astype(jnp.float32)), sr))

    @property
    def receptive_radius(self) -> int:
        """LR pixels on each side that a pixel of SR can depend on; the bilinear skip's single one is among them."""
        trunk, fine = 1 + 2 * self.num_blocks, 2 / self.scale
        upsampling = sum(math.prod(FACTORS[self.scale][:n]) ** -1 for n in range(len(FACTORS[self.scale])))
        return math.ceil(trunk + upsampling + fine)
