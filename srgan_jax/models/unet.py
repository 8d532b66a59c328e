"""The U-Net discriminator with spectral normalisation (Wang et al., Real-ESRGAN, ICCV workshops 2021, section 3.3)."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from srgan_jax.models.discriminator import spectral
from srgan_jax.models.layers import conv
from srgan_jax.types import Dtype, Images, Logits


class UNetDiscriminator(nn.Module):
    """HR or SR image -> a logit of "this is natural" for each pixel.

    Three strided convolutions see the picture in ever larger parts. Three steps enlarge their features bilinearly and
    add those from before the reduction, so that the logit of a pixel knows both its details and its surroundings. All
    convolutions but the first and the last are divided by their spectral norm. There are 4,376,897 parameters with 64
    features.

    Attributes:
      features: of the first convolution; the deepest has eight times as many.
      dtype: of the computation; parameters and statistics are float32.
    """

    SMALLEST: ClassVar = 8  # rows and columns of which the deepest convolution makes a pixel
    has_batch_norm: ClassVar = False
    is_spectral: ClassVar = False  # the first and the last convolution are free

    features: int = 64
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Logits:
        """Judge a batch.

        Args:
          images: [N, H, W, C] in [-1, 1], of any size from SMALLEST on.
          train: spectral normalisation refines its estimates.

        Returns:
          float32 logits [N · H · W].
        """

        def layer(i: int, factor: int, x):
            size, stride = ((4, 4), 2) if 1 <= i <= 3 else ((3, 3), 1)
            module = conv(
                self.features * factor,
                size,
                stride,
                padding=((1, 1), (1, 1)),
                use_bias=i == 0,
                dtype=self.dtype,
                name=f"conv{i}",
            )
            return nn.leaky_relu(spectral(module, x, train=train) if i else module(x), 0.2)

        x = layer(0, 1, images)
        skips = []
        for i, factor in ((1, 2), (2, 4), (3, 8)):
            skips.append(x)
            x = layer(i, factor, x)
        for i, factor in ((4, 4), (5, 2), (6, 1)):
            skip = skips.pop()
            # To the size of what is added, which is not always twice as large: a crop may have any size.
            x = jax.image.resize(x, (*skip.shape[:3], x.shape[3]), "bilinear")
            x = layer(i, factor, x) + skip
        for i in (7, 8):
            x = layer(i, 1, x)
        return conv(1, (3, 3), dtype=self.dtype, name="conv9")(x).astype(jnp.float32).reshape(-1)
