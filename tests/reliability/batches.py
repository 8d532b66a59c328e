"""Batches of training, made by any number of threads, processes and restarts."""

import contextlib
import hashlib
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from srgan_jax.data import fingerprint
from srgan_jax.data.loader import CropLoader
from srgan_jax.data.prefetching import prefetch
from srgan_jax.data.sources import FolderSource
from tests.reliability.campaign import Setting
from tests.reliability.checkpoints import hearing

BATCH, CROP, SCALE = 4, 8, 4
LAPS = 10  # one lap in so many also changes the folder


def _loader(folder: pathlib.Path, sampling: str) -> CropLoader:
    return CropLoader(
        FolderSource(folder), batch_size=BATCH, crop_size=CROP, scale=SCALE, seed=7, sampling=sampling, cache_mb=0.05
    )


def _digest(*batches: dict[str, np.ndarray]) -> str:
    """Return the digest of a batch that consists of the rows of some others."""
    parts = [np.concatenate([batch[name] for batch in batches]).tobytes() for name in ("hr", "turn")]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def write_pictures(folder: pathlib.Path, count: int, seed: int) -> None:
    """Write small pictures; every seventh cannot be used."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for number in range(count):
        height, width = rng.integers(10, 40, 2)
        path = folder / f"{number:03d}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path)
        if number % 7 == 3:
            path.write_bytes(path.read_bytes()[:60])


def batches(setting: Setting) -> Iterator[str]:
    """Compare the digests of batches with those that one thread of one process makes in one go."""
    folder, made = setting.folder / "pictures", 0
    write_pictures(folder, 40, seed=setting.rng.randrange(1 << 30))
    expected: dict[tuple[str, int], str] = {}
    with hearing():
        while made < setting.tries:
            if setting.rng.randrange(LAPS) == 0:
                made += 1
                yield _changed(setting, folder)
                continue
            sampling = setting.rng.choice(("image", "area"))
            start, length = setting.rng.randrange(200), setting.rng.randrange(1, 60)
            length = min(length, setting.tries - made)
            workers, count = setting.rng.randrange(1, 5), setting.rng.choice((1, 2, 4))
            reference = _loader(folder, sampling)
            for step in range(start, start + length):
                if (sampling, step) not in expected:
                    expected[sampling, step] = _digest(reference.batch(step))
            with contextlib.ExitStack() as stack:
                processes = []
                for index in range(count):
                    stream = prefetch(
                        _loader(folder, sampling), start, start + length, shard=(index, count), workers=workers
                    )
                    processes.append(stack.enter_context(contextlib.closing(stream)))
                for parts in zip(*processes, strict=True):
                    made += 1
                    step = parts[0][0]
                    same = _digest(*(batch for _, batch, _ in parts)) == expected[sampling, step]
                    yield "" if same else f"{sampling}, step {step}, {count} processes of {workers} threads: it differs"


def _changed(setting: Setting, folder: pathlib.Path) -> str:
    """Change the folder between two starts, and back. The change must be named."""
    path = setting.folder / "pictures.json"
    path.unlink(missing_ok=True)
    fingerprint.check_unchanged(path, fingerprint.fingerprint(FolderSource(folder)))
    victim = folder / setting.rng.choice(FolderSource(folder).names)
    kind, sound = setting.rng.choice(("added", "removed", "replaced")), victim.read_bytes()
    changed = folder / "new.png" if kind == "added" else victim
    if kind == "removed":
        victim.unlink()
    else:
        changed.write_bytes(sound + b"\0")
    said = fingerprint.check_unchanged(path, fingerprint.fingerprint(FolderSource(folder)))
    changed.unlink(missing_ok=True)
    victim.write_bytes(sound)
    return "" if f"1 {kind} ({changed.name})" in said else f"{changed.name} was {kind}, and the message is {said!r}"
