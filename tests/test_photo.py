"""The Python call: arrays and Pillow images in, the same kind out."""

import re

import jax
import numpy as np
import pytest
from PIL import Image
from tiny import initialise, write_bicubic_network

from srgan_jax import generators
from srgan_jax.errors import InputError
from srgan_jax.models import SRResNet
from srgan_jax.upscaling import Upscaler, blend
from srgan_jax.upscaling.options import check_scale

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def bicubic(tmp_path_factory):
    return generators.load(write_bicubic_network(tmp_path_factory.mktemp("model") / "model.safetensors"))


def network(seed, **fields):
    module = SRResNet(scale=2, features=4, num_blocks=1, **fields)
    rng, made = np.random.default_rng(seed), initialise(module, np.zeros((1, 4, 4, 3), np.float32), seed=seed)
    variables = jax.tree.map(lambda x: np.asarray(x) * rng.uniform(0.8, 1.6, x.shape).astype(np.float32), made)
    return generators.Generator(module, variables, f"network {seed}", {})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4)], ids=str)
def test_arrays(bicubic, shape, dtype):
    picture = RNG.integers(0, np.iinfo(dtype).max, shape, dtype)
    large = bicubic.upscale(picture)
    assert large.dtype == dtype and large.shape == (20, 28, *shape[2:])
    assert bicubic.upscale(picture, scale=2.5).shape == (13, 18, *shape[2:])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("L", "L"),
        ("LA", "LA"),
        ("RGB", "RGB"),
        ("RGBA", "RGBA"),
        ("P", "RGB"),
        ("1", "L"),
        ("CMYK", "RGB"),
        ("I;16", "I;16"),
    ],
)
def test_pillow_images(bicubic, mode, expected):
    image = Image.fromarray(RNG.integers(0, 60000, (5, 7), np.uint16)) if mode == "I;16" else Image.new(mode, (7, 5))
    large = bicubic.upscale(image)
    assert isinstance(large, Image.Image) and (large.mode, large.size) == (expected, (28, 20))


def test_a_list_of_both(bicubic):
    pictures = [
        RNG.integers(0, 256, (5, 7, 3), np.uint8),
        Image.new("L", (3, 2)),
        RNG.integers(0, 256, (1, 1), np.uint8),
    ]
    first, second, third = bicubic.upscale(pictures)
    np.testing.assert_array_equal(first, bicubic.upscale(pictures[0]))
    assert second.size == (12, 8) and third.shape == (4, 4)
    assert bicubic.upscale([]) == []


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "uint8 or uint16 array .* got float32"),
        (np.zeros((4, 4, 5), np.uint8), "1 to 4 channels"),
        (np.zeros((0, 4, 3), np.uint8), "a picture has pixels"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"of shape \(1, 4, 4, 3\)"),
        (Image.new("F", (3, 3)), "floating-point"),
        ("photo.png", "got the path 'photo.png'; open it first"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_picture(bicubic, picture, message):
    with pytest.raises(InputError, match=message):
        bicubic.upscale(picture)


@pytest.mark.parametrize("scale", [0, -1, 1e9, float("nan"), "2", 2 + 0j], ids=repr)
def test_a_scale_out_of_range(bicubic, scale):
    with pytest.raises(InputError, match=f"^scale: {re.escape(repr(scale))} is no number above 0 and at most 64"):
        check_scale(scale)
    if isinstance(scale, int | float):
        with pytest.raises(InputError, match=r"^scale: "):
            bicubic.upscale(np.zeros((2, 3), np.uint8), scale=scale)


def test_opaque_stays_opaque(bicubic):
    rgba = RNG.integers(0, 256, (9, 9, 4), np.uint8)
    rgba[..., 3] = 255
    assert (network(0).upscale(rgba)[..., 3] == 255).all()


def test_a_photo_is_upscaled_as_its_array():
    generator, rgb = network(0), RNG.integers(0, 256, (9, 7, 3), np.uint8)
    sr = Upscaler(generator)(rgb)
    np.testing.assert_array_equal(generator.upscale(rgb), sr)
    np.testing.assert_array_equal(np.asarray(generator.upscale(Image.fromarray(rgb))), sr)
    ensemble = generator.upscale(rgb, ensemble=True)
    assert not np.array_equal(ensemble, sr)
    # The average of all turns does not know which way the picture was turned.
    turned = generator.upscale(np.rot90(rgb), ensemble=True).astype(int)
    assert np.abs(np.rot90(turned, -1) - ensemble).max() <= 1


def test_blend():
    first, second = network(1), network(2)
    for share, expected in ((0, first), (1, second)):
        jax.tree.map(np.testing.assert_array_equal, blend(first, second, share).variables, expected.variables)
    between = blend(first, second, 0.25)
    kernel, a, b = (g.variables["params"]["stem"]["kernel"] for g in (between, first, second))
    np.testing.assert_allclose(kernel, 0.75 * a + 0.25 * b, atol=1e-7)
    assert between.upscale(np.zeros((4, 4, 3), np.uint8)).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("second", "share", "message"),
    [
        (network(2), 1.5, "^share: 1.5 is no number from 0 to 1"),
        (network(2, global_skip="nearest"), 0.5, "two architectures"),
    ],
    ids=["share", "architecture"],
)
def test_what_cannot_be_blended(second, share, message):
    with pytest.raises(InputError, match=message):
        blend(network(1), second, share)
