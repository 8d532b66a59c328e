"""VGG19 (Simonyan & Zisserman, 2015): the feature maps φ_{i,j} of the content loss (section 2.2.1)."""

from collections.abc import Iterable

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.images import signed_to_levels
from srgan_jax.models.layers import conv, max_pool
from srgan_jax.types import Dtype, Features, Images

# Convolutions and features of each of the five blocks; a 2×2 max-pooling stands between blocks.
BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))

_PLACES = [(i, j) for i, (convs, _) in enumerate(BLOCKS, 1) for j in range(1, convs + 1)]

# Every φ_{i,j} by the name that configs use: after the activation, as in the paper, and before it.
AFTER_ACTIVATION = {f"vgg{i}{j}": (i, j) for i, j in _PLACES}
BEFORE_ACTIVATION = {f"pre{i}{j}": (i, j) for i, j in _PLACES}
LAYERS = AFTER_ACTIVATION | BEFORE_ACTIVATION


def _caffe(images: Images) -> Images:
    """Return BGR levels 0..255 minus ImageNet's means: what the Caffe and Keras weights were trained with."""
    return signed_to_levels(images)[..., ::-1] - jnp.array([103.939, 116.779, 123.68], jnp.float32)


def _torchvision(images: Images) -> Images:
    """Return RGB in [0, 1], standardised by ImageNet's means and deviations."""
    mean, std = jnp.array([0.485, 0.456, 0.406]), jnp.array([0.229, 0.224, 0.225])
    return ((images + 1.0) / 2.0 - mean) / std


# Preprocessing of images in [-1, 1], and what features are multiplied by. The paper's 1/12.75 (section 3.2) brings
# Caffe's features to the scale of MSE; torchvision's are of that scale already and would starve.
PREPROCESSING = {"caffe": (_caffe, 1 / 12.75), "torchvision": (_torchvision, 1.0)}


def conv_names(layers: Iterable[str]) -> list[str]:
    """Return the names of the convolutions that these layers need, in order: "conv1_1", "conv1_2", …"""
    last = max(LAYERS[layer] for layer in layers)
    return [f"conv{i}_{j}" for i, j in _PLACES if (i, j) <= last]


class VGG19(nn.Module):
    """The feature maps φ_{i,j} of the j-th convolution before the i-th max-pooling.

    Attributes:
      layers: names out of LAYERS: "vgg54" is φ_{5,4} after its activation, "pre54" before it. What lies behind the
        last is not computed and needs no weights.
      preprocessing: "caffe" or "torchvision", as the weights were trained.
      dtype: of the computation.
    """

    layers: tuple[str, ...] = ("vgg54",)
    preprocessing: str = "caffe"
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Images) -> dict[str, Features]:
        """Map images: [N, H, W, 3] in [-1, 1] -> {layer: float32 [N, H / 2^(i-1), W / 2^(i-1), C]}, scaled."""
        prepare, scale = PREPROCESSING[self.preprocessing]
        x = prepare(images).astype(self.dtype)
        features = {}
        for name in conv_names(self.layers):
            block, index = int(name[4]), int(name[6])
            if index == 1 and block > 1:
                x = max_pool(x)
            x = features[f"pre{block}{index}"] = conv(BLOCKS[block - 1][1], (3, 3), dtype=self.dtype, name=name)(x)
            x = features[f"vgg{block}{index}"] = nn.relu(x)
        return {layer: features[layer].astype(jnp.float32) * scale for layer in self.layers}
