"""Memory of the device that runs out, and disks that are full."""

import contextlib
import itertools
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator

import jax
import numpy as np
from PIL import Image

from srgan_jax.upscaling import Upscaler, upscaler
from tests.reliability import programs
from tests.reliability.batches import write_pictures
from tests.reliability.campaign import Setting
from tests.reliability.tiles import NETWORKS, ROUNDING, trained
from tests.tiny import write_bicubic_network

STEPS = 6
CHANGES = {"num_steps": STEPS, "save_every": 1, "eval_every": 2, "eval_images": 1, "data__holdout": 0.3}
ROOM = 64 << 10  # KiB of the disk once there is room


class Disk:
    """A small disk in the main memory, which can grow."""

    def __init__(self, folder: pathlib.Path, kib: int) -> None:
        self.folder = folder
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", folder], check=True, capture_output=True)

    def grow(self) -> None:
        subprocess.run(["mount", "-o", f"remount,size={ROOM}k", self.folder], check=True, capture_output=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.folder], check=True, capture_output=True)


def exhaustion(setting: Setting) -> Iterator[str]:
    """Let the device's memory run out at a tile; let the disk be full during checkpoints, pictures and packed crops."""
    try:
        Disk(setting.folder / "probe", 100).close()
        kinds = (_memory, _memory, _Training(setting), _memory, _memory, _Pictures(setting), _memory, _Crops(setting))
    except (OSError, subprocess.CalledProcessError):
        setting.notes.append("Full disks were not tried, because this user may not mount a small disk.")
        kinds = (_memory,)
    for number, attempt in zip(range(setting.tries), itertools.cycle(kinds), strict=False):
        yield attempt(setting, number)


def _memory(setting: Setting, number: int) -> str:
    """A program that fails from its k-th call on for canvases of more than some side."""
    module = setting.rng.choice(NETWORKS)
    generator = trained(module, 0)
    size = setting.rng.randrange(1, 90), setting.rng.randrange(1, 90)
    lr = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
    first, largest, calls = setting.rng.randrange(1, 6), setting.rng.choice((0, 40, 64)), itertools.count(1)
    expected = Upscaler(generator)(lr)
    original = upscaler.compile_enlarge

    def limited(mesh):
        def run(variables, features, windows, *arguments, **keywords):
            if next(calls) >= first and windows.shape[1] > largest:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
            return original(mesh)(variables, features, windows, *arguments, **keywords)

        return run

    upscaler.compile_enlarge = limited
    try:
        off = np.abs(Upscaler(generator, tile=32)(lr).astype(int) - expected)
    except upscaler.InputError as error:
        return "" if "does not hold even a tile" in str(error) and not largest else f"memory: {error}"
    finally:
        upscaler.compile_enlarge = original
    # Tiles and whole pictures may fall on two sides of the middle between two levels; see the campaign tiles.
    return "" if off.max() <= 1 and (off > 0).mean() < 1000 * ROUNDING else f"memory, {size}: it differs by {off.max()}"


class _Attempt:
    """A command whose output does not fit on the disk, and then does."""

    smallest, largest = 50, 500  # KiB of the disk
    statuses: tuple[int, ...] = (2,)

    def __init__(self, setting: Setting) -> None:
        self.folder = setting.folder
        self.inputs = setting.folder / f"inputs of {type(self).__name__}"
        self.prepare()
        self.reference = self.folder / f"reference of {type(self).__name__}"
        complaint = self.start(self.reference).end().complaint(0)
        if complaint:
            raise RuntimeError(f"{type(self).__name__} fails on a large disk: {complaint}")

    def prepare(self) -> None: ...

    def start(self, out: pathlib.Path) -> programs.Program: ...

    def check(self, out: pathlib.Path, *, complete: bool) -> str: ...

    def __call__(self, setting: Setting, number: int) -> str:
        disk = Disk(setting.folder / f"disk{number}", setting.rng.randrange(self.smallest, self.largest))
        out = disk.folder / "out"
        try:
            ended = self.start(out).end()
            complaint = ended.complaint(0, *self.statuses) or self.check(out, complete=ended.status == 0)
            if not complaint:
                disk.grow()
                complaint = self.start(out).end().complaint(0) or self.check(out, complete=True)
                complaint = complaint and f"once there is room: {complaint}"
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                disk.close()
        return complaint and f"{type(self).__name__.strip('_').lower()}, full disk: {complaint}"


class _Training(_Attempt):
    smallest, largest = 200, 1600

    def start(self, out):
        return programs.train(out, CHANGES, one_core=True)

    def check(self, out, *, complete):
        if not complete:
            return ""
        ours, theirs = (self._manifests(workdir) for workdir in (out, self.reference))
        return "" if ours == theirs else "the generator in the end is another one"

    def _manifests(self, workdir):
        from srgan_jax import generators  # it starts JAX

        return generators.load(workdir / "checkpoints" / str(STEPS)).sha256()


def _files(folder: pathlib.Path, wanted: Callable[[pathlib.Path], bool] = lambda path: True) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and wanted(path))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


class _Pictures(_Attempt):
    smallest, largest = 20, 300
    statuses = (1, 2)

    def prepare(self):
        self.inputs.mkdir()
        for number in range(6):
            pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(self.inputs / f"{number}.png")
        self.ckpt = write_bicubic_network(self.folder / "bicubic.safetensors")

    def start(self, out):
        return programs.Program("upscale.py", self.inputs, "-o", out, "--ckpt", self.ckpt, "--resume")

    def check(self, out, *, complete):
        found, expected = _files(out), _files(self.reference)
        if any(found[name] != expected.get(name) for name in found):
            return f"{next(name for name in found if found[name] != expected.get(name))} is not whole"
        return "" if not complete or found.keys() == expected.keys() else "pictures are missing"


class _Crops(_Attempt):
    smallest, largest = 70, 700

    def prepare(self):
        write_pictures(self.inputs, 40, seed=1)

    def start(self, out):
        source = f"folder:{self.inputs}"
        arguments = ["--source", source, "--size", 8, "--shard-size", 5, "--workers", 1, "--out", out / "crops"]
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        (self.folder / "tmp").mkdir()
        return programs.Program("-m", "srgan_jax.data.crops", *arguments, TMPDIR=str(self.folder / "tmp"))

    def check(self, out, *, complete):
        def is_final(path):
            return "array_record" in path.name and ".partial" not in path.parts

        found, expected = (_files(folder / "crops", is_final) for folder in (out, self.reference))
        if any(found[name] != expected.get(name) for name in found):
            return "a shard is not whole"
        return "" if not complete or found.keys() == expected.keys() else "shards are missing"
