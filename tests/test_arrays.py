"""Measurements of any depth and number of channels: read, trained on, enlarged and scored without rounding."""

import json

import imagecodecs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from tiny import initialise, make_tiny_config, quick_jit

from srgan_jax import generators, images
from srgan_jax.data.arrays import ArraySource, ValueRange, fill_holes, read_values
from srgan_jax.data.loader import CropLoader
from srgan_jax.data.sources import SourceError, create_source, hold_out
from srgan_jax.errors import InputError
from srgan_jax.evaluation.values import evaluate_values, reduce_values
from srgan_jax.images import ImageError
from srgan_jax.images.resize import downscale_crops, imresize
from srgan_jax.metrics.values import value_scores
from srgan_jax.models import SRResNet
from srgan_jax.training import loop, steps
from srgan_jax.training.stages import create_stage
from srgan_jax.upscaling import Upscaler


def smooth(height, width, channels, seed=0):
    """float64 in [0, 1]."""
    rng = np.random.default_rng(seed)
    return np.clip(imresize(rng.random((height // 4 + 1, width // 4 + 1, channels)), size=(height, width)), 0, 1)


def generator(channels=1, scale=2, **info):
    """A network that gives the bicubic enlargement exactly."""
    module = SRResNet(
        scale=scale, channels=channels, features=4, num_blocks=1, global_skip="bicubic", zero_init_output=True
    )
    return generators.Generator(module, initialise(module, np.zeros((1, 8, 8, channels), np.float32)), "bicubic", info)


@pytest.fixture
def folder(tmp_path):
    """Depth in metres: float32 arrays of two channels, one of them with a hole."""
    for number in range(4):
        values = (2.4 + 2.2 * smooth(40, 48, 2, number)).astype(np.float32)  # of a range from 2 to 5
        if number == 0:
            values[4:9, 8:12, 0] = np.nan
        np.save(tmp_path / f"{number}.npy", values)
    return tmp_path


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_files_keep_depth_and_channels(tmp_path, channels, dtype):
    values = smooth(9, 13, channels)
    values = values.astype(dtype) if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    written = ["a.npy", "b.tif"]
    planes = {"planarconfig": "contig"} if channels > 1 else {}
    tifffile.imwrite(tmp_path / "b.tif", np.squeeze(values), photometric="minisblack", **planes)
    if dtype != np.float32 and channels in (1, 3):
        (tmp_path / "c.png").write_bytes(imagecodecs.png_encode(np.squeeze(values)))
        written.append("c.png")
    for name in written:
        read = read_values(tmp_path / name)
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, values)


def test_levels_keep_sixteen_bits():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    ends = ValueRange(0, 65535)
    np.testing.assert_array_equal(np.rint(ends.to_values(ends.to_levels(values))), values)
    assert ends.to_levels(values).dtype == np.float32


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 4, 5, 6)), "expected numbers of shape"),
        (np.zeros((0, 4)), "expected numbers of shape"),
        (np.array([["a"]]), "expected numbers of shape"),
        (np.full((3, 3), np.inf), "holds infinite values"),
        (np.array([[None]]), "no array could be read"),
    ],
)
def test_files_that_hold_no_measurements(tmp_path, content, message):
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(ImageError, match=rf"a.npy: {message}"):
        read_values(tmp_path / "a.npy")


def test_pictures_that_would_be_converted_are_refused(tmp_path):
    Image.new("RGBA", (3, 3)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="expected a grey or RGB picture, got mode RGBA"):
        read_values(tmp_path / "a.png")
    (tmp_path / "b.npy").write_bytes(b"no array")
    with pytest.raises(ImageError, match="no array could be read"):
        read_values(tmp_path / "b.npy")


def test_holes_are_filled_from_the_nearest_pixel():
    values = np.array([[[1.0], [np.nan], [np.nan], [4.0]]], np.float32)
    filled, valid = fill_holes(values)
    np.testing.assert_array_equal(filled[0, :, 0], [1, 1, 4, 4])
    np.testing.assert_array_equal(valid, [[True, False, False, True]])
    with pytest.raises(SourceError, match="every pixel is without a value"):
        fill_holes(np.full((2, 2, 1), np.nan))


