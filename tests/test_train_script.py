"""`python train.py` with bad input: one clear sentence, status 2, no traceback, nothing half-written."""

import pathlib
import re
import subprocess
import sys

import pytest
from PIL import Image
from tiny import make_tiny_config

from srgan_jax import trees
from srgan_jax.commands import train as train_command
from srgan_jax.commands.common import report_input_errors
from srgan_jax.configs import base
from srgan_jax.errors import Interrupted, NonFiniteError
from srgan_jax.training import loop

ROOT = pathlib.Path(__file__).parents[1]


def train(*arguments):
    command = [sys.executable, "train.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr


def check(status, error, *parts):
    assert status == 2, error
    assert "Traceback" not in error
    # A progress bar may have been there before, and gone.
    assert [line for line in error.splitlines() if line.strip() and "step/s" not in line] == [error.splitlines()[-1]]
    for part in parts:
        assert part in error


CONFIG = "--config=configs/srresnet_mse.py"


# The flags are read before JAX starts: these are quick.
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((CONFIG, "--config.batch_sizee=3"), ("batch_sizee", "did you mean 'batch_size'")),
        ((CONFIG, "--config.data.crop_sise=3"), ("crop_sise", "did you mean 'data.crop_size'")),
        ((CONFIG, "--config.lerning_rate=3"), ("lerning_rate", "did you mean 'optimizer.learning_rate'")),
        ((CONFIG, "--config.lossess.mse=3"), ("lossess", "losses")),
        ((CONFIG, "--config.batch_size=many"), ("batch_size", "many")),
        ((CONFIG, "--config.batch_size=1.5"), ("batch_size", "1.5")),
        (("--config=configs/srresnet.py",), ("there is no file configs/srresnet.py", "srresnet_mse, srresnet_vgg22")),
        (("--config", "srresnet"), ("there is no file srresnet", "srgan_vgg54")),
        ((), ("--config is missing", "srgan_vgg54")),
        (("--config=configs/release.py:cpu_srgan",), ("release.py: no recipe 'cpu_srgan'", "choose from cpu_srresnet")),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) and value else None,
)
def test_bad_flags(arguments, parts, tmp_path):
    check(*train(*arguments, f"--workdir={tmp_path / 'run'}"), *parts)
    assert not (tmp_path / "run").exists()


def test_missing_flags():
    check(*train(CONFIG), "--workdir is missing", "runs/srgan")


