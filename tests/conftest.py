"""Fixtures that several test files share."""

import functools
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from configs import base
from srgan_jax.resize import MARGIN_LR


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder with data and weights that are not ours to publish: $SR_DATA, or `shared` beside the repository."""
    folder = pathlib.Path(os.environ.get("SR_DATA") or pathlib.Path(__file__).parents[2] / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(
            "needs the evaluation sets: set SR_DATA to the folder that holds data/eval (see docs/evaluation.md)"
        )
    return folder


def make_tiny_config(**changes):
    """A config of seconds: two blocks, eight features, crops of 16. `changes` name fields with "__" for the dot."""
    config = base.get_config()
    config.num_steps = 4
    config.batch_size = 2
    config.generator.features = 8
    config.generator.num_blocks = 2
    config.discriminator.features = 8
    config.discriminator.hidden = 16
    config.data.crop_size = 16
    config.data.workers = 1
    config.log_every = 1
    config.eval_every = 0
    config.save_every = 0
    for name, value in changes.items():
        *path, field = name.split("__")
        functools.reduce(getattr, path, config)[field] = value
    return config


@pytest.fixture(scope="session")
def tiny_config():
    """make_tiny_config."""
    return make_tiny_config


@pytest.fixture(scope="session")
def tiny_batch():
    """make(config, rows) -> a batch of random crops as the loader makes them."""

    def make(config, rows=2, seed=0):
        rng = np.random.default_rng(seed)
        side = config.data.crop_size + 2 * MARGIN_LR * config.scale
        smooth = rng.integers(0, 256, (rows, side // 4 + 1, side // 4 + 1, config.channels))
        hr = np.kron(smooth, np.ones((1, 4, 4, 1)))[:, :side, :side] + rng.integers(-20, 20, (rows, side, side, 1))
        return {"hr": np.clip(hr, 0, 255).astype(np.uint8), "turn": rng.integers(0, 8, rows, np.int32)}

    return make


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory) -> pathlib.Path:
    """What `python -m srgan_jax.demo --smoke` writes; printed.txt holds what it prints."""
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "srgan_jax.demo", "--out", str(out), "--smoke"]
    done = subprocess.run(command, cwd=pathlib.Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (out / "printed.txt").write_text(done.stdout)
    return out
