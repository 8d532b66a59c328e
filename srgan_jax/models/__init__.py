"""The networks: generators by a registry, the discriminator, and VGG19 for the content loss."""

from srgan_jax.models.cost import count_parameters, multiply_adds
from srgan_jax.models.discriminator import Discriminator
from srgan_jax.models.drcn import DRCN
from srgan_jax.models.ecbsr import ECBSR
from srgan_jax.models.edsr import EDSR
from srgan_jax.models.espcn import ESPCN
from srgan_jax.models.folding import fold_batch_norm
from srgan_jax.models.guided import GuidedSR
from srgan_jax.models.mdsr import MDSR
from srgan_jax.models.mobile import MobileSR
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
from srgan_jax.models.srcnn import SRCNN
from srgan_jax.models.srresnet import SRResNet
from srgan_jax.models.unet import UNetDiscriminator
from srgan_jax.models.vdsr import VDSR
from srgan_jax.models.vgg import VGG19

__all__ = [
    "DISCRIMINATORS",
    "DRCN",
    "ECBSR",
    "EDSR",
    "ESPCN",
    "GENERATORS",
    "MDSR",
    "SRCNN",
    "VDSR",
    "VGG19",
    "Discriminator",
    "GeneratorNetwork",
    "GuidedSR",
    "MSRResNet",
    "MobileSR",
    "ResidualGenerator",
    "SRResNet",
    "UNetDiscriminator",
    "architecture_in",
    "architecture_of",
    "count_parameters",
    "create_discriminator",
    "create_generator",
    "expected_variables",
    "fold_batch_norm",
    "multiply_adds",
]
