"""The networks: sizes, shapes, layers by their definitions, and PyTorch's results."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from test_cpu import CHANNELS_LAST, draw, value_and_gradients
from test_cpu import assert_close as assert_all_close
from tiny import initialise, quick_jit

from srgan_jax.images.resize import imresize, nearest
from srgan_jax.models import VGG19, Discriminator, MSRResNet, SRResNet, fold_batch_norm, layers
from srgan_jax.models.layers import PReLU, batch_norm, convolve_subpixels, pixel_shuffle
from srgan_jax.models.vgg import AFTER_ACTIVATION, PREPROCESSING, conv_names

TINY = {"features": 8, "num_blocks": 2}


def flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


def randomised(variables, seed=0):
    """Arrays that no default hides: every scale, slope, bias and statistic is of its own."""
    rng = np.random.default_rng(seed)

    def change(path, array):
        leaf = path[-1].key
        noise = rng.normal(size=array.shape).astype(np.float32)
        return {"kernel": array, "var": np.exp(0.3 * noise)}.get(leaf, array + 0.1 * noise)

    return jax.tree_util.tree_map_with_path(change, variables)


@functools.lru_cache
def create(module, shape, seed=0):
    return randomised(initialise(module, np.zeros(shape, np.float32), seed=seed), seed)


@pytest.mark.parametrize(
    ("module", "shape", "count"),
    [
        (SRResNet(), (1, 24, 24, 3), 1_548_547),
        (SRResNet(prelu="shared", trunk_prelu=True, num_blocks=5), (1, 8, 8, 3), 733_452),  # leftthomas'
        (MSRResNet(), (1, 8, 8, 3), 1_517_571),
        (Discriminator(), (1, 96, 96, 3), 23_563_649),
        (VGG19(), (1, 32, 32, 3), 20_024_384),
    ],
)
def test_parameter_counts(module, shape, count):
    params = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(shape))["params"]
    assert sum(array.size for array in jax.tree.leaves(params)) == count


def test_a_batch_norm_makes_the_bias_before_it_void():
    for module, shape in ((SRResNet(), (1, 8, 8, 3)), (Discriminator(), (1, 32, 32, 3))):
        variables = flat(jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(shape)))
        for norm in (key for key in variables if key.endswith("mean")):
            before = norm.replace("batch_stats", "params").replace("/mean", "/bias")
            convolution = before.replace("trunk_bn", "trunk").replace("/bn", "/conv")
            assert before in variables and convolution not in variables


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_shapes(scale, channels, dtype):
    module = SRResNet(scale=scale, channels=channels, dtype=jnp.dtype(dtype), **TINY)
    sr, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), jnp.zeros((2, 5, 7, channels)))
    assert sr.shape == (2, 5 * scale, 7 * scale, channels) and sr.dtype == jnp.float32
    assert {array.dtype for array in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    "module",
    [
        SRResNet(features=16, num_blocks=4),
        SRResNet(prelu="shared", trunk_prelu=True, output_activation="tanh", output_range="unit", **TINY),
    ],
)
def test_folding_batch_norm_changes_nothing_but_rounding(module):
    lr = np.random.default_rng(1).random((2, 12, 9, 3), np.float32)
    variables = create(module, lr.shape)
    folded, params = fold_batch_norm(module, variables)
    expected, sr = (quick_jit(m.apply)(v, lr) for m, v in ((module, variables), (folded, params)))
    assert not any("bn" in key for key in flat(params))
    np.testing.assert_allclose(sr, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("module", [SRResNet(batch_norm=False, **TINY), MSRResNet(**TINY)])
def test_without_batch_norm_there_is_nothing_to_fold(module):
    variables = create(module, (1, 8, 8, 3))
    folded, same = fold_batch_norm(module, variables)
    assert folded == module and same["params"] is variables["params"]


def test_the_ranges_of_the_last_convolution():
    lr = np.random.default_rng(1).random((1, 6, 6, 3), np.float32)
    module = SRResNet(**TINY)
    variables = create(module, lr.shape)

    def apply(**fields):
        return np.asarray(quick_jit(module.clone(**fields).apply)(variables, lr))

    plain = apply()
    np.testing.assert_allclose(apply(output_activation="tanh"), np.tanh(plain), atol=1e-6)
    np.testing.assert_allclose(apply(output_range="unit"), 2 * plain - 1, atol=1e-6)
    # A skip adds the same picture, whatever the range that it is added in.
    enlarged = apply(global_skip="nearest") - plain
    np.testing.assert_allclose(apply(output_range="unit", global_skip="nearest"), 2 * plain + enlarged, atol=1e-5)


@pytest.mark.parametrize("size", [16, 24, 96])
def test_discriminator_gives_one_logit_an_image(size):
    module = Discriminator(features=8, hidden=16)
    logits, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), jnp.zeros((2, size, size, 3)))
    assert logits.shape == (2,) and logits.dtype == jnp.float32
    last = -(-size // 16)  # four strided convolutions
    assert variables["params"]["dense0"]["kernel"].shape == (last * last * 64, 16)


def test_initial_values():
    variables = flat(initialise(SRResNet(**TINY), jnp.zeros((1, 8, 8, 3))))
    slopes = [array for key, array in variables.items() if key.endswith("slope")]
    assert len(slopes) == 1 + 2 + 2 and all(array.shape == (8,) and (array == 0.25).all() for array in slopes)
    assert all(not array.any() for key, array in variables.items() if key.endswith(("bias", "mean")))
    stem = variables["params/stem/kernel"]
    limit = np.sqrt(6 / (81 * (3 + 8)))  # Glorot-uniform
    assert 0.95 * limit < np.abs(stem).max() <= limit


def test_prelu_can_share_its_slope():
    x = jnp.array([[-2.0, -4.0, 3.0]])
    y = PReLU("shared").apply({"params": {"slope": jnp.array([0.5])}}, x)
    np.testing.assert_array_equal(y, [[-1.0, -2.0, 3.0]])
    assert PReLU("shared").init(jax.random.key(0), x)["params"]["slope"].shape == (1,)


def test_prelu_has_a_slope_per_channel():
    x = jnp.array([[-2.0, -2.0, 3.0]])
    y = PReLU().apply({"params": {"slope": jnp.array([0.5, -1.0, 0.5])}}, x)
    np.testing.assert_array_equal(y, [[-1.0, 2.0, 3.0]])


def test_batch_norm_statistics_move_and_are_used():
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 5, 6)).astype(np.float32)
    module = batch_norm(use_running_average=False)
    old = {"mean": jnp.full(6, 1.0), "var": jnp.full(6, 2.0)}
    variables = {"params": {"scale": jnp.full(6, 1.5), "bias": jnp.full(6, 0.5)}, "batch_stats": old}

    y, new = module.apply(variables, x, mutable=["batch_stats"])
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(new["batch_stats"]["mean"], 0.9 * 1 + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(new["batch_stats"]["var"], 0.9 * 2 + 0.1 * var, rtol=1e-5)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * 1.5 + 0.5, atol=1e-5)

    y = module.clone(use_running_average=True).apply(variables, x)
    np.testing.assert_allclose(y, (x - 1) / np.sqrt(2 + 1e-5) * 1.5 + 0.5, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("skip", ["nearest", "bicubic"])
def test_global_skip_with_zero_output_is_the_enlargement(skip, scale):
    module = SRResNet(scale=scale, global_skip=skip, zero_init_output=True, **TINY)
    lr = np.random.default_rng(0).random((1, 9, 11, 3), np.float32)
    sr = quick_jit(module.apply)(initialise(module, lr), lr)
    if skip == "nearest":
        enlarged, inner = np.repeat(np.repeat(lr[0], scale, 0), scale, 1), slice(None)
    else:  # away from the border, where MATLAB mirrors and JAX leaves taps out
        enlarged, inner = imresize(lr[0], scale), slice(2 * scale, -2 * scale)
    np.testing.assert_allclose((sr[0][inner, inner] + 1) / 2, enlarged[inner, inner], atol=1e-6)


def test_without_global_skip_zero_output_is_zero():
    module = SRResNet(zero_init_output=True, **TINY)
    lr = jnp.ones((1, 4, 4, 3))
    assert not quick_jit(module.apply)(initialise(module, lr), lr).any()


@pytest.mark.parametrize("icnr", [True, False])
def test_with_icnr_a_pixel_shuffle_begins_as_a_nearest_neighbour_enlargement(icnr):
    module = SRResNet(scale=4, icnr=icnr, **TINY)
    kernel = initialise(module, jnp.ones((1, 4, 4, 3)))["params"]["upsample1"]["kernel"]
    features = jax.random.normal(jax.random.key(0), (1, 5, 6, kernel.shape[2]))
    shuffled = np.asarray(pixel_shuffle(features @ kernel[1, 1], 2))
    assert (shuffled == nearest(shuffled[0, ::2, ::2], 2)).all() == icnr


@pytest.mark.parametrize("skip", ["none", "bicubic"])
@pytest.mark.parametrize(("scale", "num_blocks"), [(2, 0), (3, 1), (4, 1), (8, 2), (1, 1)])
def test_receptive_radius(scale, num_blocks, skip):
    """What differs where one pixel does."""
    module = SRResNet(scale=scale, features=2, num_blocks=num_blocks, global_skip=skip)
    radius = module.receptive_radius
    centre = radius + 2
    lr = np.zeros((2, 2 * centre + 1, 2 * centre + 1, 3), np.float32)
    # Where it can, a NaN: it reaches all that depends on it. The skip's matrix product would spread it further.
    lr[1, centre, centre, 1] = np.nan if skip == "none" else 1e6
    variables = create(module, lr.shape)
    before, after = np.asarray(quick_jit(module.apply)(variables, lr))
    rows, columns, _ = np.nonzero(~np.isclose(before, after, rtol=0, atol=1e-6))  # and not by mere rounding
    for places in (rows, columns):
        reach = np.abs(places // scale - centre)
        assert radius - 1 <= reach.max() <= radius and reach.min() == 0


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_receptive_radius_of_msrresnet(scale):
    """The bilinear skip is a matrix product, which would spread a NaN."""
    module = MSRResNet(scale=scale, features=2, num_blocks=1)
    radius = module.receptive_radius
    centre = radius + 2
    lr = np.zeros((2, 2 * centre + 1, 2 * centre + 1, 3), np.float32)
    lr[1, centre, centre, 1] = 1e6
    before, after = np.asarray(quick_jit(module.apply)(create(module, lr.shape), lr))
    rows, columns, _ = np.nonzero(~np.isclose(before, after, rtol=0, atol=1e-6))  # and not by mere rounding
    for places in (rows, columns):
        reach = np.abs(places // scale - centre)
        assert radius - 1 <= reach.max() <= radius and reach.min() == 0


def test_receptive_radius_of_the_papers_network():
    assert SRResNet().receptive_radius == 40


@pytest.mark.parametrize("factor", [2, 3])
def test_pixel_shuffle_is_depth_to_space(factor):
    x = np.arange(2 * 3 * 4 * factor**2 * 5).reshape(2, 3, 4, factor**2 * 5)
    y = np.asarray(pixel_shuffle(jnp.asarray(x), factor))
    for i in range(factor):
        for j in range(factor):
            first = (i * factor + j) * 5
            np.testing.assert_array_equal(y[:, i::factor, j::factor], x[..., first : first + 5])


@pytest.mark.parametrize("pool", [layers.max_pool, layers._largest_in_windows, layers._largest_of_neighbours])
def test_max_pooling_is_the_same_on_every_platform(pool):
    x = jax.random.permutation(jax.random.key(0), 2 * 7 * 10 * 3).reshape(2, 7, 10, 3).astype(jnp.float32)
    expected = np.asarray(x)[:, :6].reshape(2, 3, 2, 5, 2, 3).max((2, 4))
    np.testing.assert_array_equal(pool(x), expected)
    gradient = jax.grad(lambda x: jnp.sum(pool(x) ** 2))(x)
    np.testing.assert_array_equal(gradient, np.where(np.isin(x, expected), 2 * x, 0))


@pytest.mark.parametrize("slopes", ["channel", "shared"])
def test_prelu_before_a_pixel_shuffle_is_prelu_after_it(slopes):
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 12))
    params = randomised(PReLU(slopes).init(jax.random.key(1), x, factor=2))
    before = pixel_shuffle(PReLU(slopes).apply(params, x, factor=2), 2)
    np.testing.assert_array_equal(before, PReLU(slopes).apply(params, pixel_shuffle(x, 2)))


@pytest.mark.parametrize("size", [1, 3, 7, 9])
def test_a_convolution_on_a_grid_half_as_fine_has_the_sums_of_the_finer_one(size):
    images, kernel = draw((2, 6, 10, 16), (size, size, 16, 3))
    ours, lax = (
        value_and_gradients(
            functools.partial(convolve, window_strides=(1, 1), padding="SAME", dimension_numbers=CHANNELS_LAST),
            images,
            kernel,
        )
        for convolve in (convolve_subpixels, jax.lax.conv_general_dilated)
    )
    assert_all_close(ours, lax)


def test_pixel_shuffle_is_pytorchs_but_for_the_order_of_channels():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).random((2, 3, 4, 4 * 5), np.float32)
    channels_first = x.reshape(2, 3, 4, 4, 5).transpose(0, 4, 3, 1, 2).reshape(2, 20, 3, 4)
    theirs = torch.nn.PixelShuffle(2)(torch.from_numpy(channels_first.copy())).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(pixel_shuffle(jnp.asarray(x), 2), theirs)


@pytest.mark.parametrize(("module", "size"), [(SRResNet(**TINY), 8), (Discriminator(features=8, hidden=16), 32)])
def test_training_in_float32_and_bfloat16(module, size):
    variables = create(module, (1, size, size, 3))
    x = np.random.default_rng(1).random((2, size, size, 3), np.float32)
    results = []
    for dtype in (jnp.float32, jnp.bfloat16):
        run = functools.partial(module.clone(dtype=dtype).apply, train=True, mutable=["batch_stats"])
        output, updates = jax.device_get(quick_jit(run)(variables, x))
        assert {array.dtype for array in (output, *jax.tree.leaves(updates))} == {np.dtype("float32")}
        moved = jax.tree.map(lambda old, new: (old != new).all(), variables["batch_stats"], updates["batch_stats"])
        assert all(jax.tree.leaves(moved))
        results.append(output)
    exact, half = results
    error = np.abs(half - exact).max() / np.abs(exact).max()
    assert 1e-5 < error < 0.05  # eight bits of mantissa, a dozen layers


# The same numbers as PyTorch's. Sums run in another order: 1e-4 relative to the largest value, through all layers.


def assert_close(ours, theirs, tolerance=1e-4):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1e-6))


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ["srresnet_x4", "srresnet_x3", "srresnet_x2", "discriminator"])
def test_networks_equal_pytorchs(name, train):
    pytest.importorskip("torch")
    from benchmarks import torch_reference as reference

    if name == "discriminator":
        module, twin = Discriminator(features=8, hidden=16), reference.Discriminator(features=8, hidden=16, size=40)
        size = 40  # odd on the way down: 40, 20, 10, 5, 3
    else:
        scale, size = int(name[-1]), 9
        module, twin = SRResNet(scale=scale, **TINY), reference.SRResNet(scale=scale, **TINY)
    variables = create(module, (1, size, size, 3))
    reference.load(twin, flat(variables["params"]) | flat(variables["batch_stats"]))
    twin.train(train)
    x = np.random.default_rng(1).random((3, size, size, 3), np.float32)

    ours, updates = quick_jit(lambda v, x: module.apply(v, x, train=train, mutable=["batch_stats"]))(variables, x)
    theirs = twin(reference.nchw(x))
    assert_close(ours, theirs.detach() if name == "discriminator" else reference.nhwc(theirs))
    statistics = flat(updates["batch_stats"])
    for key, array in reference.read(twin.state_dict(), statistics).items():
        assert_close(statistics[key], array, 1e-5)


@pytest.fixture(scope="module")
def vgg_params():
    """Random weights of VGG19, such that activations keep their size."""
    rng, fan_in, params = np.random.default_rng(0), 3, {}
    features = (64, 128, 256, 512, 512)
    for name in conv_names(["vgg54"]):
        width = features[int(name[4]) - 1]
        kernel = rng.standard_normal((3, 3, fan_in, width), np.float32) * np.float32(np.sqrt(2 / 9 / fan_in))
        params[name] = {"kernel": kernel, "bias": 0.1 * rng.standard_normal(width, np.float32)}
        fan_in = width
    return params


@pytest.mark.parametrize("preprocessing", sorted(PREPROCESSING))
def test_vgg_equals_pytorchs(vgg_params, preprocessing):
    pytest.importorskip("torch")
    from benchmarks import torch_reference as reference

    layers = ("vgg12", "vgg22", "vgg34", "vgg44", "vgg54")
    image = np.random.default_rng(1).uniform(-1, 1, (1, 32, 36, 3)).astype(np.float32)
    ours = quick_jit(VGG19(layers=layers, preprocessing=preprocessing).apply)({"params": vgg_params}, image)
    theirs = reference.vgg19_features(vgg_params, reference.nchw(image), preprocessing=preprocessing)
    scale = {"caffe": 1 / 12.75, "torchvision": 1.0}[preprocessing]
    assert set(ours) == set(layers)
    for layer in layers:
        assert_close(ours[layer], scale * reference.nhwc(theirs[AFTER_ACTIVATION[layer]]))


def test_vgg_needs_no_more_weights_than_its_layers():
    assert conv_names(["vgg22"]) == ["conv1_1", "conv1_2", "conv2_1", "conv2_2"]
    assert len(conv_names(["vgg54", "vgg22"])) == len(AFTER_ACTIVATION) == 16
