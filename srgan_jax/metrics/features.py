"""The distance between the features of two pictures in VGG19: the content loss that SRGAN is trained to make small."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from srgan_jax.images import hr_to_signed
from srgan_jax.images.montage import as_rgb
from srgan_jax.losses.pixel import mse
from srgan_jax.metrics.protocols import SRPicture
from srgan_jax.models import VGG19
from srgan_jax.types import Params


def make_feature_distance(
    vgg_params: Params, preprocessing: str, *, layer: str = "vgg54"
) -> Callable[[SRPicture, SRPicture], float]:
    """Build the content loss (section 2.2.1, eq. 5) as a measure of two pictures.

    Args:
      vgg_params: parameters of models.VGG19, as weights.vgg19.load_vgg19 returns them.
      preprocessing: "caffe" or "torchvision", which load_vgg19 returns too.
      layer: name of a feature map out of models.vgg.LAYERS.

    Returns:
      distance(sr, hr): the mean squared difference of the features of two uint8 pictures of one size, grey or RGB. The
      distance is at least 0, and 0 where the pictures are equal.
    """
    vgg = VGG19(layers=(layer,), preprocessing=preprocessing)

    @jax.jit
    def run(params, sr, hr):
        with jax.default_matmul_precision("highest"):
            sr, hr = (vgg.apply({"params": params}, hr_to_signed(image)[None])[layer] for image in (sr, hr))
            return mse(sr, hr)

    def distance(sr: SRPicture, hr: SRPicture) -> float:
        return float(run(vgg_params, *(jnp.asarray(as_rgb(image)) for image in (sr, hr))))

    return distance
