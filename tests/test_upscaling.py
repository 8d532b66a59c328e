"""Upscaling: tiles give what the whole picture gives, whatever its size."""

import functools
import itertools
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from tiny import initialise, quick_jit

from srgan_jax import upscaling
from srgan_jax.errors import InputError
from srgan_jax.generators import Generator
from srgan_jax.models import MSRResNet, SRResNet, fold_batch_norm
from srgan_jax.parallel import sharding
from srgan_jax.upscaling import Upscaler, program, upscaler
from srgan_jax.upscaling.options import check_tile

ROOT = pathlib.Path(__file__).parents[1]
SCALE = 2
MODULE = SRResNet(scale=SCALE, features=4, num_blocks=1)


@functools.cache
def variables(module):
    rng = np.random.default_rng(0)
    made = initialise(module, np.zeros((1, 4, 4, module.channels), np.float32))
    # No statistic at its default, and contrasts that fill the range of levels.
    return jax.tree.map(lambda x: np.asarray(x) * rng.uniform(0.8, 1.6, x.shape).astype(np.float32), made)


def trained(module=MODULE):
    return Generator(module, variables(module), "", {})


def picture(height, width, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(height * width)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


@functools.cache
def apply(module):
    return quick_jit(lambda v, lr: module.apply(v, lr))


def whole(module, lr):
    """The network on the whole picture, by Flax alone: float [scale · H, scale · W, channels] in [-1, 1]."""
    highest = np.float32(np.iinfo(lr.dtype).max)
    return np.asarray(apply(module)(variables(module), lr[None] / highest)[0])


def assert_levels(sr, expected):
    """SR levels are those of a float picture, but for float32 rounding where it lies between two levels."""
    highest = np.iinfo(sr.dtype).max
    levels = np.clip((expected.astype(np.float64) + 1) * (highest / 2), 0, highest)
    assert sr.shape == levels.shape
    assert np.abs(sr - levels).max() < 0.5 + 1e-5 * highest


# Smaller than a tile, as large, one larger; primes; thin; a single pixel. The receptive radius is 10.
SIDES = (1, 7, 8, 9, 26, 41)
SIZES = [*itertools.combinations_with_replacement(SIDES, 2), (41, 1), (26, 7), (9, 8), (1, 97), (97, 1), (53, 29)]
SIZES += [(16, 16), (17, 16), (31, 37)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tiled_equals_whole(size):
    assert MODULE.receptive_radius == 10 and len(SIZES) == 30
    lr = picture(*size)
    expected = whole(MODULE, lr)
    assert min(size) == 1 or expected.std() > 0.2
    for tile in (8, 16, 17, upscaling.TILE, 0)[: 5 if size in SIZES[-3:] else 4]:
        sr = Upscaler(trained(), tile=tile)(lr)
        assert sr.dtype == np.uint8
        assert_levels(sr, expected)


@pytest.mark.parametrize("skip", ["nearest", "bicubic"])
def test_tiled_equals_whole_with_an_enlarged_input_added(skip):
    module = MODULE.clone(global_skip=skip, scale=4)
    for size in ((1, 1), (5, 23), (19, 17)):
        lr = picture(*size)
        sr = Upscaler(trained(module), tile=8)(lr)
        assert_levels(sr, whole(module, lr))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiled_equals_whole_for_another_network(scale):
    module = MSRResNet(scale=scale, features=4, num_blocks=1)
    for size in ((1, 3), (29, 17)):
        lr = picture(*size)
        assert_levels(Upscaler(trained(module), tile=8)(lr), whole(module, lr))


def test_a_margin_too_small_would_be_seen(monkeypatch):
    monkeypatch.setattr(SRResNet, "receptive_radius", 7)
    lr = picture(61, 31)
    with pytest.raises(AssertionError):
        assert_levels(Upscaler(trained(), tile=8)(lr), whole(MODULE, lr))


def test_sixteen_bits():
    lr = picture(19, 23, dtype=np.uint16)
    sr = Upscaler(trained(), tile=8)(lr)
    assert sr.dtype == np.uint16
    assert_levels(sr, whole(MODULE, lr))


def fresh_programs():
    """What counts the programs compiled from now on."""
    program._compile.cache_clear()
    enlarge = program.compile_enlarge(sharding.create_mesh(jax.devices()[:1]))
    enlarge.clear_cache()
    return enlarge


def test_pictures_of_all_sizes_share_a_program():
    enlarge = fresh_programs()
    upscale = Upscaler(trained(), tile=16)
    for size in [*SIZES, (149, 66)]:
        upscale(picture(*size))
    assert enlarge._cache_size() == 1
    # Those of new variables of the same network too: training evaluates again and again.
    other = Generator(MODULE, jax.tree.map(lambda x: x * 0.9, variables(MODULE)), "", {})
    Upscaler(other, tile=16)(picture(80, 80))
    assert enlarge._cache_size() == 1


def test_only_the_blocks_of_the_picture_are_computed():
    """What is not written keeps what was in the memory before."""
    module, params = fold_batch_norm(MODULE, variables(MODULE))
    windows = picture(32, 32)[None]
    features = np.full(program.features_shape(module, windows.shape), np.nan, np.float32)
    lengths = np.array([[9, 16]], np.int32)
    enlarge = program.compile_enlarge(sharding.create_mesh(jax.devices()[:1]))
    params = program.stack_blocks(module, params["params"])
    sr, features = enlarge(params, features, windows, lengths, module=module, block=8, dtype=np.dtype(np.float32))
    computed = np.isfinite(features).all(-1)[0, 0]
    around = max(module.radii)
    assert computed[around : around + 16, around : around + 16].all() and computed.sum() == 16 * 16
    assert np.isfinite(sr).all() and not sr[0, 2 * 16 :].any() and sr[0, : 2 * 9, : 2 * 16].all()


def stream(devices):
    """Enlarge pictures of several sizes in one stream, and compare."""
    sizes = ((9, 7), (30, 20), (9, 7), (1, 50))
    results = Upscaler(trained(), tile=8, devices=devices).stream((size, picture(*size)) for size in sizes)
    for size, (item, sr) in zip(sizes, results, strict=True):
        assert item == size
        assert_levels(sr, whole(MODULE, picture(*size)))


def test_a_stream_of_pictures_of_several_sizes():
    stream(jax.local_devices())


@pytest.mark.slow
def test_devices_share_the_tiles():
    code = "import jax, test_upscaling as t; assert jax.local_device_count() == 3; t.stream(jax.local_devices())"
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = os.pathsep.join(str(ROOT / folder) for folder in (".", "tests"))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)


@pytest.mark.parametrize("late", [False, True], ids=["when it starts", "when it is fetched"])
def test_memory_that_runs_out_halves_the_tile(monkeypatch, late):
    """A canvas of more than 48 pixels does not fit, from the third tile on."""
    original, sides = program.compile_enlarge(sharding.create_mesh(jax.devices()[:1])), []

    class Exhausted(jax.Array):
        def __array__(self, *_, **__):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")

    def limited(params, features, windows, *arguments, **keywords):
        sides.append(windows.shape[1])
        if len(sides) > 2 and windows.shape[1] > 48:
            return (Exhausted(), features) if late else np.asarray(Exhausted())
        return original(params, features, windows, *arguments, **keywords)

    monkeypatch.setattr(upscaler, "compile_enlarge", lambda mesh: limited)
    lr, done = picture(250, 90), []
    upscale = Upscaler(trained(), tile=64, progress=lambda share, pixels: done.append((share, pixels)))
    sr = upscale(lr)
    assert_levels(sr, whole(MODULE, lr))
    np.testing.assert_allclose(np.sum(done, axis=0), [1, 500 * 180])
    assert upscale.tile == 23 and sides[:2] == [128, 128] and sides[-1] == 46


def test_memory_that_does_not_hold_the_smallest_tile(monkeypatch):
    def exhausted(*_, **__):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory.")

    monkeypatch.setattr(upscaler, "compile_enlarge", lambda mesh: exhausted)
    with pytest.raises(InputError, match="does not hold even a tile of 16 x 16"):
        Upscaler(trained())(picture(70, 40))


def test_other_errors_of_the_device_are_not_hidden(monkeypatch):
    def broken(*_, **__):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(upscaler, "compile_enlarge", lambda mesh: broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        Upscaler(trained())(picture(7, 4))


@pytest.mark.parametrize("size", [(9, 9), (20, 13)], ids=str)
def test_ensemble_is_the_average_of_the_eight_turns(size):
    lr, results = picture(*size), []
    for turns, flip in itertools.product(range(4), (False, True)):
        turned = np.rot90(lr[:, ::-1] if flip else lr, turns)
        sr = np.rot90(whole(MODULE, np.ascontiguousarray(turned)), -turns)
        results.append(sr[:, ::-1] if flip else sr)
    for tile in (8, 0):
        sr = Upscaler(trained(), tile=tile, ensemble=True)(lr)
        assert_levels(sr, np.mean(results, axis=0, dtype=np.float64))


def test_grey_is_repeated_for_a_network_of_three_channels():
    grey, upscale = picture(9, 7, 1), Upscaler(trained(), tile=8)
    sr = upscale(grey)
    np.testing.assert_array_equal(sr, upscale(grey.repeat(3, -1)))
    assert sr.shape == (18, 14, 3)


def test_a_network_of_one_channel_takes_each_by_itself():
    module = MODULE.clone(channels=1)
    upscale, colour = Upscaler(trained(module), tile=8), picture(9, 7)
    sr = upscale(colour)
    assert sr.shape == (18, 14, 3)
    for channel in range(3):
        np.testing.assert_array_equal(sr[..., channel], upscale(colour[..., channel, None])[..., 0])


def test_a_picture_that_is_not_taken_does_not_stop_the_others():
    pictures = [("first", picture(9, 7)), ("second", picture(9, 7, 2)), ("third", picture(7, 9))]
    upscale, failed = Upscaler(trained(), tile=8), []
    results = dict(upscale.stream(pictures, failed=lambda item, error: failed.append((item, str(error)))))
    assert list(results) == ["first", "third"] and results["third"].shape == (14, 18, 3)
    assert failed == [("second", "the network enlarges pictures of 3 channels, this one has 2.")]
    with pytest.raises(InputError, match="pictures of 3 channels, this one has 2"):
        upscale(picture(9, 7, 2))


@pytest.mark.parametrize("tile", [-1, 2.5, "64", None])
def test_a_tile_out_of_range(tile):
    with pytest.raises(InputError, match=f"^tile: {tile!r} is no number of pixels"):
        check_tile(tile)
    if isinstance(tile, int):
        with pytest.raises(InputError, match=r"^tile: "):
            Upscaler(trained(), tile=tile)
