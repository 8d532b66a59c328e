"""The discriminator (section 2.1.1, figure 4)."""

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.layers import batch_norm, conv, dense


class Discriminator(nn.Module):
    """HR or SR image -> logit of "this is a natural image".

    Eight 3×3 convolutions with LeakyReLU 0.2 (strided ones instead of pooling; BatchNorm in all but the first), then
    two dense layers. The first dense layer is sized by the crop: 23,563,649 parameters at 96 pixels. There is no
    sigmoid: the losses take logits.

    Attributes:
      features: of the first convolution (paper: 64); the last has eight times as many.
      hidden: width of the first dense layer (paper: 1024).
      dtype: of the computation; parameters and BatchNorm statistics are float32.
    """

    features: int = 64
    hidden: int = 1024
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        """images: [N, S, S, C] in [-1, 1], S that of training -> float32 logits [N]."""
        x = images
        for i in range(8):
            features, stride = self.features * 2 ** (i // 2), 1 + i % 2
            # (1, 1) as every published discriminator has it; SAME would pad (0, 1) at stride 2.
            x = conv(
                features, (3, 3), stride, padding=((1, 1), (1, 1)), use_bias=i == 0, dtype=self.dtype, name=f"conv{i}"
            )(x)
            if i > 0:
                x = batch_norm(use_running_average=not train, dtype=self.dtype, name=f"bn{i}")(x)
            x = nn.leaky_relu(x, 0.2)
        x = x.reshape(x.shape[0], -1)
        x = nn.leaky_relu(dense(self.hidden, dtype=self.dtype, name="dense0")(x), 0.2)
        return dense(1, dtype=self.dtype, name="dense1")(x)[:, 0].astype(jnp.float32)
