"""Degradations: they are drawn by (seed, step, row), do nothing unless they are asked to, and are what they say."""

import functools
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, special
from skimage import data
from tiny import make_tiny_batch, make_tiny_config, quick_jit, read_state

from srgan_jax.configs import base, real_photos
from srgan_jax.data import blur, degradations
from srgan_jax.data.degradations import KERNELS, changes_lr, create_degradation, kernel_matrix
from srgan_jax.data.dice import Dice
from srgan_jax.data.jpeg import jpeg, quantisation_tables
from srgan_jax.errors import InputError
from srgan_jax.images.resize import MARGIN_LR, downscale_crops
from srgan_jax.training import loop, stages

PHOTO = data.astronaut()[60:172, 150:262]


def degradation(scale=4, channels=3, **options):
    return create_degradation(options, scale=scale, channels=channels)


def crops(rows=4, scale=4, side=32, channels=3):
    """Crops of a photo with their margin."""
    size = side + 2 * MARGIN_LR * scale
    starts = np.random.default_rng(0).integers(0, len(PHOTO) - size + 1, (rows, 2))
    return np.stack([PHOTO[y : y + size, x : x + size, :channels] for y, x in starts])


def run(made, batch, seed=0):
    return np.asarray(quick_jit(made)(batch, jax.random.key(seed)))


def clean_lr(batch, scale):
    return np.asarray(downscale_crops(jnp.asarray(batch), scale))


# JPEG.


def pillow_jpeg(levels, quality, subsampling):
    file = io.BytesIO()
    image = Image.fromarray(levels if levels.shape[2] == 3 else levels[..., 0])
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.array(Image.open(file)).reshape(levels.shape).astype(int)


@pytest.mark.parametrize("subsampled", [False, True], ids=["4:4:4", "4:2:0"])
@pytest.mark.parametrize(("side", "channels"), [(112, 3), (45, 3), (50, 1)])
def test_jpeg_is_that_of_pillow(side, channels, subsampled):
    """Pillow's library transforms with whole numbers, so that now and then a coefficient is rounded the other way.

    Then its block differs by a wave of one step. Of whole pictures, the mean difference is less than 0.2 levels, and
    more than 85 % of the values are equal.
    """
    levels = PHOTO[:side, :side, :channels]
    compress = quick_jit(functools.partial(jpeg, subsampled=subsampled))
    for quality in (5, 30, 50, 75, 95, 100):
        expected = pillow_jpeg(levels, quality, 2 if subsampled else 0)
        difference = np.abs(np.asarray(compress(levels.astype(np.float32), quality)) - expected)
        assert difference.mean() < 0.2, quality
        assert np.mean(difference == 0) > 0.85 and np.mean(difference > 2) < 0.01, quality


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 51, 75, 99, 100])
def test_quantisation_tables_are_those_in_files(quality):
    file = io.BytesIO()
    Image.fromarray(PHOTO[:16, :16]).save(file, "JPEG", quality=quality)
    written = Image.open(file).quantization
    tables = np.asarray(quantisation_tables(quality))
    np.testing.assert_array_equal(tables.reshape(2, 64), [written[0], written[1]])


@pytest.mark.parametrize("size", [17, 24])
def test_jpeg_of_a_part(size):
    """What is beyond the part does not matter, and the part is compressed as if it were the picture."""
    levels, compress = PHOTO[:40, :40].astype(np.float32), quick_jit(jpeg)
    junk = levels.copy()
    junk[size:], junk[:, size:] = 255, 0
    results = [np.asarray(compress(x, 40.0, size=np.int32(size))) for x in (levels, junk)]
    np.testing.assert_array_equal(*results)
    whole = np.asarray(compress(levels[:size, :size], 40.0))
    np.testing.assert_array_equal(results[0][:size, :size], whole)


# Blur.


@pytest.mark.parametrize("sigma", [0.6, 1.7])
def test_gaussian_kernels(sigma):
    impulse = np.zeros((21, 21))
    impulse[10, 10] = 1
    kernel = blur.bells(10, (sigma, sigma), 0.3, blur.gaussian)
    expected = ndimage.gaussian_filter(impulse, sigma, truncate=20)
    np.testing.assert_allclose(kernel / kernel.sum(), expected, atol=2e-7)
    # An ellipse, turned by a quarter, is the other one.
    across, along = (blur.bells(10, sigmas, 0.0, blur.gaussian) for sigmas in ((3.0, sigma), (sigma, 3.0)))
    turned = blur.bells(10, (3.0, sigma), np.pi / 2, blur.gaussian)
    np.testing.assert_allclose(turned, along, atol=1e-6)
    np.testing.assert_allclose(across, np.transpose(along), atol=1e-6)


