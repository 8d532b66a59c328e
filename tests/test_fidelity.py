"""What SR is measured by without a network: LR-PSNR, RMSE, the grid and contrast."""

import math
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from srgan_jax import generators
from srgan_jax.errors import InputError
from srgan_jax.images.resize import imresize
from srgan_jax.metrics import colour, fidelity
from srgan_jax.metrics.fidelity import contrast, grid, lr_psnr, make_rmse

SR = np.random.default_rng(0).integers(0, 256, (56, 64, 3), np.uint8)
FORMS = [lambda p: p, lambda p: p[..., :1], lambda p: p[..., 0]]  # RGB and grey
every_form = pytest.mark.parametrize("form", FORMS, ids=["rgb", "grey", "plane"])


@pytest.fixture(scope="module")
def set5(shared):
    """[(hr, lr)] of Set5, whose LR pictures repeat the edge pixel of HR."""
    folder = shared / "data" / "eval" / "Set5"
    return [
        tuple(read(folder / kind / path.name) for kind in ("HR", "LRx4")) for path in sorted((folder / "HR").iterdir())
    ]


def read(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@every_form
@pytest.mark.parametrize("border", ["symmetric", "clamp"])
def test_lr_psnr_of_what_lr_was_made_from(form, border):
    sr = form(SR)
    lr = imresize(sr, Fraction(1, 4), border=border)
    assert lr_psnr(sr, lr, scale=4, border=border) == math.inf
    other = lr.copy()
    other.flat[0] ^= 16
    assert lr_psnr(sr, other, scale=4, border=border) == pytest.approx(10 * math.log10(255**2 * lr.size / 16**2))


def test_lr_psnr_of_grey_lr_and_coloured_sr():
    grey = SR[..., :1]
    assert lr_psnr(np.repeat(grey, 3, axis=2), imresize(grey, Fraction(1, 2)), scale=2) == math.inf


def rmse(sr, hr):
    return make_rmse()([(sr, hr)])[0]


def test_rmse_of_pictures_of_several_sizes():
    """Each canvas holds pictures of several sizes, whose scores are those of MATLAB's luma in NumPy."""
    rng = np.random.default_rng(0)
    sizes = [(40, 50), (64, 64), (9, 9), (10, 64), (70, 30), (11, 130)]
    pairs = [tuple(rng.integers(0, 256, (2, *size, 3), np.uint8)) for size in sizes]
    expected = []
    for pair in pairs:
        x, y = (colour.rgb2ycbcr_y(picture)[4:-4, 4:-4].astype(np.float64) for picture in pair)
        expected.append(np.sqrt(np.square(x - y).mean()))
    assert make_rmse()(pairs) == pytest.approx(expected, rel=1e-6)


def test_luma_of_every_grey_and_of_random_colours():
    """Exact halves go up; NumPy's sum in float64 lands on either side of them."""
    colours = np.random.default_rng(0).integers(0, 256, (1, 1000, 1000, 3), np.uint8)
    colours[0, 0, :256] = np.arange(256)[:, None]
    halves = colours[0] @ np.array([65481, 128553, 24966]) % 255000 == 127500
    assert halves.mean() < 1e-4
    np.testing.assert_array_equal(fidelity._luma(colours)[0][~halves], colour.rgb2ycbcr_y(colours[0])[~halves])


@every_form
def test_rmse_is_that_of_luma_within_the_border(form):
    sr, hr = form(SR), form(SR).copy()
    hr[:4], hr[:, -4:] = 0, 255
    assert rmse(sr, hr) == 0
    hr = np.full_like(sr, 100)
    hr[10, 10] = 200  # 100 levels are 85.9 of luma: 102 -> 188
    assert rmse(np.full_like(sr, 100), hr) == pytest.approx(86 / math.sqrt((56 - 8) * (64 - 8)))


@every_form
def test_contrast_is_the_ratio_of_deviations(form):
    hr = form(SR)
    pale = (hr // 4 * 2).astype(np.uint8)
    assert contrast(hr, hr) == 1
    assert contrast(255 - hr, hr) == pytest.approx(1)
    assert contrast(pale, hr // 4 * 4) == pytest.approx(0.5)


def test_contrast_leaves_constant_channels_out():
    hr, sr = SR.copy(), SR // 2 * 2
    hr[..., 1] = 9
    kept = hr[..., ::2].std((0, 1))
    assert contrast(sr, hr) == pytest.approx((sr[..., ::2].std((0, 1)) / kept).mean())
    assert math.isnan(contrast(sr, np.full_like(sr, 9)))


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@every_form
def test_the_grid_of_a_pattern_is_its_deviation(form, scale):
    rng = np.random.default_rng(scale)
    pattern = rng.integers(-9, 10, (scale, scale, 3))
    picture = form(np.tile(pattern, (8, 9, 1)) + 100).astype(np.uint8)
    period = form(pattern).reshape(scale, scale, -1)
    expected = math.sqrt(period.var(axis=(0, 1)).mean())
    assert grid(picture, scale=scale) == pytest.approx(expected)
    for shifted in (picture[1:], picture[:, 1:]):  # wherever the periods begin
        assert grid(shifted, scale=scale) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_slopes_and_constants_have_no_grid(scale):
    row, column = np.mgrid[: 8 * scale, : 8 * scale]
    assert grid(np.full((8 * scale, 8 * scale), 7, np.uint8), scale=scale) == 0
    assert grid((2 * row + 3 * column).astype(np.uint8), scale=scale) == pytest.approx(0, abs=1e-9)


def test_the_grid_is_looked_for_where_the_picture_is_flat():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (160, 160), np.uint8)
    picture[:80, :80] = 128
    assert grid(picture, scale=4) == 0
    picture[:80, :80] += np.eye(2, dtype=np.uint8).repeat(40, 0).repeat(40, 1)  # two flat levels
    assert grid(picture, scale=4) < 0.5


def test_noise_averages_out():
    noise = np.clip(np.random.default_rng(0).normal(128, 10, (400, 400)), 0, 255).astype(np.uint8)
    # The mean of 25 periods leaves a fifth of the deviation.
    assert grid(noise, scale=4) == pytest.approx(2, rel=0.1)


def test_set5(set5):
    pairs = [(imresize(lr, 4), hr, lr) for hr, lr in set5]
    assert np.mean([contrast(sr, hr) for sr, hr, _ in pairs]) == pytest.approx(0.953, abs=5e-4)
    assert np.mean([lr_psnr(sr, lr, scale=4, border="clamp") for sr, _, lr in pairs]) == pytest.approx(37.3, abs=0.05)
    assert all(lr_psnr(hr, lr, scale=4, border="clamp") == math.inf for hr, lr in set5)
    assert np.mean([grid(hr, scale=4) for hr, _ in set5]) == pytest.approx(0.336, abs=5e-4)


@pytest.mark.slow
def test_the_shipped_srgan_on_set5(set5):
    srs = generators.load("srgan-x4").upscale([lr for _, lr in set5], consistent=False)
    triples = [(np.asarray(sr), hr, lr) for sr, (hr, lr) in zip(srs, set5, strict=True)]
    assert np.mean([contrast(sr, hr) for sr, hr, _ in triples]) == pytest.approx(0.993, abs=2e-3)
    assert np.mean([lr_psnr(sr, lr, scale=4, border="clamp") for sr, _, lr in triples]) == pytest.approx(43.4, abs=0.1)
    assert np.mean([grid(sr, scale=4) for sr, _, _ in triples]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (
            lambda: lr_psnr(SR, SR, scale=4),
            r"LR-PSNR needs SR that is 4 times as large as LR, got SR of 64x56 and LR of",
        ),
        (
            lambda: lr_psnr(SR / 255, SR, scale=1),
            r"LR-PSNR takes grey or RGB pictures of 8 bits.*float64 \[56, 64, 3\]",
        ),
        (lambda: rmse(SR, SR[:-1]), "RMSE compares pictures of one size, got SR of 64x56 and HR of 64x55 pixels"),
        (lambda: rmse(SR[:8], SR[:8]), "RMSE needs pictures of at least 9x9 pixels, got 64x8"),
        (lambda: contrast(SR, SR[:, 1:]), "contrast compares pictures of one size"),
        (lambda: grid(SR[:27], scale=4), "grid needs pictures of at least 28x28 pixels, got 64x27"),
    ],
)
def test_other_pictures_are_refused(measure, message):
    with pytest.raises(InputError, match=message):
        measure()
