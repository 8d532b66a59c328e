"""`make demo` at its smallest: everything that it promises is written."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory) -> pathlib.Path:
    """What `python -m srgan_jax.demo --smoke` writes; printed.txt holds what it prints.

    $SMOKE_DEMO is a folder in which that is already, such as .ci/run has.
    """
    if done := os.environ.get("SMOKE_DEMO"):
        return pathlib.Path(done)
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "srgan_jax.demo", "--out", str(out), "--smoke"]
    done = subprocess.run(command, cwd=pathlib.Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (out / "printed.txt").write_text(done.stdout)
    return out


def test_demo_writes_what_it_promises(demo_run):
    with Image.open(demo_run / "comparison.png") as picture:
        assert picture.mode == "RGB" and picture.width > 5 * 128
    for stage in ("srresnet", "srgan"):
        run = demo_run / "smoke" / stage
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        psnr = [line["held_out/psnr_y"] for line in lines if "held_out/psnr_y" in line]
        # Both start as the bicubic enlargement (26.3 dB on the held-out photographs) and have hardly left it.
        assert np.allclose(psnr, 26.3, atol=0.5)


def test_demo_prints_the_table(demo_run):
    printed = (demo_run / "printed.txt").read_text()
    for row in ("| bicubic |", "| SRResNet |", "| SRGAN |"):
        assert row in printed
