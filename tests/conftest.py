"""Fixtures that several test files share."""

import os
import pathlib
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder with data and weights that are not ours to publish: $SR_DATA, or `shared` beside the repository."""
    folder = pathlib.Path(os.environ.get("SR_DATA") or pathlib.Path(__file__).parents[2] / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(
            "needs the evaluation sets: set SR_DATA to the folder that holds data/eval (see docs/evaluation.md)"
        )
    return folder


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory) -> pathlib.Path:
    """What `python -m srgan_jax.demo --smoke` writes; printed.txt holds what it prints."""
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "srgan_jax.demo", "--out", str(out), "--smoke"]
    done = subprocess.run(command, cwd=pathlib.Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (out / "printed.txt").write_text(done.stdout)
    return out
