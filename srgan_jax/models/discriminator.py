"""The discriminator (section 2.1.1, figure 4), and lighter and steadier forms of it."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.models.layers import batch_norm, conv, dense
from srgan_jax.types import AnyArray, Dtype, Images, Logits


def spectral(module: nn.Module, x: AnyArray, *, train: bool) -> AnyArray:
    """Apply a layer with its kernel divided by an estimate of its largest singular value, which training refines.

    The estimate is one step of the power iteration further than the last one (Miyato et al., ICLR 2018, section 2.1).
    """
    return nn.SpectralNorm(module, name=f"{module.name}_norm")(x, update_stats=train)


class Discriminator(nn.Module):
    """HR or SR image -> logits of "this is a natural image".

    Eight 3×3 convolutions with LeakyReLU 0.2 (strided ones instead of pooling; BatchNorm in all but the first), then
    a head. The paper's head is two dense layers, of which the first is sized by the crop: 23,563,649 parameters at 96
    pixels. There is no sigmoid: the losses take logits.

    Attributes:
      features: of the first convolution (paper: 64); the last has eight times as many.
      head: "dense" (paper); "pool", which averages the last features over the picture before the dense layers, so that
        crops may have any size; or "patch", a 3×3 convolution whose every output judges a part of the picture (Isola
        et al., CVPR 2017).
      hidden: width of the first dense layer (paper: 1024).
      norm: after all convolutions but the first: "batch" (paper) or "none"; or "spectral", which divides every kernel
        by its largest singular value (Miyato et al., ICLR 2018), the head's too.
      dtype: of the computation; parameters and statistics are float32.
    """

    VALUES: ClassVar = {"head": ("dense", "pool", "patch"), "norm": ("batch", "none", "spectral")}

    features: int = 64
    head: str = "dense"
    hidden: int = 1024
    norm: str = "batch"
    dtype: Dtype = jnp.float32

    @property
    def has_batch_norm(self) -> bool:
        """Whether the logit of one picture depends on the others of its batch."""
        return self.norm == "batch"

    @property
    def is_spectral(self) -> bool:
        """Whether spectral normalisation bounds the slope of every layer."""
        return self.norm == "spectral"

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Logits:
        """Judge a batch.

        Args:
          images: [N, S, S, C] in [-1, 1]; with the head "dense", S is that of training.
          train: BatchNorm uses the statistics of the batch, and spectral normalisation refines its estimates.

        Returns:
          float32 logits [N], with the head "patch" [N · parts].
        """

        def layer(module: nn.Module, x: AnyArray) -> AnyArray:
            if self.norm == "spectral":
                return spectral(module, x, train=train)
            return module(x)

        def normalised_dense(features: int, name: str, x: AnyArray) -> AnyArray:
            return layer(dense(features, dtype=self.dtype, name=name), x)

        x = images
        for i in range(8):
            features, stride = self.features * 2 ** (i // 2), 1 + i % 2
            use_bias = i == 0 or self.norm != "batch"
            # (1, 1) as every published discriminator has it; SAME would pad (0, 1) at stride 2.
            convolution = conv(
                features, (3, 3), stride, padding=((1, 1), (1, 1)), use_bias=use_bias, dtype=self.dtype, name=f"conv{i}"
            )
            x = layer(convolution, x)
            if i > 0 and self.norm == "batch":
                x = batch_norm(use_running_average=not train, dtype=self.dtype, name=f"bn{i}")(x)
            x = nn.leaky_relu(x, 0.2)
        if self.head == "patch":
            return layer(conv(1, (3, 3), dtype=self.dtype, name="patch"), x).astype(jnp.float32).reshape(-1)
        x = x.mean((1, 2)) if self.head == "pool" else x.reshape(x.shape[0], -1)
        x = nn.leaky_relu(normalised_dense(self.hidden, "dense0", x), 0.2)
        return normalised_dense(1, "dense1", x)[:, 0].astype(jnp.float32)
