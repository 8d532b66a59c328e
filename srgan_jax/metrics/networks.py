"""The convolutions of AlexNet and VGG16, whose features perceptual metrics compare."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import lax

from srgan_jax.metrics import canvas
from srgan_jax.metrics.canvas import Sizes
from srgan_jax.types import Array, Float, Images, Params

Maps = Float[Array, "n _ _ _"]

# Pooling of maps and of the pictures' sizes.
Pool = Callable[[Maps, Sizes | None], tuple[Maps, Sizes | None]]


class Layer(NamedTuple):
    """A convolution and the ReLU behind it.

    Attributes:
      padding: rows and columns of zeros on each side.
      stride: pixels from one window to the next.
      pooled: a pooling stands before it.
      tapped: metrics look at what comes out of it.
    """

    padding: int
    stride: int = 1
    pooled: bool = False
    tapped: bool = False


def _vgg_block(length: int, *, pooled: bool = True) -> tuple[Layer, ...]:
    return tuple(Layer(1, pooled=pooled and i == 0, tapped=i == length - 1) for i in range(length))


# Krizhevsky's "One weird trick for parallelizing convolutional neural networks" (2014), and configuration D of Simonyan
# and Zisserman (2015), both as torchvision has them.
NETWORKS = {
    "alex": (
        Layer(2, stride=4, tapped=True),
        Layer(2, pooled=True, tapped=True),
        Layer(1, pooled=True, tapped=True),
        Layer(1, tapped=True),
        Layer(1, tapped=True),
    ),
    "vgg": _vgg_block(2, pooled=False) + _vgg_block(2) + 3 * _vgg_block(3),
}


def max_pool(x: Maps, sizes: Sizes | None, *, window: int) -> tuple[Maps, Sizes | None]:
    """Return the largest of window × window pixels, every second; windows lie wholly inside."""
    x = lax.reduce_window(x, -float("inf"), lax.max, (1, window, window, 1), (1, 2, 2, 1), "VALID")
    sizes = canvas.window_places(sizes, window, stride=2, padding=0)
    return canvas.inside(x, sizes), sizes


def convolve(conv: Params, x: Maps, sizes: Sizes | None, layer: Layer) -> tuple[Maps, Sizes | None]:
    """Apply a convolution and its ReLU."""
    strides, padding = (layer.stride, layer.stride), [(layer.padding, layer.padding)] * 2
    x = lax.conv_general_dilated(x, conv["kernel"], strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    sizes = canvas.window_places(sizes, len(conv["kernel"]), stride=layer.stride, padding=layer.padding)
    return canvas.inside(jax.nn.relu(x + conv["bias"]), sizes), sizes


def features(
    params: Params, images: Images, sizes: Sizes | None, *, network: str, pool: Pool
) -> list[tuple[Maps, Sizes | None]]:
    """Return what the tapped layers make of images, and the sizes of the pictures there; outside it is zero.

    Args:
      params: {"conv0": {"kernel": HWIO, "bias"}, …}.
      images: standardised as the network expects.
      sizes: of the pictures on their canvas; what lies outside is not looked at.
      network: a name out of NETWORKS.
      pool: what stands between the blocks.
    """
    x, maps = canvas.inside(images, sizes), []
    for i, layer in enumerate(NETWORKS[network]):
        if layer.pooled:
            x, sizes = pool(x, sizes)
        x, sizes = convolve(params[f"conv{i}"], x, sizes, layer)
        if layer.tapped:
            maps.append((x, sizes))
    return maps
