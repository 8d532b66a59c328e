"""The scripts behind the released weights and the results page."""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from scripts import curves, make_results, runs, train_baselines, train_release
from srgan_jax import generators
from srgan_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]
PAGE = "".join(f"<!-- table {name} -->\nold\n<!-- end -->\n" for name in ("1", "2", "matlab"))
MEANS = {"paper": {"psnr": 30.123, "ssim": 0.87654}, "matlab": {"psnr": 30.2, "ssim": 0.8}}


@pytest.fixture
def released(tmp_path):
    """What train_release.py leaves of one model and of bicubic; 40 steps of 4 crops, 2 a second."""
    for name, about in {"bicubic": {}, "srresnet_mse": {"step": 40, "sha256": "0f"}}.items():
        folder = tmp_path / "release" / "eval" / name
        folder.mkdir(parents=True)
        datasets = {dataset: {"mean": MEANS} for dataset in ("Set5", "Set14")}
        (folder / "results.json").write_text(json.dumps({"method": about, "datasets": datasets}))
    run = tmp_path / "release" / "srresnet_mse"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"batch_size": 4}))
    lines = [{"step": step, "g/loss": 1 / 3, "g/mse": 1 / 3, "images_per_second": 2.0} for step in range(10, 50, 10)]
    lines.insert(2, {"step": 20, "held_out/psnr_y": 25.0})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "release"


def test_the_results_page_is_made_from_runs(released, tmp_path, monkeypatch):
    monkeypatch.setattr(make_results, "RUNS", tmp_path)
    for name in ("bicubic", "srresnet_mse"):
        make_results.keep(released, name)
    page = make_results.with_tables(PAGE)
    assert "| SRResNet-MSE | 32.05 / .9019 | 30.12 / .8765 | 28.49 / .8184 | 30.12 / .8765 |" in page
    assert "| SRGAN-VGG54 | 29.40 / .8472 |  | 26.02 / .7397 |  | 25.16 / .6688 |  |" in page
    assert "| SRResNet-MSE | 30.20 / .8000 | 30.20 / .8000 |  | 40 | 0.0 |" in page and "old" not in page
    assert make_results.with_tables(page) == page
    kept = [json.loads(line) for line in (tmp_path / "srresnet_mse.jsonl").read_text().splitlines()]
    assert len(kept) == 5 and kept[0]["g/mse"] == 0.3333
    curves.draw_curves(tmp_path / "curves.png", {"SRResNet": tmp_path / "srresnet_mse.jsonl"}, curves.CURVES)
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 500
    with pytest.raises(InputError, match="expected <!-- table 1 --> … <!-- end --> once, found it 0 times"):
        make_results.with_tables("# Results\n")


def test_hours(released):
    assert runs.course(released / "srresnet_mse" / "metrics.jsonl")["hours"] == pytest.approx(40 * 4 / 2 / 3600)


def test_the_committed_page_is_what_its_logs_make():
    page = (runs.DOCS / "results.md").read_text(encoding="utf-8")
    assert make_results.with_tables(page) == page


def test_every_shipped_model_is_described_and_small():
    files = list(generators.SHIPPED.glob("*.safetensors"))
    baselines = set(train_baselines.SHIPPED.values())
    assert {path.stem for path in files} <= baselines | set(train_release.SHIPPED.values())
    assert sum(path.stat().st_size for path in files if path.stem not in baselines) < 8e6
    assert sum(path.stat().st_size for path in files if path.stem in baselines) <= train_baselines.MOST_BYTES
    for path in files:
        generator, card = generators.load(path.stem), path.with_suffix(".md").read_text(encoding="utf-8")
        assert generator.sha256() in card and "Not for medical, forensic" in card and "research use" in card
        assert generator.module.scale == 4 and generator.info["evaluation"]["datasets"].keys() == {
            "Set5",
            "Set14",
            "BSD100",
        }


@pytest.mark.parametrize(
    "hardware, message",
    [
        ("cpu", "srgan_consistent needs VGG19's weights: --vgg19 none is no file"),
        ("gpu", "configs/release.py has no recipe gpu_srresnet_l1: choose other --models"),
    ],
)
def test_what_is_missing_is_said_at_once(tmp_path, monkeypatch, hardware, message):
    flags = {"--machine": "", "--photos": "", "--data": "", "--vgg19": "none", "--out": tmp_path}
    words = [str(word) for flag in flags.items() for word in flag]
    monkeypatch.setattr(sys, "argv", ["train_release", "--hardware", hardware, *words])
    monkeypatch.setattr(train_release, "run", None)
    with pytest.raises(InputError, match=message):
        train_release.main()


def test_a_model_starts_from_the_run_before_or_from_what_ships(tmp_path):
    arguments = argparse.Namespace(hardware="cpu", steps=None, out=tmp_path)
    assert train_release.start_of("srgan_consistent", arguments) == "srresnet-x4"
    checkpoint = tmp_path / "srresnet_l1" / "checkpoints" / "14000"
    checkpoint.mkdir(parents=True)
    assert train_release.start_of("srgan_consistent", arguments) == checkpoint
    assert train_release.start_of("srgan_vgg54", arguments) == "srresnet-x4"


@pytest.mark.slow
def test_the_whole_script_in_small(tmp_path):
    rng = np.random.default_rng(0)
    for folder, count, side in (("photos", 3, 160), ("sets", 2, 64)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(tmp_path / folder / f"{i}.png")
    command = [
        sys.executable,
        "-m",
        "scripts.train_release",
        "--hardware",
        "cpu",
        "--machine",
        "a machine",
        "--steps",
        "1",
    ]
    command += ["--photos", tmp_path / "photos", "--data", f"Set5={tmp_path / 'sets'}", "--models", "srresnet_l1"]
    command += ["--out", tmp_path / "out", "--pretrained", tmp_path / "pretrained"]
    for _ in range(2):  # the second time all is there
        subprocess.run([str(word) for word in command], cwd=ROOT, check=True)
    assert sorted(path.name for path in (tmp_path / "pretrained").iterdir()) == [
        "srresnet-x4.md",
        "srresnet-x4.safetensors",
    ]
    assert len((tmp_path / "out" / "srresnet_l1" / "metrics.jsonl").read_text().splitlines()) == 2
    card = (tmp_path / "pretrained" / "srresnet-x4.md").read_text()
    assert "1 updates of 8 crops" in card and "pixels, from SRResNet-MSE. The SRGAN paper has 1,000,000" in card
