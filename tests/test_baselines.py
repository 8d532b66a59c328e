"""SRCNN, ESPCN, VDSR, DRCN and EDSR: sizes, costs, the colour, tiles, and pictures of every kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from baselines_small import LUMA, NETWORKS, variables_of, write
from PIL import Image
from tiny import initialise, quick_jit

from srgan_jax import generators
from srgan_jax.errors import InputError
from srgan_jax.images.luma import luma
from srgan_jax.metrics.colour import rgb2ycbcr_y
from srgan_jax.models import (
    DRCN,
    EDSR,
    ESPCN,
    MDSR,
    SRCNN,
    VDSR,
    SRResNet,
    architecture_of,
    count_parameters,
    create_generator,
    multiply_adds,
)
from srgan_jax.models.layers import Enlarge


@pytest.mark.parametrize(
    ("module", "parameters", "giga"),
    [
        # For 1280×720 pixels the literature prints 52.7, 612.6, 17,974.3 and 127.8 G (Ahn et al., CARN, ECCV 2018,
        # table 1), and for EDSR-baseline 114 G.
        (SRCNN(), 57_281, 52.7),
        (SRCNN(mapping_size=1), 8_129, 7.4),
        (ESPCN(), 24_752, 1.4),
        (VDSR(), 665_921, 612.6),
        (VDSR(use_bias=False), 664_704, 612.6),
        (DRCN(), 1_775_121, 17_974.3),
        (EDSR(), 1_517_571, 114.2),
        (EDSR(scale=2), 1_369_859, 316.2),
        (MDSR(), 3_227_203, 137.8),  # EDSR's paper prints 3.2 M
        (SRResNet(), 1_548_547, 127.8),
    ],
)
def test_parameters_and_multiply_adds(module, parameters, giga):
    assert count_parameters(module) == parameters
    assert multiply_adds(module) / 1e9 == pytest.approx(giga, abs=0.05)


def test_multiply_adds_follow_the_pictures_area():
    assert multiply_adds(VDSR(), (72, 128)) * 100 == multiply_adds(VDSR())


@pytest.mark.parametrize("name", NETWORKS)
def test_receptive_radius(name):
    """What differs where one pixel does."""
    module = NETWORKS[name]
    radius, scale = module.receptive_radius, module.scale
    centre = radius + 2
    lr = np.zeros((2, 2 * centre + 1, 2 * centre + 1, 3), np.float32)
    lr[1, centre, centre, 1] = 1e4
    before, after = np.asarray(quick_jit(module.apply)(variables_of(module), lr))
    rows, columns, _ = np.nonzero(np.abs(before - after) > 1e-5)  # the rest is rounding
    for places in (rows, columns):
        reach = np.abs(places // scale - centre)
        assert radius - 1 <= reach.max() <= radius and reach.min() == 0


def test_luma_is_matlabs():
    picture = np.random.default_rng(0).integers(0, 256, (1, 9, 7, 3), np.uint8)
    ours = np.asarray(luma(picture / np.float32(255)))[0, ..., 0]
    assert np.abs(255 * ours - rgb2ycbcr_y(picture[0])).max() <= 0.5001  # MATLAB rounds
    grey = picture[..., :1] / np.float32(255)
    assert luma(grey) is grey


@pytest.mark.parametrize("name", LUMA)
def test_the_colour_is_that_of_the_bicubic_enlargement(name):
    """Cb and Cr are linear in RGB: they are those of the enlarged picture, whatever the network makes of Y."""
    module = NETWORKS[name]
    lr = np.random.default_rng(0).random((1, 9, 11, 3), np.float32)
    sr = (np.asarray(quick_jit(module.apply)(variables_of(module), lr)) + 1) / 2
    enlarged = np.asarray(Enlarge("cubic", module.scale).apply({}, lr))
    change = sr - enlarged
    assert np.abs(change).max() > 0.05
    np.testing.assert_allclose(change, change[..., :1].repeat(3, -1), atol=2e-5 * np.abs(change).max())
    # The luma is what the same network makes of the luma alone.
    alone = quick_jit(module.clone(channels=1).apply)(variables_of(module), np.asarray(luma(lr)))
    np.testing.assert_allclose(luma(sr), (np.asarray(alone) + 1) / 2, atol=2e-5 * np.abs(sr).max())


def test_initial_values():
    """SRCNN starts near zero, VDSR as He et al. have it, DRCN's recursion as the identity and its result as a mean."""
    lr = jnp.zeros((1, 8, 8, 3))
    srcnn = initialise(SRCNN(), lr)["params"]
    assert np.std(srcnn["mapping"]["kernel"]) == pytest.approx(0.001, rel=0.02)
    vdsr = initialise(VDSR(num_layers=3), lr)["params"]
    assert np.std(vdsr["hidden1"]["kernel"]) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    module = DRCN(features=6, recursions=3)
    variables = initialise(module, lr)
    assert (variables["params"]["ensemble"]["kernel"] == np.float32(1 / 3)).all()
    x = np.random.default_rng(0).random((1, 5, 5, 6), np.float32)
    same = jax.lax.conv_general_dilated(
        x, variables["params"]["recursion"]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_array_equal(same, x)


def test_estimates_are_given_in_training_alone():
    module, lr = NETWORKS["drcn"], np.random.default_rng(0).random((2, 5, 6, 3), np.float32)

    def run(train):
        return module.apply(variables_of(module), lr, train=train, mutable=["auxiliary"])

    sr, nothing = run(False)
    again, auxiliary = run(True)
    (estimates,) = auxiliary["auxiliary"]["estimates"]
    assert nothing == {} and estimates.shape == (2, 20, 24, 3)
    np.testing.assert_array_equal(sr, again)
    weights = variables_of(module)["params"]["ensemble"]["kernel"][0, 0]
    np.testing.assert_allclose(estimates @ weights, luma((np.asarray(sr) + 1) / 2), atol=1e-5 * np.abs(sr).max())


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Every small network, written to a release file and read again."""
    folder = tmp_path_factory.mktemp("baselines")
    return {name: generators.load(write(folder / f"{name}.safetensors", module)) for name, module in NETWORKS.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_release_round_trip_and_tiles(loaded, name):
    generator = loaded[name]
    assert generator.module == NETWORKS[name] and create_generator(generator.architecture) == generator.module
    jax.tree.map(np.testing.assert_array_equal, generator.variables, variables_of(NETWORKS[name]))
    picture = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    whole = generator.upscale(picture, tile=0)
    scale = generator.module.scale
    assert whole.shape == (37 * scale, 50 * scale, 3) and whole.std() > 5
    # Of arrays of another shape, some processors sum in another order: a level may fall on the other side of a tie.
    differences = np.abs(generator.upscale(picture, tile=16).astype(int) - whole)
    assert differences.max() <= 1 and np.count_nonzero(differences) <= 1e-4 * whole.size


@pytest.mark.parametrize("name", ["espcn", "drcn"])  # all share LumaGenerator
def test_pictures_of_every_kind(loaded, name):
    """Alpha is interpolated, 16 bits stay, grey stays grey: the colour is what the RGB picture without them gives."""
    generator, rng = loaded[name], np.random.default_rng(0)
    scale = generator.module.scale
    rgba = rng.integers(0, 256, (12, 10, 4), np.uint8)
    rgba[..., 3] = 255
    enlarged = generator.upscale(rgba)
    assert (enlarged[..., 3] == 255).all()
    np.testing.assert_array_equal(enlarged[..., :3], generator.upscale(rgba[..., :3]))

    deep = generator.upscale(rgba[..., :3].astype(np.uint16) * 257)
    assert deep.dtype == np.uint16
    np.testing.assert_allclose(deep / 257, enlarged[..., :3], atol=0.51)

    grey = rgba[..., :1]
    of_rgb = generator.upscale(grey.repeat(3, 2))
    np.testing.assert_allclose(generator.upscale(grey)[..., 0], of_rgb.mean(-1), atol=0.51)
    image = generator.upscale(Image.fromarray(grey[..., 0]))
    assert image.mode == "L" and image.size == (10 * scale, 12 * scale)


@pytest.mark.parametrize("name", ["espcn", "drcn"])  # all share LumaGenerator
def test_a_network_of_one_channel_enlarges_each_channel_by_itself(name, tmp_path):
    module = NETWORKS[name].clone(channels=1)
    generator = generators.load(write(tmp_path / "grey.safetensors", module))
    picture = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    enlarged = generator.upscale(picture)
    for channel in range(3):
        np.testing.assert_array_equal(enlarged[..., channel], generator.upscale(picture[..., channel]))


@pytest.mark.parametrize("name", LUMA)
def test_other_numbers_of_channels_are_refused(name):
    with pytest.raises(InputError, match="channels must be one of 1, 3, got 5"):
        create_generator(architecture_of(NETWORKS[name]) | {"channels": 5})


def test_edsr_takes_any_number_of_channels():
    module = EDSR(channels=5, features=4, num_blocks=1)
    sr = quick_jit(module.apply)(variables_of(module), np.zeros((1, 6, 6, 5), np.float32))
    assert sr.shape == (1, 24, 24, 5)
