"""Any network is enlarged in tiles as the whole picture is, or it is refused."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import initialise, quick_jit

from srgan_jax.errors import InputError
from srgan_jax.generators import Generator
from srgan_jax.models.layers import Enlarge, add, pixel_shuffle
from srgan_jax.models.network import GeneratorNetwork
from srgan_jax.models.residual import ResidualGenerator
from srgan_jax.upscaling import Upscaler


class Recursive(GeneratorNetwork):
    """No residual blocks: one dilated depthwise and one pointwise convolution, whose weights all steps share."""

    scale: int = 3
    channels: int = 3
    steps: int = 3

    @nn.compact
    def __call__(self, lr, *, train=False):
        depthwise = nn.Conv(8, (3, 3), kernel_dilation=(2, 1), feature_group_count=8, name="depthwise")
        pointwise = nn.Conv(8, (1, 1), name="pointwise")
        x = stem = nn.Conv(8, (3, 5), padding=((1, 1), (2, 2)))(lr)
        for _ in range(self.steps):
            x = stem + nn.relu(pointwise(depthwise(x)))
        x = nn.BatchNorm(use_running_average=not train)(x)
        return 2 * pixel_shuffle(nn.Conv(27, (3, 3))(x), 3) - 1

    @property
    def receptive_radius(self):
        return 1 + 2 * self.steps + 1


class Branches(GeneratorNetwork):
    """Convolutions side by side that see different distances, an even kernel, and an enlargement of features."""

    scale: int = 2
    channels: int = 3

    @nn.compact
    def __call__(self, lr, *, train=False):
        near, far = nn.Conv(6, (3, 3))(lr), nn.Conv(6, (3, 3), kernel_dilation=4)(lr)
        x = nn.PReLU()(nn.LayerNorm()(nn.Dense(12)(jnp.concatenate([near, far, lr], -1))))
        x = nn.Conv(3, (2, 2))(nn.Conv(12, (3, 3), feature_group_count=3)(pixel_shuffle(nn.Conv(24, (3, 3))(x), 2)))
        return Enlarge("bicubic", 2)(lr) + x

    @property
    def receptive_radius(self):
        return 4 + 1 + 1


class DepthwiseBlock(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        y = nn.Conv(4, (3, 3), feature_group_count=4, kernel_dilation=(1, 2), name="depthwise")(x)
        return add(x, nn.Conv(4, (5, 1), feature_group_count=2, padding=((2, 2), (0, 0)), name="grouped")(nn.relu(y)))


class Depthwise(ResidualGenerator):
    """A residual network that is computed piece by piece, with groups and dilation in its pieces."""

    scale: int = 2
    channels: int = 3
    features: int = 4
    num_blocks: int = 2
    last: int = 3  # side of the kernel of the last convolution
    stride: int = 1

    def setup(self):
        self.stem = nn.Conv(4, (3, 3))
        self.blocks = [self.residual_block(name=f"block{i}") for i in range(self.num_blocks)]
        self.output = nn.Conv(12, (self.last, self.last), strides=self.stride)

    @nn.nowrap
    def residual_block(self, **names):
        return DepthwiseBlock(**names)

    def begin(self, lr):
        return self.stem(lr)

    def finish(self, lr, stem, x, *, train=False):
        return pixel_shuffle(self.output(x), 2)

    @property
    def radii(self):
        return 1, 3, 1


@functools.cache
def trained(module):
    rng = np.random.default_rng(0)
    made = initialise(module, np.zeros((1, 8, 8, module.channels), np.float32))
    variables = jax.tree.map(lambda x: np.asarray(x) * rng.uniform(0.8, 1.6, x.shape).astype(np.float32), made)
    return Generator(module, variables, "toy", {})


@functools.cache
def apply(module):
    return quick_jit(module.apply)


def picture(height, width):
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def assert_tiled_equals_whole(module, size, tile):
    lr, generator = picture(*size), trained(module)
    sr = np.asarray(apply(module)(generator.variables, lr[None] / np.float32(255))[0])
    assert sr.std() > 0.1
    levels = np.clip((sr.astype(np.float64) + 1) * 127.5, 0, 255)
    assert np.abs(Upscaler(generator, tile=tile)(lr) - levels).max() < 0.5 + 1e-5 * 255


@pytest.mark.parametrize("module", [Recursive(), Branches(), Depthwise()], ids=lambda module: type(module).__name__)
@pytest.mark.parametrize(("size", "tile"), [((1, 3), 8), ((41, 23), 8), ((37, 61), 17), ((29, 31), 0)], ids=str)
def test_tiled_equals_whole(module, size, tile):
    assert_tiled_equals_whole(module, size, tile)


@pytest.mark.parametrize("module", [Recursive(), Branches()], ids=lambda module: type(module).__name__)
def test_a_margin_too_small_would_be_seen(module, monkeypatch):
    monkeypatch.setattr(type(module), "receptive_radius", module.receptive_radius - 1)
    with pytest.raises(AssertionError):
        assert_tiled_equals_whole(module, (41, 23), 8)


def test_self_ensemble_of_any_network():
    module, lr = Recursive(), picture(20, 13)
    results = [
        np.rot90(Upscaler(trained(module), tile=0)(np.ascontiguousarray(np.rot90(lr, turns))), -turns).astype(int)
        for turns in range(4)
    ]
    sr = Upscaler(trained(module), tile=8, ensemble=True)(lr)
    assert (
        np.abs(np.rot90(Upscaler(trained(module), tile=0, ensemble=True)(np.rot90(lr)), -1) - sr.astype(int)).max() <= 1
    )
    assert min(np.abs(sr - result).max() for result in results) > 1


class Layer(GeneratorNetwork):
    """One layer, and an output."""

    layer: nn.Module | None = None
    function: str = ""
    scale: int = 1
    channels: int = 3

    def setup(self):
        self.first = self.layer
        self.output = nn.Conv(3, (1, 1))

    def __call__(self, lr, *, train=False):
        x = self.layer(lr) if self.layer else FUNCTIONS[self.function](lr)
        return self.output(x)

    @property
    def receptive_radius(self):
        return 4


FUNCTIONS = {
    "pooling": lambda x: nn.avg_pool(x, (3, 3), padding="SAME"),
    "mean of the picture": lambda x: x * x.mean((1, 2), keepdims=True),
    "mirrored": lambda x: x[:, ::-1],
    "resized": lambda x: jax.image.resize(x, (*x.shape[:1], 8, 8, *x.shape[3:]), "linear"),
    "shifted": lambda x: jnp.roll(x, 1, axis=1),
    "padded": lambda x: jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))),
    "attention": lambda x: jnp.einsum("nhwc,nhvc->nhwv", x, x) @ x,
}

LAYERS = {
    "strides are 2": nn.Conv(4, (3, 3), strides=2),
    "padding is 'VALID'": nn.Conv(4, (3, 3), padding="VALID"),
    "padding is 'CIRCULAR'": nn.Conv(4, (3, 3), padding="CIRCULAR"),
    r"padding is \(\(0, 2\), \(1, 1\)\)": nn.Conv(4, (3, 3), padding=((0, 2), (1, 1))),
    "its input's dilation is 2": nn.Conv(4, (3, 3), input_dilation=2),
    "kernel is not one of two dimensions": nn.Conv(4, (3,)),
    "without a mask": nn.Conv(4, (3, 3), mask=np.ones((3, 3, 3, 4), np.float32)),
    "ConvTranspose may see": nn.ConvTranspose(4, (3, 3)),
    "ConvLocal may see": nn.ConvLocal(4, (3, 3)),
    "GroupNorm may see": nn.GroupNorm(3),
    "MultiHeadDotProductAttention may see": nn.MultiHeadDotProductAttention(1),
    "statistics of the picture": nn.BatchNorm(use_running_average=False),
    "reduce_sum sees several pixels": nn.LayerNorm(reduction_axes=(1, 2)),
}


@pytest.mark.parametrize("reason", LAYERS)
def test_unknown_layers_are_refused(reason):
    module = Layer(layer=LAYERS[reason])
    variables = (
        {} if reason.startswith("its input's dilation") else initialise(module, np.zeros((1, 8, 8, 3), np.float32))
    )
    with pytest.raises(InputError, match=f"layer: .*{reason}.*cannot be computed in tiles"):
        Upscaler(Generator(module, variables, "toy", {}))


def test_a_layer_on_a_coarser_grid_is_refused():
    class Coarse(Layer):
        def __call__(self, lr, *, train=False):
            n, h, w, c = lr.shape
            x = lr.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)
            return pixel_shuffle(self.output(x), 2)

        def setup(self):
            self.output = nn.Conv(12, (3, 3))

    module = Coarse()
    with pytest.raises(InputError, match=r"output: it reads features that have not a multiple of LR's pixels"):
        Upscaler(Generator(module, initialise(module, np.zeros((1, 8, 8, 3), np.float32)), "toy", {}))


def test_unknown_layers_of_residual_networks_are_refused():
    for kind, reason in ((Depthwise(last=2), "its kernel has no middle"), (Depthwise(stride=2), "its strides are 2")):
        with pytest.raises(InputError, match=f"output: {reason}"):
            Upscaler(trained(kind))(picture(9, 9))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_operations_between_layers_are_refused(function):
    module = Layer(function=function)
    with pytest.raises(InputError, match=r"Layer: the operation .* sees several pixels|not a multiple of LR's pixels"):
        Upscaler(Generator(module, initialise(module, np.zeros((1, 8, 8, 3), np.float32)), "toy", {}))
