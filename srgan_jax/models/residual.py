"""What the generators have in common: a chain of residual blocks, and one order of computing."""

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.layers import PReLU, add, batch_norm, conv


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


class ResidualGenerator(nn.Module):
    """LR image -> SR image, in three parts, which upscaling.py computes piece by piece: begin, blocks, finish."""

    def __call__(self, lr, *, train: bool = False):
        """lr: [N, H, W, channels] in [0, 1] -> SR, float32 [N, scale · H, scale · W, channels] around [-1, 1].

        SR is not clipped. With `train=True` BatchNorm uses the batch's statistics and updates `batch_stats`.
        """
        x = stem = self.begin(lr)
        for block in self.blocks:
            x = block(x, train=train)
        return self.finish(lr, stem, x, train=train)

    def begin(self, lr):
        """LR -> [N, H, W, features], for the first residual block and for `finish`."""
        raise NotImplementedError

    @nn.nowrap
    def residual_block(self, **names) -> ResidualBlock:
        """One of the `num_blocks` in `blocks`; all are alike."""
        raise NotImplementedError

    def finish(self, lr, stem, x, *, train: bool = False):
        """LR, what `begin` made of it, and what the residual blocks made of that -> SR."""
        raise NotImplementedError

    @property
    def radii(self) -> tuple[int, int, int]:
        """LR pixels on each side that `begin`, a residual block and `finish` see."""
        raise NotImplementedError

    @property
    def receptive_radius(self) -> int:
        """LR pixels on each side that a pixel of SR can depend on (40 for the paper's network)."""
        begin, block, finish = self.radii
        return begin + self.num_blocks * block + finish
