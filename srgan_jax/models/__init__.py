"""The networks: generators by a registry, the discriminator, and VGG19 for the content loss."""

from srgan_jax.models.discriminator import Discriminator
from srgan_jax.models.folding import fold_batch_norm
from srgan_jax.models.msrresnet import MSRResNet
from srgan_jax.models.network import GeneratorNetwork
from srgan_jax.models.registry import (
    DISCRIMINATORS,
    GENERATORS,
    architecture_in,
    architecture_of,
    create_discriminator,
    create_generator,
    expected_variables,
)
from srgan_jax.models.residual import ResidualGenerator
from srgan_jax.models.srresnet import SRResNet
from srgan_jax.models.vgg import VGG19

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "VGG19",
    "Discriminator",
    "GeneratorNetwork",
    "MSRResNet",
    "ResidualGenerator",
    "SRResNet",
    "architecture_in",
    "architecture_of",
    "create_discriminator",
    "create_generator",
    "expected_variables",
    "fold_batch_norm",
]
