"""What the residual generators have in common: a chain of residual blocks, and one order of computing."""

from typing import ClassVar

import flax.linen as nn

from srgan_jax.models.layers import PReLU, add, batch_norm, conv
from srgan_jax.models.network import MOST, GeneratorNetwork
from srgan_jax.types import Dtype, Features, Images, LRImages


class ResidualBlock(nn.Module):
    """k3n64s1 - BN - PReLU - k3n64s1 - BN, plus the input; nothing follows the sum (section 2.1.1).

    Attributes:
      features: feature maps of both convolutions.
      dtype: of the computation.
      batch_norm: False leaves BatchNorm out and gives the convolutions a bias.
      prelu: slopes of the PReLU, "channel" or "shared"; "none" is ReLU.
      residual_scale: what is added to the input is multiplied by this.
      kernel_size: rows and columns of both kernels.
    """

    features: int
    dtype: Dtype
    batch_norm: bool = False
    prelu: str = "none"
    residual_scale: float = 1.0
    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Features:
        y, size = x, (self.kernel_size, self.kernel_size)
        for i in (1, 2):
            y = conv(self.features, size, use_bias=not self.batch_norm, dtype=self.dtype, name=f"conv{i}")(y)
            if self.batch_norm:
                y = batch_norm(use_running_average=not train, dtype=self.dtype, name=f"bn{i}")(y)
            if i == 1:
                y = nn.relu(y) if self.prelu == "none" else PReLU(self.prelu, name="prelu")(y)
        return add(x, y if self.residual_scale == 1 else self.residual_scale * y)


class ResidualGenerator(GeneratorNetwork):
    """A generator in three parts, which upscaling computes piece by piece: begin, residual blocks, finish.

    A subclass has the fields `features` and `num_blocks`, and its `setup` makes the list `blocks`, whose members are
    named "block0", "block1", … and are all alike.
    """

    VALUES: ClassVar = {"num_blocks": range(MOST + 1)}

    def __call__(self, lr: LRImages, *, train: bool = False) -> Images:
        x = stem = self.begin(lr)
        for block in self.blocks:
            x = block(x, train=train)
        if not self.is_initializing():
            self.sow("auxiliary", "features", x)
        return self.finish(lr, stem, x, train=train)

    def begin(self, lr: LRImages) -> Features:
        """Map LR -> [N, H, W, features], for the first residual block and for `finish`."""
        raise NotImplementedError

    @nn.nowrap
    def residual_block(self, **names) -> ResidualBlock:
        """Make one of the `num_blocks` in `blocks`; all are alike."""
        raise NotImplementedError

    def finish(self, lr: LRImages, stem: Features, x: Features, *, train: bool = False) -> Images:
        """Map LR, what `begin` made of it, and what the residual blocks made of that -> SR."""
        raise NotImplementedError

    @property
    def radii(self) -> tuple[int, int, int]:
        """LR pixels on each side that `begin`, a residual block and `finish` see."""
        raise NotImplementedError

    @property
    def receptive_radius(self) -> int:
        begin, block, finish = self.radii
        return begin + self.num_blocks * block + finish
