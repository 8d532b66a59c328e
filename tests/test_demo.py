"""`make demo` at its smallest: everything that it promises is written."""

import json

import numpy as np
from PIL import Image


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
