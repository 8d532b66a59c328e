"""Hostile files of weights, run directories and names in reports."""

import contextlib
import io
import json
import os
import pathlib
import pickle
import shutil
from collections.abc import Iterator

import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from srgan_jax import evaluation, generators
from srgan_jax.errors import InputError
from srgan_jax.weights import arrays
from tests.reliability.campaign import Setting
from tests.reliability.checkpoints import apply_damage
from tests.reliability.pictures import mutated
from tests.tiny import write_bicubic_network, write_tiny_run

VALUES = ("", "null", "[]", "{}", "0", "-1", "1e400", "NaN", "true", '"x"', "[[]]", '{"a": 1}', "9" * 5000, "[" * 9999)
FIELDS = (None, [], {}, 0, -1, 1.5, True, "", "srresnet", 10**30, 1024)


class Canary:
    """An object that, if it is unpickled, makes a folder."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.makedirs, (str(self.path),)


def weights(setting: Setting) -> Iterator[str]:
    """Read mutated and made-up files of all formats, damaged run directories, and reports on pictures of odd names."""
    release = write_bicubic_network(setting.folder / "sound.safetensors")
    expected, run = generators.load(release).sha256(), write_tiny_run(setting.folder / "run")
    canary, plain = setting.folder / "canary", _plain_files(setting)
    attempts = (
        lambda path: _mutated_release(setting, release, path, expected),
        lambda path: _odd_header(setting, release, path),
        lambda path: _mutated_file(setting, plain, path),
        lambda path: _pickle(setting, canary, path),
        lambda path: _odd_run(setting, run, path),
    )
    refused = 0
    for number in range(setting.tries):
        attempt = _report if number % 50 == 49 else attempts[number % len(attempts)]
        path = setting.folder / f"{number}.safetensors"
        try:
            complaint = attempt(path)
        except InputError as error:
            refused += 1
            complaint = "" if str(error).isprintable() else f"the message is no printable line: {error}"
        except Exception as error:
            complaint = f"{type(error).__name__}: {error}"
        for left in setting.folder.glob(f"{number}.*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if canary.exists():
            complaint = "code in the file was run"
            canary.rmdir()
        yield complaint and f"try {number}: {complaint}"
    setting.notes.append(f"{refused:,} of {setting.tries:,} files and folders were refused; the others could be read.")


def _mutated_release(setting: Setting, release: pathlib.Path, path: pathlib.Path, expected: str) -> str:
    path.write_bytes(mutated(release.read_bytes(), setting.rng))
    same = generators.load(path).sha256() == expected
    return "" if same else "other arrays were read, and nothing was said"


def _odd_header(setting: Setting, release: pathlib.Path, path: pathlib.Path) -> str:
    """A release without digests, as anybody can make one, whose header has an odd entry."""
    with safe_open(release, "np") as file:
        header = {key: value for key, value in file.metadata().items() if "sha256" not in key}
    key = setting.rng.choice([*header, "config", "evaluation", "step", "consistent", "info", "sha256"])
    if key == "architecture":
        architecture = json.loads(header[key])
        architecture[setting.rng.choice([*architecture, "parent", "name", "x"])] = setting.rng.choice(FIELDS)
        header[key] = json.dumps(architecture)
    else:
        header[key] = setting.rng.choice(VALUES)
    save_file(load_file(release), path, metadata=header)
    generators.load(path)
    return ""


def _plain_files(setting: Setting) -> dict[str, bytes]:
    """Return sound files of arrays, by extension; those of h5py and PyTorch where these are installed."""
    values = {"a": np.arange(60, dtype=np.float32).reshape(3, 20), "b": np.ones(5, np.float32)}
    path, npz = setting.folder / "plain", io.BytesIO()
    save_file(values, path)
    np.savez_compressed(npz, **values)
    files = {".safetensors": path.read_bytes(), ".npz": npz.getvalue()}
    with contextlib.suppress(ImportError):
        import h5py

        with h5py.File(path, "w") as file:
            for name, value in values.items():
                file[name] = value
        files[".h5"] = path.read_bytes()
    with contextlib.suppress(ImportError):
        import torch

        torch.save({name: torch.from_numpy(value) for name, value in values.items()}, path)
        files[".pth"] = path.read_bytes()
    return files


def _mutated_file(setting: Setting, plain: dict[str, bytes], path: pathlib.Path) -> str:
    extension = setting.rng.choice(list(plain))
    path = path.with_suffix(extension)
    path.write_bytes(mutated(plain[extension], setting.rng))
    arrays.read_arrays(path)
    return ""


def _pickle(setting: Setting, canary: pathlib.Path, path: pathlib.Path) -> str:
    """An object that runs code, as a file of every format that could hold pickles."""
    extension = setting.rng.choice((".pth", ".pt", ".npz", ".safetensors", ".h5"))
    path = path.with_suffix(extension)
    value = {"a": Canary(canary), "state_dict": [Canary(canary)]}
    if extension == ".npz" and setting.rng.random() < 0.8:
        with path.open("wb") as file:
            np.savez(file, a=np.array([Canary(canary)], dtype=object))
    else:
        path.write_bytes(pickle.dumps(value, protocol=setting.rng.randrange(6)))
    arrays.read_arrays(path)
    return "a pickle was read"


def _odd_run(setting: Setting, run: pathlib.Path, path: pathlib.Path) -> str:
    """A run directory with a damaged or rewritten file, and no manifest that would tell."""
    workdir = path.with_suffix(".run")
    shutil.copytree(run, workdir)
    checkpoint = workdir / "checkpoints" / "4"
    (checkpoint / "manifest.json").unlink()
    files = [file for file in sorted(checkpoint.rglob("*")) if file.is_file() and file.stat().st_size]
    file = setting.rng.choice(files)
    if setting.rng.random() < 0.4:
        file = checkpoint / setting.rng.choice(("config/metadata", "metrics/metrics"))
        file.write_text(setting.rng.choice(VALUES))
    else:
        apply_damage(file, setting.rng.choice(("truncated", "emptied", "deleted")), setting.rng)
    generators.load(workdir)
    return ""


NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a\x1b[31mb",
    "javascript:alert(1)",
    "\udcff",
    "a&b",
)


def _report(path: pathlib.Path) -> str:
    """A report on pictures whose names are markup; they must stand in it as text alone."""
    folder, out = path.with_suffix(".photos"), path.with_suffix(".out")
    folder.mkdir()
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        image = io.BytesIO()
        Image.fromarray(pixels).save(image, "PNG")
        (folder / f"{name.replace('/', '∕')}.png").write_bytes(image.getvalue())
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate_and_report(
            "bicubic", [f"set={folder}"], out, protocols=["matlab"], metrics=["psnr"], report=out / "page"
        )
    text = (out / "page" / "index.html").read_text(encoding="utf-8")
    raw = [name for name in ("<script>alert", "<img src=x", "\x1b") if name in text]
    outside = [file for file in path.parent.glob(f"{path.stem}.*") if file.suffix not in (".photos", ".out")]
    return f"{raw[0]!r} stands in the report" if raw else f"{outside[0]} was written" if outside else ""
