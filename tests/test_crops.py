"""Packed crops: what is in them, that workers and restarts change nothing, and how bad input is refused."""

import hashlib
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from srgan_jax.commands.crops import run
from srgan_jax.data import crops, sources
from srgan_jax.errors import InputError

SIZE = 8
REPOSITORY = pathlib.Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path):
    """Twelve usable pictures that tell their number by their first channel, a damaged one and a small one."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (20 + number, 30, 3), np.uint8)
        pixels[..., 0] = number
        Image.fromarray(pixels).save(photos / f"{number:02d}.png")
    (photos / "damaged.png").write_bytes((photos / "00.png").read_bytes()[:300])
    Image.new("RGB", (SIZE - 1, 64)).save(photos / "small.png")
    return photos


def pack(folder, out, *options):
    """Run the command; returns (crops as the training reads them, manifest)."""
    command = {"--source": f"folder:{folder}", "--out": out, "--size": SIZE, "--shard-size": 4, "--workers": 1}
    command |= dict(zip(options[::2], options[1::2], strict=True))
    run([str(word) for pair in command.items() for word in pair])
    manifest = json.loads((out / crops.VERSION / "manifest.json").read_text())
    source = sources.TfdsSource(out.name, split="train", data_dir=out.parent)
    return [source[index] for index in range(len(source))], manifest


def digests(out):
    """Name -> digest of every file but dataset_info.json, which holds its own directory's name."""
    files = (path for path in sorted((out / crops.VERSION).rglob("*")) if path.name != "dataset_info.json")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}


@pytest.mark.parametrize(("count", "per_image"), [(5, 1), (14, 1), (31, 3)])
def test_crops_are_cut_from_pictures_as_evenly_as_can_be(folder, tmp_path, count, per_image):
    packed, manifest = pack(folder, tmp_path / "packed", "--count", count, "--per-image", per_image)
    assert len(packed) == count == manifest["count"] and manifest["pictures"] == 14
    pictures = {int(picture[0, 0, 0]): picture for picture in map(sources.FolderSource(folder).__getitem__, range(12))}
    places = []
    for crop in packed:
        assert crop.shape == (SIZE, SIZE, 3) and crop.dtype == np.uint8
        windows = np.lib.stride_tricks.sliding_window_view(pictures[crop[0, 0, 0]], crop.shape)[:, :, 0]
        ((y, x),) = np.argwhere((windows == crop).all((2, 3, 4)))
        places.append((int(crop[0, 0, 0]), int(y), int(x)))
    used = np.bincount([number for number, _, _ in places], minlength=12)
    unusable = {"damaged.png", "small.png"}
    assert set(manifest["skipped"]) <= unusable and set(manifest["replaced"]) <= set(manifest["skipped"])
    if count < 12:
        assert used.max() == 1  # spare pictures take the place of unusable ones
    else:
        assert set(manifest["replaced"]) == unusable and (used > 0).all()
        assert used.sum() == count and sorted(used)[:10] <= [count // 14 + 1] * 10
    assert len(set(places)) > 0.9 * count  # places are drawn
    if "small.png" in manifest["skipped"]:
        assert "7x64 pixels, where the smaller side must have 8" in manifest["skipped"]["small.png"]


def test_pictures_under_the_minimum_are_left_out(folder, tmp_path):
    _, manifest = pack(folder, tmp_path / "packed", "--min-size", 25)
    assert set(manifest["skipped"]) == {f"{number:02d}.png" for number in range(5)} | {"damaged.png", "small.png"}
    assert set(manifest["replaced"]) == set(manifest["skipped"])


def test_workers_restarts_and_order_change_no_byte(folder, tmp_path):
    pack(folder, tmp_path / "one")
    whole = digests(tmp_path / "one")
    assert len(whole) == 4 + 2
    pack(folder, tmp_path / "seed", "--seed", 1)
    assert digests(tmp_path / "seed") != whole

    # The name of the dataset is in the files' names: the others are made under the same one.
    other = tmp_path / "other" / "one"
    plan = crops.create_plan(
        source=f"folder:{folder}", out=other, size=SIZE, split="train", data_dir="", feature="image", channels=3,
        count=None, per_image=1, min_size=None, seed=0, shard_size=4,
    )  # fmt: skip
    assert crops.unfinished(plan) == [0, 1, 2, 3]
    crops.write_shard(plan, 2)
    (other / crops.VERSION / "one-train.array_record-00000-of-00004").write_text("of a run that was cut off")
    with pytest.raises(sources.SourceError, match="not prepared"):
        sources.TfdsSource("one", split="train", data_dir=other.parent)
    done = (other / crops.VERSION / "one-train.array_record-00002-of-00004").stat()
    pack(folder, other, "--workers", 2)
    assert digests(other) == whole
    assert (other / crops.VERSION / "one-train.array_record-00002-of-00004").stat().st_mtime_ns == done.st_mtime_ns

    # Once complete, the same command does nothing and another is refused.
    pack(folder, other)
    with pytest.raises(InputError, match=r"other crops: size is 8 there and 12 now; remove it or"):
        pack(folder, other, "--size", 12)
    Image.new("RGB", (30, 30)).save(folder / "new.png")
    with pytest.raises(InputError, match="pictures is 14 there and 15 now"):
        pack(folder, other)


def test_records_are_single_and_uncompressed(folder, tmp_path):
    from array_record.python import array_record_module

    pack(folder, tmp_path / "packed")
    for path in (tmp_path / "packed" / crops.VERSION).glob("*array_record*"):
        options = array_record_module.ArrayRecordReader(str(path)).writer_options_string()
        assert "group_size:1," in options and "uncompressed" in options


def test_a_tfds_source_and_grey_crops(folder, tmp_path):
    pack(folder, tmp_path / "first", "--size", 16)
    options = ("--source", "tfds:first", "--data-dir", tmp_path, "--channels", 3, "--split", "train[:50%]")
    second, manifest = pack(folder, tmp_path / "second", *options)
    assert len(second) == 7 and manifest["source"] == "tfds:first" and manifest["split"] == "train[:50%]"
    run(f"--source folder:{folder} --out {tmp_path}/grey --size 8 --workers 1 --channels 1".split())
    assert sources.TfdsSource("grey", split="train", data_dir=tmp_path, channels=1)[0].shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--source": "folder"}, "source must be folder:DIRECTORY or tfds:NAME, got 'folder'"),
        ({"--source": "zip:photos"}, "got 'zip:photos'"),
        ({"--source": "folder:nowhere"}, "nowhere does not exist"),
        ({"--source": "tfds:nowhere"}, "nowhere is not prepared"),
        ({"--out": "A-B"}, "out must end in a name of a-z"),
        ({"--out": "imagenet2012"}, "must not end in the name of another TFDS dataset"),
        ({"--size": 0}, "size must be at least 1, got 0"),
        ({"--min-size": 7}, "min_size must be at least 8, got 7"),
        ({"--per-image": 0}, "per_image must be at least 1"),
        ({"--seed": -1}, "seed must be at least 0"),
        ({"--workers": 0}, "--workers must be at least 1"),
        ({"--count": 0}, "count must be at least 1"),
        ({"--count": 29}, "count must be at most 14, 1 of each of the 14 pictures, got 29; try per_image=3"),
        ({"--size": 500}, r"none of the 14 pictures can be used; one of them: .*"),
    ],
    ids=str,
)
def test_bad_input_is_one_sentence(folder, tmp_path, options, message):
    command = {"--source": f"folder:{folder}", "--out": "packed", "--size": SIZE, "--workers": 1} | options
    command["--out"] = tmp_path / command["--out"]
    with pytest.raises(InputError, match=message):
        run([str(word) for pair in command.items() for word in pair])