@pytest.mark.parametrize("cutoff", [np.pi / 5, np.pi / 2, np.pi])
def test_sinc_kernels(cutoff):
    distance = np.hypot(*np.mgrid[-10:11, -10:11])
    with np.errstate(invalid="ignore"):
        expected = np.where(
            distance == 0, cutoff**2 / (4 * np.pi), cutoff * special.j1(cutoff * distance) / (2 * np.pi * distance)
        )
    np.testing.assert_allclose(blur.sinc(10, cutoff), expected, atol=1e-6)


@pytest.mark.parametrize("shape", blur.SHAPES)
def test_drawn_kernels(shape):
    options = real_photos.get_config().data.degradation.first.to_dict() | {"shapes": {shape: 1.0}}
    draw = quick_jit(jax.vmap(lambda key: blur.draw_kernel(Dice(key), options)))
    kernels = draw(jax.random.split(jax.random.key(0), 64))
    kernels = np.asarray(kernels)
    assert kernels.shape == (64, 21, 21) and np.isfinite(kernels).all()
    np.testing.assert_allclose(kernels.sum((1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(kernels, kernels[:, ::-1, ::-1], atol=1e-6)
    assert (kernels.min() < -1e-3) == (shape == "sinc")
    round_ = np.abs(kernels - kernels.swapaxes(1, 2)).max((1, 2)) < 1e-4  # float32 to the power of up to 4 · 2
    # The smallest ellipses are a single pixel.
    assert np.mean(round_) < 0.1 if shape.endswith("anisotropic") else round_.all()
    sides = [np.nonzero(kernel.any(1))[0] for kernel in np.abs(kernels) > 1e-30]
    if shape == "sinc":  # all radii are drawn
        assert {int(side[-1] - 10) for side in sides} == set(range(3, 11))


@pytest.mark.parametrize("taps", [3, 9])
def test_convolution(taps):
    rng = np.random.default_rng(0)
    image, kernel = rng.random((23, 23, 2), np.float32), rng.random((taps, taps), np.float32)
    expected = np.stack([ndimage.convolve(image[..., c], kernel, mode="nearest") for c in range(2)], -1)
    np.testing.assert_allclose(blur.convolve(image, kernel), expected, rtol=1e-4)


# Resizing.

PILLOW = {"bicubic": "BICUBIC", "bilinear": "BILINEAR", "area": "BOX", "lanczos": "LANCZOS"}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("size", "out_size"), [(24, 7), (24, 6), (24, 24), (20, 31), (13, 24)])
def test_kernels_are_those_of_pillow(kernel, size, out_size):
    column = np.random.default_rng(0).random((size, 1)).astype(np.float32)
    matrix = jax.jit(kernel_matrix, static_argnums=(0, 1, 2))(KERNELS[kernel], 24, 32, size, out_size)
    resized = np.asarray(matrix) @ np.pad(column, ((0, 24 - size), (0, 0)), constant_values=9)
    expected = np.asarray(Image.fromarray(column).resize((1, out_size), Image.Resampling[PILLOW[kernel]]))
    np.testing.assert_allclose(resized[:out_size], expected, atol=2e-5)
    np.testing.assert_array_equal(resized[out_size:], np.broadcast_to(resized[out_size - 1], (32 - out_size, 1)))


# Noise.


def test_the_amount_of_noise():
    batch = np.full((64, 48, 48, 3), 128, np.uint8)
    for options, expected in (
        ({"gaussian": 1.0, "gaussian_sigma": (7.0, 7.0)}, 7.0),
        ({"poisson": 1.0, "poisson_scale": (0.5, 0.5)}, 0.5 * np.sqrt(128 * 255 / 256)),
    ):
        noise = run(degradation(last=options), batch) - 128
        assert noise.std() == pytest.approx(np.hypot(expected, np.sqrt(1 / 12)), rel=0.01)  # rounded to levels
        assert abs(noise.mean()) < 0.1
        grey = run(degradation(last=options | {"grey": 1.0}), batch) - 128
        np.testing.assert_array_equal(grey, np.broadcast_to(grey[..., :1], grey.shape))
        assert grey.std() == pytest.approx(np.hypot(expected, np.sqrt(1 / 12)), rel=0.04)  # a third of the numbers
        half = run(
            degradation(last=options | {name: 0.5 for name in ("gaussian", "poisson") if name in options}), batch
        )
        assert 0.3 < np.mean((half != 128).any((1, 2, 3))) < 0.7


# The whole.


def test_it_is_off_by_default():
    for scale in (2, 4):
        assert create_degradation(base.get_config().data.degradation, scale=scale) is None
    config = make_tiny_config()
    batch, key = make_tiny_batch(config), jax.random.key(0)
    step = jax.make_jaxpr(stages.create_stage(config).step)
    state = jax.eval_shape(stages.create_stage(config).init, key)
    with_fields = str(step(state, batch, {}, key))
    with config.data.unlocked():
        del config.data.degradation  # as in the configs of earlier runs
    assert str(jax.make_jaxpr(stages.create_stage(config).step)(state, batch, {}, key)) == with_fields


@pytest.mark.parametrize(
    ("scale", "options"),
    [
        (4, {"first": {"blur": 1.0, "sigma": (0.0, 0.0), "radius": (1, 1)}}),
        (4, {"last": {"gaussian": 1.0, "gaussian_sigma": (0.0, 0.0)}}),
        (2, {"last": {"poisson": 1.0, "poisson_scale": (0.0, 0.0)}}),
        (4, {"first": {"jpeg": 1e-30}, "last": {"blur": 1e-30, "jpeg": 1e-30, "jpeg_first": 0.5}}),
        (2, {"kernels": {"bicubic": 1.0, "area": 1e-30}}),
    ],
)
def test_what_changes_nothing_gives_the_clean_lr(scale, options):
    batch = crops(scale=scale)
    result, clean = run(degradation(scale, **options), batch), clean_lr(batch, scale)
    assert result.dtype == clean.dtype and result.shape == clean.shape
    if "first" in options and "blur" in options["first"]:  # the Fourier transform rounds
        assert np.mean(result != clean) < 0.01 and np.abs(result - clean).max() <= 1
    else:
        np.testing.assert_array_equal(result, clean)


def test_resizing_there_and_back_is_nearly_the_clean_lr():
    """The factor 1 in both passes reduces to LR's size at once, with Pillow's border, which the margin covers."""
    batch = crops()
    result = run(degradation(second={"reduce": 1.0, "factor": (1.0, 1.0)}), batch)
    difference = np.abs(result - clean_lr(batch, 4))[:, 1:-1, 1:-1]
    assert np.mean(difference == 0) > 0.85 and difference.max() <= 2


SECOND_ORDER = real_photos.get_config().data.degradation


@functools.cache
def second_order(scale=4, channels=3):
    return quick_jit(create_degradation(SECOND_ORDER, scale=scale, channels=channels))


ALL_BUT_POISSON = {
    "first": {"blur": 1.0, "enlarge": 0.2, "reduce": 0.7, "jpeg": 0.5},
    "second": {"blur": 0.5, "reduce": 0.5, "factor": (0.5, 1.0)},
    "last": {"gaussian": 0.7, "jpeg": 0.7},
}


@pytest.mark.parametrize(
    "options", [ALL_BUT_POISSON, pytest.param(SECOND_ORDER, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_it_depends_on_seed_step_and_row_alone(options):
    batch, made = crops(6), quick_jit(create_degradation(options, scale=4))
    key = functools.partial(jax.random.fold_in, jax.random.key(3))
    result = np.asarray(made(batch, key(7)))
    assert result.shape == (6, 8, 8, 3) and result.min() >= 0 and result.max() <= 255
    np.testing.assert_array_equal(result, np.floor(result))
    np.testing.assert_array_equal(np.asarray(made(batch, key(7))), result)
    # The other rows of the batch may change.
    others = batch.copy()
    others[[0, 1, 2, 4, 5]] = 255 - others[[0, 1, 2, 4, 5]]
    np.testing.assert_array_equal(np.asarray(made(others, key(7)))[3], result[3])
    # Equal crops in other rows, and the same batch in another step, are degraded otherwise.
    equal = np.asarray(made(np.repeat(batch[:1], 6, axis=0), key(7)))
    assert all(np.abs(equal[0] - equal[row]).mean() > 0.5 for row in range(1, 6))
    assert np.abs(np.asarray(made(batch, key(8))) - result).mean() > 0.5


@pytest.mark.slow
def test_it_still_shows_the_picture():
    batch = crops(16, side=64)
    clean = clean_lr(batch, 4)
    result = np.asarray(second_order()(batch, jax.random.key(0)))
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(clean, result, strict=True)]
    assert np.median(correlations) > 0.9 and np.mean(np.abs(result - clean)) > 3
    # Nothing is shifted: over many draws the nearest place is the same one.
    mean = np.abs(result.mean(0) - clean.mean(0)).mean()
    for axis in (0, 1):
        for by in (-1, 1):
            assert np.abs(np.roll(result.mean(0), by, axis) - clean.mean(0)).mean() > mean


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "channels"), [(2, 1), (3, 3)])
def test_other_scales_and_channels(scale, channels):
    batch = crops(2, scale, side=8 * scale, channels=channels)
    result = np.asarray(second_order(scale, channels)(batch, jax.random.key(0)))
    assert result.shape == (2, 8, 8, channels) and result.std() > 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": {"blurr": 1.0}}, "first: there is no field 'blurr'; did you mean 'blur'"),
        ({"first": {"blur": 1.5}}, "first.blur: a probability is from 0 to 1, got 1.5"),
        ({"second": {"enlarge": 0.6, "reduce": 0.6}}, "second: enlarge and reduce exclude each other"),
        ({"last": {"reduce": 0.6}}, "last: this pass does not resize"),
        ({"first": {"jpeg": 1.0, "quality": (95, 30)}}, "first.quality: expected two numbers in order, from 1 to 100"),
        ({"first": {"shapes": {"round": 1.0}}}, "first.shapes: there is no 'round'"),
        ({"first": {"shapes": {"isotropic": 0.0}}}, "first.shapes: at least one weight"),
        ({"kernels": {"bicubic": -1.0}}, "kernels.bicubic: a weight is at least 0, got -1.0"),
    ],
)
def test_fields_out_of_range(options, message):
    with pytest.raises(InputError, match=f"^config.data.degradation.{message}"):
        degradation(**options)