def test_a_source_of_arrays(folder):
    config = make_tiny_config(data__source="arrays", data__path=str(folder), data__range=(2.0, 5.0), channels=2)
    source = create_source(config.data, channels=2)
    assert len(source) == 4 and source.size(0) == (40, 48)
    values = np.load(folder / "1.npy")
    np.testing.assert_allclose(source[1][..., :2], 255 * (values.astype(np.float64) - 2) / 3, rtol=1e-6)
    assert np.isfinite(source[0]).all() and source[0].dtype == np.float32
    assert (source[1][..., 2] == 1).all() and (source[0][4:9, 8:12, 2] == 0).all() and source[0][..., 2].mean() > 0.9
    for ends, message in (((), "whose range is not known; set data.range"), ((5, 2), "expected two numbers")):
        with pytest.raises(SourceError, match=message):
            ArraySource(folder, channels=2, ends=ends)[1]
    with pytest.raises(ImageError, match="expected 3 channels, got 2"):
        ArraySource(folder, channels=3, ends=(2, 5))[1]
    with pytest.raises(SourceError, match="is no directory"):
        ArraySource(folder / "none", channels=3)


def test_crops_and_their_lr_are_not_rounded(folder):
    source, _ = hold_out(ArraySource(folder, channels=2, ends=(2, 5)), 0.0)
    loader = CropLoader(source, batch_size=2, crop_size=16, scale=4, seed=0)
    batch = loader.batch(0)
    assert batch["hr"].dtype == np.float32 and batch["hr"].shape == (2, 32, 32, 3)
    lr, hr = quick_jit(lambda batch: steps.degrade(batch, 4))(batch)
    assert np.mean(np.asarray(lr) * 255 % 1 == 0) < 0.1 and np.mean((np.asarray(hr) + 1) * 127.5 % 1 == 0) < 0.1
    # The LR of a crop with its margin is that of the whole array.
    values = source[1][..., :2]
    whole = np.pad(values, ((8, 8), (8, 8), (0, 0)), mode="symmetric")[: 32 + 8, :48]
    made = np.asarray(downscale_crops(jnp.asarray(whole)[None], 4))[0]
    np.testing.assert_allclose(made, imresize(values.astype(np.float64), 0.25)[: len(made), : made.shape[1]], atol=1e-3)


def test_holes_teach_nothing(folder):
    """Whatever stands in a hole of HR has no influence on the losses, or on the gradient by way of them."""
    config = make_tiny_config(data__source="arrays", channels=1, scale=2, data__crop_size=16)
    stage = create_stage(config)
    state, rng = quick_jit(stage.init)(jax.random.key(0)), np.random.default_rng(0)
    hr = 255 * smooth(24, 24, 2)[None].repeat(2, 0).astype(np.float32)
    hr[..., 1] = 1
    hr[:, 10:14, 9:13, 1] = 0
    turn, results = np.array([0, 5], np.int32), []
    lr = quick_jit(lambda batch: downscale_crops(batch["hr"][..., :1], 2))({"hr": hr})
    for _ in range(2):
        hr[:, 10:14, 9:13, 0] = rng.uniform(0, 255, (2, 4, 4))
        batch = {"hr": hr.copy(), "turn": turn, "lr": lr}
        new, metrics = quick_jit(stage.step)(state, batch, stage.frozen, jax.random.key(0))
        results.append((new["g"].params, metrics))
    (first, terms), (second, others) = results
    assert float(terms["g/mse"]) == pytest.approx(float(others["g/mse"]), rel=1e-6) and terms["g/mse"] > 0
    for one, other in zip(*map(jax.tree.leaves, (first, second)), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-7)
    outputs = {"sr": jnp.zeros((2, 16, 16, 1))}
    _, target = steps.degrade(batch, 2)
    masked = steps.with_holes(outputs, batch, target, 2)["sr"]
    hole = np.zeros((2, 16, 16, 1), bool)
    hole[0, 6:10, 5:9] = True
    hole[1] = images.turn(jnp.asarray(hole[:1]), turn[1:])[0]
    np.testing.assert_array_equal(masked, np.where(hole, target, 0))


@pytest.mark.parametrize(("channels", "of_network"), [(1, 1), (2, 1), (2, 2), (7, 7)])
def test_enlarging_keeps_depth(channels, of_network):
    values = 2 + 3 * smooth(20, 26, channels)
    model = generator(of_network)
    sr = model.upscale_values(values, ends=(2, 5))
    inside = (slice(6, -6), slice(6, -6))  # The network knows nothing beyond the border, where imresize mirrors.
    expected = (2 + 3 * imresize((values - 2) / 3, 2))[inside]
    assert sr.shape == (40, 52, channels) and sr.dtype == np.float32
    np.testing.assert_allclose(sr[inside], expected, atol=2e-5)  # 255 levels would be .012 apart
    if channels == 1:
        np.testing.assert_array_equal(model.upscale_values(values[..., 0], ends=(2, 5)), sr[..., 0])
        for options in ({"ensemble": True}, {"tile": 16}):
            np.testing.assert_allclose(
                model.upscale_values(values, ends=(2, 5), **options)[inside], expected, atol=2e-5
            )


