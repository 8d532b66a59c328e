"""Networks of random numbers: AlexNet and VGG16 with few channels, for perceptual metrics, and VGG19."""

import jax
import jax.numpy as jnp
import numpy as np

from srgan_jax.models import VGG19

BLOCKS = (2, 2, 3, 3, 3)  # convolutions of each of VGG16's blocks
# The side and the outputs of each kernel.
KERNELS = {
    "alex": ((11, 6), (5, 8), (3, 8), (3, 6), (3, 6)),
    "vgg": tuple((3, outputs) for outputs, length in zip((4, 6, 8, 8, 8), BLOCKS, strict=True) for _ in range(length)),
}
TAPPED = {"alex": (6, 8, 8, 6, 6), "vgg": (4, 6, 8, 8, 8)}  # channels of the layers that metrics look at


def small_network(network):
    """{"conv0": {"kernel", "bias"}, …}, such that activations keep their size."""
    rng, fan_in, params = np.random.default_rng(0), 3, {}
    for i, (side, outputs) in enumerate(KERNELS[network]):
        kernel = rng.standard_normal((side, side, fan_in, outputs)) * np.sqrt(2 / (side * side * fan_in))
        bias = 0.1 * rng.standard_normal(outputs)
        params[f"conv{i}"] = {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
        fan_in = outputs
    return params


def small_lpips(network):
    """Parameters of metrics.lpips."""
    rng = np.random.default_rng(1)
    return small_network(network) | {f"lin{k}": rng.random(n, np.float32) for k, n in enumerate(TAPPED[network])}


def small_dists():
    """Parameters of metrics.dists."""
    rng = np.random.default_rng(2)
    channels = 3 + sum(TAPPED["vgg"])
    return small_network("vgg") | {name: rng.random(channels, np.float32) for name in ("alpha", "beta")}


def random_vgg(layers):
    """Parameters of models.VGG19, at its full size, for these layers."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(VGG19(layers=layers).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]

    def draw(shape):
        deviation = np.float32(np.sqrt(2 / np.prod(shape.shape[:-1]))) if len(shape.shape) > 1 else np.float32(0.1)
        return deviation * rng.standard_normal(shape.shape, np.float32)

    return jax.tree.map(draw, shapes)