def test_jpeg_needs_colours():
    with pytest.raises(InputError, match=r"last.jpeg: JPEG has 1 or 3 channels, and the pictures have 4"):
        degradation(channels=4, last={"jpeg": 0.5})
    assert run(degradation(channels=2, last={"gaussian": 0.5}), crops(channels=2)).shape == (4, 8, 8, 2)


# Training.

NOISY = {"data__degradation__last__gaussian": 1.0, "data__degradation__last__jpeg": 0.5}


def test_a_stage_refuses_what_is_out_of_range():
    with pytest.raises(InputError, match=r"config.data.degradation.last.jpeg: a probability"):
        stages.create_stage(make_tiny_config(data__degradation__last__jpeg=2.0))


@pytest.mark.slow
def test_parts_of_a_batch_see_what_the_whole_batch_sees():
    """Two parts of a batch give the mean of what they give alone; BatchNorm is held, to which a part is a batch."""
    results = []
    for accumulate in (1, 2):
        config = make_tiny_config(accumulate=accumulate, hold_batch_norm=True, batch_size=4, **NOISY)
        stage = stages.create_stage(config)
        state = quick_jit(stage.init)(jax.random.key(0))
        batch = make_tiny_batch(config, rows=4)
        results.append(float(quick_jit(stage.step)(state, batch, {}, jax.random.key(1))[1]["g/mse"]))
    assert results[0] == pytest.approx(results[1], rel=1e-5)