def test_holes_stay_holes_and_are_not_seen():
    values = (2 + 3 * smooth(20, 26, 1)).astype(np.float32)
    values[5, 7] = np.nan
    sr = generator().upscale_values(values, ends=(2, 5))
    expected = np.zeros((40, 52), bool)
    expected[10:12, 14:16] = True
    np.testing.assert_array_equal(np.isnan(sr[..., 0]), expected)
    assert np.nanmax(np.abs(sr - generator().upscale_values(fill_holes(values)[0], ends=(2, 5)))) == 0


def test_the_range_of_values():
    values, model = smooth(8, 8, 1).astype(np.float32), generator()
    with pytest.raises(InputError, match=r"range is not known; set ends=\(lowest, highest\)"):
        model.upscale_values(values)
    with pytest.raises(InputError, match="ends: expected two numbers, the lower one first"):
        model.upscale_values(values, ends=(1, 0))
    trained = generator(config={"data": {"range": [0.0, 1.0]}})
    np.testing.assert_array_equal(trained.upscale_values(values), model.upscale_values(values, ends=(0, 1)))
    deep = (values * 65535).astype(np.uint16)
    np.testing.assert_allclose(
        model.upscale_values(deep), model.upscale_values(deep / 65535.0, ends=(0, 1)) * 65535, atol=0.5
    )


def test_scores():
    rng = np.random.default_rng(0)
    hr, noise = rng.random((20, 24, 2)) * 5, rng.normal(0, [0.1, 0.3], (20, 24, 2))
    scores = value_scores(hr + noise, hr, extent=5, border=2)
    inside = (slice(2, -2), slice(2, -2))
    assert scores["psnr"] == pytest.approx(peak_signal_noise_ratio(hr[inside], (hr + noise)[inside], data_range=5))
    for channel in range(2):
        assert scores[f"rmse_{channel}"] == pytest.approx(np.sqrt(np.mean(noise[*inside, channel] ** 2)))
    assert scores["mae"] == pytest.approx(np.abs(noise[inside]).mean()) and scores["valid"] == 1
    # What is without a value in either is left out.
    holes, known = hr.copy(), rng.random((20, 24)) > 0.3
    holes[~known, 1] = np.nan
    scores = value_scores(hr + noise, holes, extent=5)
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean(noise[known] ** 2)))
    assert scores["valid"] == pytest.approx(known.mean())
    assert value_scores(hr, hr, extent=5)["psnr"] == np.inf
    with pytest.raises(InputError, match="no pixel"):
        value_scores(np.full_like(hr, np.nan), hr, extent=5)


def test_evaluation_is_at_full_depth(folder):
    source = ArraySource(folder, channels=2, ends=(2, 5))
    seen = {}
    results = evaluate_values(
        Upscaler(generator(2)), source, on_array=lambda name, *arrays: seen.update({name: arrays})
    )
    assert list(results["arrays"]) == [f"{number}.npy" for number in range(4)]
    sr, hr, ends = seen["1.npy"]
    np.testing.assert_array_equal(hr, np.load(folder / "1.npy"))
    np.testing.assert_allclose(sr[6:-6, 6:-6], imresize(imresize(hr.astype(np.float64), 0.5), 2)[6:-6, 6:-6], atol=2e-5)
    expected = peak_signal_noise_ratio(hr[2:-2, 2:-2], sr[2:-2, 2:-2], data_range=ends.high - ends.low)
    assert results["arrays"]["1.npy"]["psnr"] == pytest.approx(expected)
    assert results["arrays"]["0.npy"]["valid"] < 1 == results["arrays"]["1.npy"]["valid"]
    assert results["mean"].keys() == {"psnr", "rmse", "mae", "valid", "psnr_0", "rmse_0", "psnr_1", "rmse_1"}
    assert np.isnan(reduce_values(np.load(folder / "0.npy"), 4)).any(-1).sum() == 2  # rows 4 to 8, columns 8 to 11


@pytest.mark.slow
def test_a_run_on_arrays(folder, tmp_path):
    config = make_tiny_config(
        data__source="arrays",
        data__path=str(folder),
        data__range=(2.0, 5.0),
        data__holdout=0.25,
        channels=2,
        eval_every=2,
        save_every=4,
    )
    loop.train(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["held_out/rmse_1"] > 0 for line in lines if "held_out/rmse_1" in line] == [True, True]
    (sample,) = (tmp_path / "run" / "samples").rglob("00000004.png")
    with Image.open(sample) as image:
        assert image.size == (48, 40) and image.mode == "RGB"
    trained = generators.load(tmp_path / "run")
    assert trained.upscale_values(np.load(folder / "1.npy")).shape == (160, 192, 2)
    config.data.degradation.last.gaussian = 0.5
    with pytest.raises(InputError, match=r"config\.data\.degradation is for pictures of 8 bits"):
        loop.train(config, tmp_path / "other")