def test_the_command_needs_no_tensorflow_and_reports_errors(folder, tmp_path):
    code = "from srgan_jax.commands.crops import run; run(sys.argv[1:]); assert 'tensorflow' not in sys.modules"
    code = f"import sys; {code}"
    arguments = ["--source", f"folder:{folder}", "--out", str(tmp_path / "packed"), "--size", "8", "--workers", "1"]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=REPOSITORY)
    bad = [sys.executable, "-m", "srgan_jax.data.crops", *arguments, "--seed", "1"]
    done = subprocess.run(bad, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("Error: ") and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_killed_run_leaves_no_process_and_is_resumed(folder, tmp_path):
    command = [sys.executable, "-m", "srgan_jax.data.crops", "--source", f"folder:{folder}", "--size", "8"]
    command += ["--count", "1600", "--per-image", "120", "--shard-size", "100", "--workers", "2", "--out"]
    subprocess.run([*command, str(tmp_path / "whole" / "packed")], check=True, cwd=REPOSITORY, capture_output=True)
    out = tmp_path / "killed" / "packed"
    process = subprocess.Popen([*command, str(out)], cwd=REPOSITORY, stderr=subprocess.PIPE)
    while not list(out.glob(f"*/{crops.PARTIAL}/*0.json")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)  # stderr ends when the last worker is gone
    assert not (out / crops.VERSION / "features.json").exists()
    subprocess.run([*command, str(out)], check=True, cwd=REPOSITORY, capture_output=True)
    assert digests(out) == digests(tmp_path / "whole" / "packed")


@pytest.mark.filterwarnings("default::DeprecationWarning")  # Beam holds protobuf back, of which TFDS then warns
def test_apache_beam_writes_the_same_files(folder, tmp_path):
    pytest.importorskip("apache_beam", exc_type=ImportError)
    pack(folder, tmp_path / "here" / "packed")
    command = [sys.executable, "-m", "srgan_jax.data.crops", "--source", f"folder:{folder}", "--size", "8"]
    command += ["--shard-size", "4", "--runner", "DirectRunner", "--direct_num_workers", "2"]
    command += ["--out", str(tmp_path / "beam" / "packed")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "here" / "packed") == digests(tmp_path / "beam" / "packed")


def test_without_apache_beam_the_runner_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match="needs Apache Beam: pip install"):
        pack(folder, tmp_path / "packed", "--runner", "DirectRunner")
