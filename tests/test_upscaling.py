"""Upscaling: tiles give what the whole picture gives, whatever its size."""

import jax
import numpy as np
import pytest
from tiny import initialise

from srgan_jax.images import signed_to_uint8
from srgan_jax.models import SRResNet
from srgan_jax.upscaling import make_upscaler

SCALE = 2
MODULE = SRResNet(scale=SCALE, features=4, num_blocks=1)


@pytest.fixture(scope="module")
def variables():
    rng = np.random.default_rng(0)
    made = initialise(MODULE, np.zeros((1, 4, 4, 3), np.float32))
    # No statistic at its default, and contrasts that fill the range of levels.
    return jax.tree.map(lambda x: np.asarray(x) * rng.uniform(0.8, 1.6, x.shape).astype(np.float32), made)


def picture(height, width, channels=3):
    return np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)


def whole(variables, lr):
    return np.asarray(
        jax.jit(lambda v, x: signed_to_uint8(MODULE.apply(v, x)[0]))(variables, lr[None] / np.float32(255))
    )


# Smaller than a window, as large, one larger; primes; thin; 1 pixel. The radius is 9, a window of tile 8 is 26.
SIZES = [(1, 1), (1, 40), (40, 1), (26, 26), (27, 26), (8, 53), (37, 31), (41, 64)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tiled_equals_whole(variables, size):
    assert MODULE.receptive_radius == 10
    lr = picture(*size)
    expected = whole(variables, lr)
    assert expected.shape == (SCALE * size[0], SCALE * size[1], 3) and (min(size) == 1 or expected.std() > 20)
    for tile in (8, 0):
        sr = UPSCALERS[tile](variables, lr)
        assert sr.dtype == np.uint8 and sr.shape == expected.shape
        # A window of another size may sum in another order, which can move a value over the edge between two levels.
        difference = np.abs(sr.astype(int) - expected)
        assert difference.max() <= 1 and np.mean(difference > 0) < 1e-3


def test_a_margin_too_small_would_show(variables, monkeypatch):
    monkeypatch.setattr(SRResNet, "receptive_radius", 3)
    lr = picture(37, 31)
    difference = np.abs(make_upscaler(MODULE, tile=8)(variables, lr).astype(int) - whole(variables, lr))
    assert difference.max() > 1


def test_grey_is_repeated_for_a_network_of_three_channels(variables):
    grey = picture(9, 7, 1)
    sr = UPSCALERS[8](variables, grey)
    np.testing.assert_array_equal(sr, UPSCALERS[8](variables, grey.repeat(3, -1)))
    assert sr.shape == (18, 14, 3)


def test_a_network_of_one_channel_takes_each_by_itself():
    module = MODULE.clone(channels=1)
    variables = initialise(module, np.zeros((1, 4, 4, 1), np.float32))
    upscale, colour = make_upscaler(module, tile=8), picture(9, 7)
    sr = upscale(variables, colour)
    assert sr.shape == (18, 14, 3)
    for channel in range(3):
        np.testing.assert_array_equal(sr[..., channel], upscale(variables, colour[..., channel, None])[..., 0])


UPSCALERS = {tile: make_upscaler(MODULE, tile=tile) for tile in (8, 0)}
