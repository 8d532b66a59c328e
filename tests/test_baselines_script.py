"""The script that trains the baselines, and the page that it writes."""

import json
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from scripts import baselines_page, runs, train_baselines
from srgan_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]


def means(psnr, **more):
    scores = {"paper": {"psnr": psnr, "ssim": 0.87654}, "matlab": {"psnr": psnr + 0.1, "ssim": 0.8}} | more
    return {"Set5": scores, "Set14": scores}


@pytest.fixture
def record():
    about = {"parameters": 24_752, "gflop": 2.84, "seconds": 0.5, "sha256": "0f", "updates": 1234, "hours": 1.25}
    return {
        "machine": "a machine",
        "networks": {"espcn": about | {"curve": [[0.5, 27.0], [1.0, 28.5]]}, "vdsr": about | {"curve": []}},
        "scores": {
            "bicubic": means(28.43, lpips_alex=0.34),
            "espcn": means(29.5, lpips_alex=0.28),
            "vdsr": means(28.5),
        },
    }


def test_the_page_has_what_was_printed_beside_what_was_measured(record, tmp_path):
    baselines_page.write(tmp_path, record)
    page = (tmp_path / "baselines.md").read_text(encoding="utf-8")
    assert "| ESPCN | 30.76 / .8784 | 29.50 / .8765 | 27.66 / .8004 | 29.50 / .8765 | 27.02 / .7442 |  |" in page
    assert "| SelfExSR | 30.33 / .872 |  | 27.45 / .7972 |  | 26.83 / .7387 |  |" in page
    assert "| VDSR |  | 28.50 / .8765 |  | 28.50 / .8765 |  |  |" in page and "EDSR-baseline" not in page
    assert "| ESPCN | 29.60 / .8000 | 0.280 | 29.60 / .8000 | 0.280 |" in page
    assert "| VDSR | 28.60 / .8000 |  | 28.60 / .8000 |  |" in page
    assert "| ESPCN | 24,752 | 2.8 | 0.50 | 1,234 | 1.25 |" in page
    assert "2.50 hours in all, on a machine" in page
    drawing = (tmp_path / "baselines.svg").read_text(encoding="utf-8")
    lines = ElementTree.fromstring(drawing).findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 1 and "ESPCN" in drawing  # of VDSR nothing was evaluated
    assert json.loads((tmp_path / "runs" / "baselines.json").read_text()) == record


def test_the_course_of_a_run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"batch_size": 4}))
    lines = [{"step": step, "g/loss": 0.1, "images_per_second": 2.0} for step in (900, 1800)]
    lines.insert(1, {"step": 900, "held_out/psnr_y": 25.0})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    course = runs.course(tmp_path / "metrics.jsonl")
    assert course == {"updates": 1800, "hours": 1.0, "curve": [[0.5, 25.0]]}