@pytest.mark.slow
def test_a_resumed_run_sees_what_the_run_would_have_seen(tmp_path):
    changes = {"data__crop_size": 16, "save_every": 2, **NOISY}
    for name, ends in (("whole", (4,)), ("resumed", (2, 4))):
        for end in ends:
            loop.train(make_tiny_config(num_steps=end, **changes), tmp_path / name)
    states = [read_state(tmp_path / name, make_tiny_config(num_steps=4, **changes)) for name in ("whole", "resumed")]
    assert states[0][0] == states[1][0] == 4
    jax.tree.map(np.testing.assert_array_equal, states[0][1]["g"].params, states[1][1]["g"].params)
    loop.train(make_tiny_config(num_steps=4, data__crop_size=16, save_every=2), tmp_path / "clean")
    clean = read_state(tmp_path / "clean", make_tiny_config(num_steps=4))[1]
    differ = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), states[0][1]["g"].params, clean["g"].params)
    assert any(jax.tree.leaves(differ))


def test_a_gan_of_degraded_pictures_is_not_made_consistent():
    for variant, changed in (("srresnet", True), ("srgan", True), ("blur_noise_jpeg", True)):
        assert changes_lr(json.loads(real_photos.get_config(variant).to_json())) is changed
    assert not changes_lr(json.loads(base.get_config().to_json())) and not changes_lr({"stage": "adversarial"})


def test_a_pass_can_compress_first():
    """JPEG before blur is not JPEG after it."""
    options = {"blur": 1.0, "sigma": (1.5, 1.5), "jpeg": 1.0, "quality": (10.0, 10.0)}
    first, after = (run(degradation(last=options | {"jpeg_first": share}), crops()) for share in (1.0, 0.0))
    assert np.abs(first - after).mean() > 0.5
    made = degradations.Pass(**options, jpeg_first=1.0)
    assert made.does_something and not made.resizes
