"""The networks: generator, discriminator, VGG19 for the content loss, and a generator of others, MSRResNet."""

from srgan_jax.models.discriminator import Discriminator
from srgan_jax.models.folding import fold_batch_norm
from srgan_jax.models.msrresnet import MSRResNet
from srgan_jax.models.srresnet import SRResNet
from srgan_jax.models.vgg import VGG19

__all__ = ["VGG19", "Discriminator", "MSRResNet", "SRResNet", "fold_batch_norm"]
