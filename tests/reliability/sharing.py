"""Two programs in one place."""

import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.reliability import programs
from tests.reliability.campaign import Setting
from tests.tiny import write_bicubic_network

STEPS = 6
CHANGES = {"num_steps": STEPS, "save_every": 2, "eval_every": 0, "data__holdout": 0.0}


def sharing(setting: Setting) -> Iterator[str]:
    """Start two programs at nearly one time: trainings in one directory, or enlargements into one folder."""
    whole = programs.train(setting.folder / "whole", CHANGES, one_core=True).end()
    if complaint := whole.complaint(0):
        yield f"alone: {complaint}"
        return
    ckpt = write_bicubic_network(setting.folder / "bicubic.safetensors")
    photos = setting.folder / "photos"
    photos.mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    expected = _enlarged(setting.folder / "alone", [_upscale(photos, setting.folder / "alone", ckpt)])
    for number in range(setting.tries):
        folder = setting.folder / str(number)
        if number % 2:
            yield _enlarged(folder, [_upscale(photos, folder, ckpt) for _ in range(2)], expected)
        else:
            yield _trained(folder, whole.saved()[STEPS])


def _trained(workdir: pathlib.Path, expected: str) -> str:
    ended = [p.end() for p in [programs.train(workdir, CHANGES, pause=0.5, one_core=True) for _ in range(2)]]
    first, second = sorted(ended, key=lambda one: one.status)
    complaint = first.complaint(0) or second.complaint(2)
    if not complaint and "is in use by another program" not in second.error:
        complaint = f"the second was refused with: {second.error.strip()}"
    if not complaint and first.saved().get(STEPS) != expected:
        complaint = "the first ended with another state"
    return complaint and f"two trainings: {complaint}"


def _upscale(photos: pathlib.Path, out: pathlib.Path, ckpt: pathlib.Path) -> programs.Program:
    return programs.Program("upscale.py", photos, "-o", out, "--ckpt", ckpt)


def _enlarged(out: pathlib.Path, started: list[programs.Program], expected: str | dict | None = None):
    """Return the bytes of all files; or where some are expected, "" or what is wrong."""
    complaints = list(filter(None, (program.end().complaint(0) for program in started)))
    found = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    if expected is None:
        return found
    if complaints:
        return f"two enlargements: {complaints[0]}"
    return "" if found == expected else "two enlargements: the files differ from those of one program"