WORDS = ["--machine", "a machine", "--data", "Set5=nowhere"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--machine", ""], "--machine is needed for training; --page only writes the page"),
        (["--photos", "nowhere"], "--photos nowhere: no such folder"),
        (["--photos", ".", "--hours", "0"], "--hours must be above 0 and --updates at least 2"),
        (["--photos", ".", "--updates", "1"], "--updates at least 2"),
        (["--photos", ".", "--hours", "1", "--ship"], "--ship needs 0.25 hours for each network"),
    ],
)
def test_what_cannot_be_is_said_at_once(words, message, tmp_path):
    with pytest.raises(InputError, match=message):
        train_baselines.main([*WORDS, *words, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_the_plan_divides_the_hours_and_stays(tmp_path, monkeypatch, capsys):
    words = [*WORDS, "--photos", ".", "--out", str(tmp_path), "--networks", "espcn", "vdsr"]
    seconds = {"espcn": 0.5, "vdsr": 4.0}
    monkeypatch.setattr(train_baselines, "seconds_per_update", lambda network, arguments: seconds[network])
    plan = train_baselines.make_plan(train_baselines.parse_arguments([*words, "--hours", "2"]))
    assert plan == {"espcn": 7200, "vdsr": 900}
    assert "vdsr: 900 updates of 4 s" in capsys.readouterr().out
    seconds["vdsr"] = 100.0  # another day, a busier machine
    assert train_baselines.make_plan(train_baselines.parse_arguments([*words, "--hours", "2"])) == plan
    with pytest.raises(InputError, match=r"plan.json is of the budget .*'hours': 2.0.*choose another folder for --out"):
        train_baselines.make_plan(train_baselines.parse_arguments([*words, "--hours", "3"]))
    (tmp_path / "plan.json").unlink()
    updates = train_baselines.parse_arguments([*words, "--updates", "30"])
    assert train_baselines.make_plan(updates) == {"espcn": 30, "vdsr": 30}


def test_only_what_beats_bicubic_is_shipped(record, tmp_path, monkeypatch, capsys):
    """VDSR's gain of 0.07 dB does not suffice; of ESPCN the file and a card come."""
    words = [*WORDS, "--photos", ".", "--out", str(tmp_path), "--pretrained", str(tmp_path / "pretrained")]
    arguments = train_baselines.parse_arguments([*words, "--networks", "espcn", "vdsr"])
    (tmp_path / "pretrained").mkdir()
    for network in ("espcn", "vdsr"):
        (tmp_path / f"{network}.safetensors").write_bytes(bytes(1000))
    monkeypatch.setattr(train_baselines, "run", lambda *words: words[-1].write_bytes(bytes(50_000)))
    train_baselines.ship(record, arguments)
    assert "vdsr-x4 is not shipped: +0.07 dB on Set5, 0.2 are wanted" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "pretrained").iterdir()) == ["espcn-x4.md", "espcn-x4.safetensors"]
    card = (tmp_path / "pretrained" / "espcn-x4.md").read_text(encoding="utf-8")
    assert "1,234 updates" in card and "0.05 MB" in card and "Not for medical, forensic" in " ".join(card.split())
    monkeypatch.setattr(train_baselines, "MOST_BYTES", 500)
    with pytest.raises(InputError, match="the files of espcn-x4 are larger than 500 bytes"):
        train_baselines.ship(record, arguments)
    record["networks"]["espcn"]["hours"] = 0.2  # where the machine was faster than when the plan was made
    train_baselines.ship(record, arguments)
    assert "espcn-x4 is not shipped: it trained for 0.200 hours, 0.25 are wanted" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_script_in_small(tmp_path):
    rng = np.random.default_rng(0)
    for folder, count, side in (("photos", 3, 160), ("sets", 2, 64)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            picture = np.kron(rng.integers(0, 256, (side // 8, side // 8, 3)), np.ones((8, 8, 1)))
            Image.fromarray(picture.astype(np.uint8)).save(tmp_path / folder / f"{i}.png")
    command = [sys.executable, "-m", "scripts.train_baselines", "--machine", "a machine", "--hours", "0.002"]
    command += ["--photos", tmp_path / "photos", "--data", f"Set5={tmp_path / 'sets'}", "--networks", "espcn", "srcnn"]
    command += ["--out", tmp_path / "out", "--docs", tmp_path / "docs"]
    command += ["--set", "data.crop_size=16", "batch_size=2", "data.holdout=0.4"]
    for _ in range(2):  # the second time all is there
        subprocess.run([str(word) for word in command], cwd=ROOT, check=True)
    record = json.loads((tmp_path / "docs" / "runs" / "baselines.json").read_text(encoding="utf-8"))
    assert record["networks"].keys() == {"espcn", "srcnn"} and record["networks"]["espcn"]["parameters"] == 24_752
    assert all(about["updates"] >= 2 and about["curve"] for about in record["networks"].values())
    assert "| ESPCN | 24,752 |" in (tmp_path / "docs" / "baselines.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not (RECORD := runs.DOCS / "runs" / "baselines.json").exists(), reason="not measured yet")
def test_the_committed_page_is_what_its_record_makes(tmp_path):
    baselines_page.write(tmp_path, json.loads(RECORD.read_text(encoding="utf-8")))
    for name in ("baselines.md", "baselines.svg"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (runs.DOCS / name).read_text(encoding="utf-8")
