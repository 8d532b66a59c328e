"""SR whose reduction is LR."""

import dataclasses

import jax
import numpy as np
import pytest
from tiny import initialise

from srgan_jax import generators
from srgan_jax.errors import InputError
from srgan_jax.images.resize import imresize
from srgan_jax.models import SRResNet
from srgan_jax.upscaling import consistency, make_consistent
from srgan_jax.upscaling.consistency import resize_levels


def pair(height, width, channels=3, *, scale=4, dtype=np.uint8, border="symmetric"):
    """(SR that is pale and noisy, LR), neither near the ends of the range of levels."""
    rng, unit = np.random.default_rng(height * width), np.iinfo(dtype).max // 255
    coarse = rng.uniform(40, 215, (height // 3 + 1, width // 3 + 1, channels))
    hr = imresize(coarse, size=(scale * height, scale * width)) + rng.uniform(-15, 15, (scale * height, 1, channels))
    lr = resize_levels((unit * np.clip(hr, 20, 235)).astype(dtype), (height, width), border=border)
    sr = unit * (0.8 * imresize(lr / unit, scale) + rng.normal(10, 5, (scale * height, scale * width, channels)))
    return np.clip(sr, 0, np.iinfo(dtype).max).astype(dtype), lr


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("scale", "border"), [(2, "symmetric"), (3, "clamp"), (4, "clamp"), (4, "symmetric"), (8, "clamp")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_reduction_is_lr(dtype, scale, border, channels):
    sr, lr = pair(21, 34, channels, scale=scale, dtype=dtype, border=border)
    assert np.mean(resize_levels(sr, lr.shape[:2], border=border) != lr) > 0.9
    result = make_consistent(sr, lr, scale, border=border)
    assert result.dtype == dtype and result.shape == sr.shape
    np.testing.assert_array_equal(resize_levels(result, lr.shape[:2], border=border), lr)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3)], ids=str)
def test_small_pictures(size):
    sr, lr = pair(*size)
    np.testing.assert_array_equal(imresize(make_consistent(sr, lr, 4), 1 / 4), lr)


def test_the_result_is_that_of_back_projection():
    sr, lr = pair(21, 34)
    expected = sr.astype(np.float64)
    for _ in range(40):
        expected += imresize(lr - imresize(expected, 1 / 4), 4)
    difference = np.abs(make_consistent(sr, lr, 4) - expected)
    assert difference.mean() < 0.3 and difference.max() < 2


@pytest.mark.parametrize("window", [7, 16, 1000])
def test_windows_give_what_the_whole_picture_gives(monkeypatch, window):
    sr, lr = pair(41, 70)
    lr[5:9, 20:24], lr[30, 60] = 255, 0  # what cannot be reached takes all of the passes
    monkeypatch.setattr(consistency, "WINDOW", 16)
    expected = make_consistent(sr, lr, 4)
    monkeypatch.setattr(consistency, "WINDOW", window)
    np.testing.assert_array_equal(make_consistent(sr, lr, 4), expected)


def test_what_cannot_be_reached_is_at_the_limit():
    sr, lr = pair(21, 34, 1)
    lr[10, 17] = 255  # a single white pixel among grey ones is no reduction of anything
    result = make_consistent(sr, lr, 4)
    assert (result[40:44, 68:72] == 255).all()
    wrong = resize_levels(result, lr.shape[:2]) != lr
    assert wrong[10, 17] and wrong.sum() == 1


def test_what_does_not_belong_together():
    sr, lr = pair(5, 7)
    for other in (sr[:-1], sr[..., :1], sr.astype(np.uint16)):
        with pytest.raises(InputError, match=r"is not 4 times LR of shape \(5, 7, 3\) and dtype uint8"):
            make_consistent(other, lr, 4)


def generator(channels=3, **info):
    module = SRResNet(scale=2, channels=channels, features=4, num_blocks=1, global_skip="bicubic")
    made = initialise(module, np.zeros((1, 4, 4, channels), np.float32))
    return generators.Generator(module, jax.tree.map(lambda x: np.asarray(x) / 2, made), "network", info)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("colours", "channels"), [(1, 3), (3, 3), (3, 1), (1, 1)])
def test_photos(dtype, colours, channels):
    _, lr = pair(20, 33, colours, dtype=dtype)
    model = generator(channels)
    sr, tiled = model.upscale(lr, consistent=True), model.upscale(lr, consistent=True, tile=8)
    for result in (sr, tiled):
        np.testing.assert_array_equal(resize_levels(result, lr.shape[:2]), lr)
    # The network's float32 sums may be rounded to the next level.
    assert np.abs(tiled.astype(int) - sr).max() <= 2
    assert not np.array_equal(resize_levels(model.upscale(lr), lr.shape[:2]), lr)


def test_the_model_says_whether_it_is_done():
    _, lr = pair(9, 13)
    plain, model = generator(), generator(consistent=True)
    np.testing.assert_array_equal(model.upscale(lr), plain.upscale(lr, consistent=True))
    np.testing.assert_array_equal(model.upscale(lr, consistent=False), plain.upscale(lr))


def test_transparency_is_left_out():
    _, lr = pair(9, 13)
    rgba = np.dstack([lr, np.full((9, 13), 128, np.uint8)])
    rgba[:, :4, 3] = 0
    sr = generator().upscale(rgba, consistent=True)
    np.testing.assert_array_equal(sr[..., 3], generator().upscale(rgba)[..., 3])
    np.testing.assert_array_equal(resize_levels(sr[..., :3], (9, 13))[:, 6:], lr[:, 6:])


def test_a_blend_is_consistent_if_either_is():
    from srgan_jax.upscaling import blend

    for first, second in ((True, False), (False, False)):
        models = [dataclasses.replace(generator(), info={"consistent": value}) for value in (first, second)]
        assert blend(*models, 0.5).info == {"consistent": first or second}