def test_help_lists_the_recipes_and_the_fields(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--help"])
    train_command.main()
    text = capsys.readouterr().out
    assert re.search("^recipes: .*demo, .*srgan_vgg54", text, re.MULTILINE)
    assert "\n  --config.num_steps=1000000  updates of G\n" in text
    listed = re.findall(r"^  --config\.(\S+?)=", text, re.MULTILINE)
    assert sorted(listed) == sorted(trees.flat(base.get_config().to_dict(), "."))


@pytest.mark.parametrize("value", ["srgan_vgg54", "configs/srgan_vgg54.py", "release:cpu_srresnet_mse"])
@pytest.mark.parametrize("joined", [True, False])
def test_recipes_are_found_everywhere(value, joined, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [f"--config={value}"] if joined else ["--config", value]
    *_, last = train_command.with_config_file(["train.py", *given])
    name, _, argument = value.partition(":")
    path = base.__file__.replace("base", pathlib.Path(name).stem)
    assert last.removeprefix("--config=") == (f"{path}:{argument}" if argument else path)


def test_no_images_from_the_command_line(tmp_path):
    """One run of the script as far as the data; what it reports otherwise is tested without a new process."""
    (tmp_path / "photos").mkdir()
    arguments = ("--config.data.source=folder", f"--config.data.path={tmp_path / 'photos'}")
    check(*train(CONFIG, f"--workdir={tmp_path / 'run'}", *arguments), "photos holds no images")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    return folder


def report(config, workdir, capsys):
    with pytest.raises(SystemExit) as stop, report_input_errors():
        loop.train(config, workdir)
    return stop.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, ("photos holds no images",)),
        ({"data__path": "{photos}/notes.txt"}, ("notes.txt is not a directory",)),
        ({"data__path": "{photos}/none"}, ("none does not exist",)),
        ({"data__path": ""}, ("data.path",)),
        ({"data__source": "foldr"}, ("'foldr'", "did you mean 'folder'")),
        ({"data__crop_size": 30}, ("crop_size", "multiple of scale=4, got 30; try 28")),
        ({"losses__vgg54": 1.0}, ("No VGG19 file was given", "Keras", "torchvision", "docs/weights.md")),
        ({"losses__vgg54": 1.0, "vgg_weights": "{photos}/vgg.npz"}, ("vgg.npz: no such file", "docs/weights.md")),
        ({"data__source": "builtin", "data__holdout": 1.5}, ("held-out share", "1.5")),
        ({"data__source": "builtin", "data__sampling": "aera"}, ("sampling", "'aera'")),
        ({"data__source": "builtin", "data__crop_size": 4096}, ("none of the", "too few for a crop of 4096x4096")),
        ({"data__source": "builtin", "eval_data": "Set5"}, ("NAME=DIR", "'Set5'")),
        ({"data__source": "builtin", "eval_data": "Set5={photos}/none"}, ("none does not exist",)),
        ({"data__source": "builtin", "seed": -1}, ("seed", "-1")),
        ({"data__source": "builtin", "batch_size": 0}, ("batch_size", "at least 1, got 0")),
    ],
    ids=lambda value: ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_bad_input(changes, parts, photos, tmp_path, capsys):
    changes = {"data__source": "folder", "data__path": str(photos)} | {
        name: value.format(photos=photos) if isinstance(value, str) else value for name, value in changes.items()
    }
    status, said = report(make_tiny_config(**changes), tmp_path / "run", capsys)
    errors = [line for line in said.splitlines() if not line.startswith("Warning: left out of training: ")]
    check(status, "\n".join(errors), *parts)
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_an_adversarial_run_from_nothing_warns():
    """Whether it was meant or forgotten: the paper's second stage starts from the first."""
    adversarial = {"stage": "adversarial", "losses__adversarial": 1e-3}
    assert "untrained generator" in loop.warning_of_start(make_tiny_config(**adversarial))
    assert loop.warning_of_start(make_tiny_config(**adversarial, init_from="srresnet-x4")) is None
    assert loop.warning_of_start(make_tiny_config()) is None


@pytest.mark.parametrize("below", ["", "run"])
def test_a_workdir_that_cannot_be_made(photos, below, capsys):
    workdir = photos / "notes.txt" / below
    check(*report(make_tiny_config(), workdir, capsys), "notes.txt")


def test_truncated_pictures_are_reported_by_name(photos, tmp_path, capsys):
    for i in range(3):
        Image.effect_noise((64, 64), 50).save(photos / f"{i}.jpg")
        (photos / f"{i}.jpg").write_bytes((photos / f"{i}.jpg").read_bytes()[:-200])
    config = make_tiny_config(data__source="folder", data__path=str(photos), data__holdout=0.0)
    status, error = report(config, tmp_path / "run", capsys)
    assert status == 2 and "Traceback" not in error
    assert "none of the 3 images can be used for training; the first one: 0.jpg" in error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Interrupted("stopped at step 3 by SIGTERM"), 143),
        (NonFiniteError("g/loss is nan"), 1),
        (PermissionError(13, "Permission denied", "run"), 2),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_statuses(error, status, capsys):
    with pytest.raises(SystemExit) as stop, report_input_errors():
        raise error
    said = "run: cannot be read or written (Permission denied)" if isinstance(error, OSError) else str(error)
    assert stop.value.code == status and said in capsys.readouterr().err
