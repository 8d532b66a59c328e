"""SRResNet, the generator of both of the paper's stages (section 2.1.1, figure 4)."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from srgan_jax.layers import PReLU, batch_norm, conv, pixel_shuffle

# What may be added to the network's output. The paper adds nothing; small networks and short runs profit.
GLOBAL_SKIPS = {
    "none": None,
    "nearest": lambda lr, shape: jax.image.resize(lr, shape, "nearest"),
    "bicubic": lambda lr, shape: jax.image.resize(lr, shape, "cubic"),
}


class ResidualBlock(nn.Module):
    """k3n64s1 - BN - PReLU - k3n64s1 - BN, plus the input; nothing after the sum."""

    features: int
    batch_norm: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, *, train: bool):
        y = x
        for i in (1, 2):
            y = conv(self.features, (3, 3), use_bias=not self.batch_norm, dtype=self.dtype, name=f"conv{i}")(y)
            if self.batch_norm:
                y = batch_norm(use_running_average=not train, dtype=self.dtype, name=f"bn{i}")(y)
            if i == 1:
                y = PReLU(name="prelu")(y)
        return x + y


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
      batch_norm: False leaves BatchNorm out and gives those convolutions a bias: what `fold_batch_norm` makes.
      dtype: of the computation; parameters and BatchNorm statistics are float32.
    """

    scale: int = 4
    channels: int = 3
    features: int = 64
    num_blocks: int = 16
    global_skip: str = "none"
    zero_init_output: bool = False
    batch_norm: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, lr, *, train: bool = False):
        """lr: [N, H, W, channels] in [0, 1] -> SR, float32 [N, scale · H, scale · W, channels] around [-1, 1].

        SR is not clipped. With `train=True` BatchNorm uses the batch's statistics and updates `batch_stats`.
        """
        stem = conv(self.features, (9, 9), dtype=self.dtype, name="stem")(lr)
        stem = PReLU(name="stem_prelu")(stem)

        x = stem
        for i in range(self.num_blocks):
            x = ResidualBlock(self.features, self.batch_norm, self.dtype, name=f"block{i}")(x, train=train)
        x = conv(self.features, (3, 3), use_bias=not self.batch_norm, dtype=self.dtype, name="trunk")(x)
        if self.batch_norm:
            x = batch_norm(use_running_average=not train, dtype=self.dtype, name="trunk_bn")(x)
        x = stem + x

        for i in range(self.scale.bit_length() - 1):
            x = conv(self.features * 4, (3, 3), dtype=self.dtype, name=f"upsample{i}")(x)
            x = PReLU(name=f"upsample{i}_prelu")(pixel_shuffle(x, 2))

        init = {"kernel_init": nn.initializers.zeros} if self.zero_init_output else {}
        sr = conv(self.channels, (9, 9), dtype=self.dtype, name="output", **init)(x).astype(jnp.float32)
        skip = GLOBAL_SKIPS[self.global_skip]
        return sr if skip is None else sr + (2.0 * skip(lr.astype(jnp.float32), sr.shape) - 1.0)

    @property
    def receptive_radius(self) -> int:
        """LR pixels on each side that a pixel of SR can depend on (40 for the paper's network)."""
        trunk = 4 + 2 * self.num_blocks + 1
        # The n-th upsampling convolution sees 1 pixel of a grid 2ⁿ times as fine; the last one has radius 4 in SR.
        upsampling = sum(0.5**n for n in range(self.scale.bit_length() - 1)) + 4 / self.scale
        return math.ceil(trunk + upsampling)
