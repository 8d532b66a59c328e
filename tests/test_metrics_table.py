"""The table of metrics: its rows, their scorers, and what is said where there are none."""

import math

import numpy as np
import pytest

from srgan_jax.errors import InputError
from srgan_jax.evaluation import evaluate, read_set
from srgan_jax.images.resize import imresize
from srgan_jax.metrics import METRICS, Sample, default_scorers, make_scorers
from srgan_jax.weights import perceptual

WITHOUT_WEIGHTS = ("lr_psnr", "contrast", "grid", "niqe", "rmse")


def make_sample(height=208, width=200, channels=3):
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (height, width, channels))
    sr, hr = (np.clip(x, 0, 255).astype(np.uint8) for x in (hr + rng.integers(-40, 41, hr.shape), hr))
    return Sample(sr, hr, imresize(hr, 1 / 4), scale=4)


def test_rows_are_named_and_described():
    for name, row in METRICS.items():
        assert row.name == name and not set(row.needs) - {"hr", "lr", "scale", "border"}
        assert row.definition[-1] not in ".;" and "`" not in row.definition
        assert row.title.split()[-1] in ("↑", "↓", "1")


def test_values_are_printed():
    psnr, contrast = METRICS["psnr"], METRICS["contrast"]
    assert (psnr.text(28.4256), psnr.text(28.4256, digits=2), psnr.text(0.5, signed=True)) == (
        "28.426",
        "28.43",
        "+0.500",
    )
    assert (psnr.text(None), psnr.text(math.inf), contrast.text(None), contrast.text(math.nan)) == ("∞", "∞", "–", "–")


def test_scorers_take_batches_of_any_pictures():
    samples = [make_sample(), make_sample(212, 232), make_sample(channels=1)]
    samples.append(samples[2]._replace(sr=np.repeat(samples[2].sr, 3, axis=2)))  # a network of RGB, given grey
    scorers = make_scorers(("psnr", "ssim", *WITHOUT_WEIGHTS), protocols=("rgb",))
    assert list(scorers) == ["rgb", *WITHOUT_WEIGHTS]
    for name, score in scorers.items():
        together = score(samples)
        assert together == [score([sample])[0] for sample in samples]
        key = (lambda value: value["psnr"]) if name == "rgb" else float
        assert key(together[2]) == pytest.approx(key(together[3]), rel=0.01)


def test_a_perfect_picture_has_the_best_values():
    sample = make_sample()
    sample = sample._replace(sr=sample.hr)
    for name in ("lr_psnr", "contrast", "rmse"):
        assert make_scorers([name])[name]([sample]) == [pytest.approx(METRICS[name].best)]


def test_a_protocol_gives_what_is_asked_for():
    assert make_scorers(("ssim",), protocols=("rgb",))["rgb"]([make_sample()])[0].keys() == {"ssim"}
    assert list(make_scorers(("contrast",), protocols=("rgb",))) == ["contrast"]


def test_default_metrics_are_those_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("SRGAN_JAX_METRICS", str(tmp_path))
    scorers = default_scorers(protocols=("matlab",))
    assert list(scorers) == ["matlab", "lr_psnr", "contrast", "grid", "niqe"]
    small = make_sample(40, 44)
    assert math.isnan(scorers["niqe"]([small])[0])
    assert np.isfinite(scorers["niqe"]([make_sample(), small])[0])
    with pytest.raises(InputError, match="NIQE needs two blocks"):
        make_scorers(["niqe"])["niqe"]([small])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lpips"], "there is no metric 'lpips'; did you mean 'lpips_"),
        (["psnr", "niqee"], "there is no metric 'niqee'; did you mean 'niqe'"),
        (["lpips_alex"], "no such file; it is needed for LPIPS"),
        (["dists"], "no such file; it is needed for .*DISTS"),
        (["vgg54"], "No VGG19 file was given"),
    ],
)
def test_metrics_that_cannot_be_computed(names, message, tmp_path, monkeypatch):
    monkeypatch.setenv("SRGAN_JAX_METRICS", str(tmp_path))
    with pytest.raises(InputError, match=message):
        make_scorers(names)


@pytest.mark.slow
def test_set5_has_the_published_distance(shared, tmp_path, monkeypatch):
    """Bicubic interpolation: .341 in the SPSR paper."""
    monkeypatch.setenv("SRGAN_JAX_METRICS", str(tmp_path))
    list(perceptual.convert(shared / "perceptual" / "lpips_alex.npz", tmp_path))
    pairs = read_set("Set5", shared / "data" / "eval" / "Set5", scale=4)
    mean = evaluate(lambda lr: imresize(lr, 4), pairs, metrics=make_scorers(["lpips_alex", "lr_psnr", "contrast"]))[
        "mean"
    ]
    assert METRICS["lpips_alex"].text(mean["lpips_alex"]) == "0.3398"
    assert mean["lr_psnr"] == pytest.approx(37.3, abs=0.05) and mean["contrast"] == pytest.approx(0.953, abs=5e-4)
