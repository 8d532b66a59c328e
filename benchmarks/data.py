"""Crops per second that the host makes ready: ours, and the ways that are usual with PyTorch, over the same pictures.

SR_DATA=... python -m benchmarks.data --photos $SR_DATA/data/train/BSDS400 --write benchmarks/data.md

Every way gives batches of 16 random crops of 96x96 pixels with random flips and turns, RGB, uint8. Ours leave the flips
and turns to the accelerator and carry the margin that the LR image needs; PyTorch's make no LR image, which is in their
favour. The ways take turns, round by round; medians. Files are in the page cache after the first round, as they are on
a machine with enough memory: no disk is measured. Keep the machine idle.

Needs requirements-torch.txt and requirements-bench.txt.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import pathlib
import statistics
import tempfile
import time

import numpy as np
import torch
from PIL import Image

from benchmarks.common import machine
from srgan_jax.commands.crops import run as run_crops
from srgan_jax.data import sources
from srgan_jax.data.loader import CropLoader
from srgan_jax.data.prefetching import prefetch

BATCH, CROP, SCALE, PACKED = 16, 96, 4, 192
PACKAGES = ("torch", "lmdb", "numpy", "pillow", "array_record", "tensorflow-datasets", "jax")  # named on the page


# What is compared: name -> a maker of endless batches, from (directory of the prepared files, worker threads or
# processes; 0: this thread alone).


def our_batches(source: sources.Source, workers: int):
    # No picture is kept in memory, as with more pictures than memory holds.
    loader = CropLoader(source, batch_size=BATCH, crop_size=CROP, scale=SCALE, seed=0, cache_mb=0)
    if not workers:
        return (loader.batch(step) for step in itertools.count())
    return (batch for _, batch, _ in prefetch(loader, 0, 10**9, workers=workers, depth=4 * workers))


class SubImages(torch.utils.data.Dataset):
    """Random crops, flipped and turned, of pictures that `read(index)` gives as uint8 [H, W, 3]."""

    def __init__(self, reader, path):
        self.reader, self.path = reader, path
        self.length = len(reader(path))
        self.pictures = None  # opened by the process that reads: LMDB must not be open across a fork

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.pictures = self.pictures or self.reader(self.path)
        image = self.pictures[index]
        y, x = (int(torch.randint((side - CROP) // SCALE + 1, ())) * SCALE for side in image.shape[:2])
        crop = image[y : y + CROP, x : x + CROP]
        flip, flop, transpose = torch.randint(2, (3,)).tolist()
        crop = crop[:: -1 if flip else 1, :: -1 if flop else 1]
        crop = crop.transpose(1, 0, 2) if transpose else crop
        return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))


class PngFolder:
    def __init__(self, path):
        self.paths = sorted(path.glob("*.png"))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return np.asarray(Image.open(self.paths[index]))


class Lmdb:
    def __init__(self, path, decode):
        import lmdb

        self.environment = lmdb.open(os.fspath(path), readonly=True, lock=False, readahead=False)
        self.decode = decode

    def __len__(self):
        return self.environment.stat()["entries"]

    def __getitem__(self, index):
        with self.environment.begin(buffers=True) as transaction:
            return self.decode(transaction.get(b"%08d" % index))


def png_lmdb(path):
    return Lmdb(path, lambda value: np.asarray(Image.open(io.BytesIO(value))))


def raw_lmdb(path):
    return Lmdb(path, lambda value: np.frombuffer(value, np.uint8).reshape(PACKED, PACKED, 3))


def torch_batches(reader, path, workers):
    dataset = SubImages(reader, path)
    sampler = torch.utils.data.RandomSampler(dataset, replacement=True, num_samples=10**9)
    options = {"prefetch_factor": 4} if workers else {}
    return iter(torch.utils.data.DataLoader(dataset, BATCH, sampler=sampler, num_workers=workers, **options))


def tfds_source(directory, name):
    return sources.TfdsSource(name, split="train", data_dir=directory)


WAYS = {
    "ours, packed crops": lambda directory, workers: our_batches(tfds_source(directory, "packed"), workers),
    "ours, TFDS of JPEGs": lambda directory, workers: our_batches(tfds_source(directory, "jpegs"), workers),
    "ours, folder of JPEGs": lambda directory, workers: our_batches(sources.FolderSource(directory / "jpeg"), workers),
    "PyTorch, folder of PNG sub-images": lambda directory, workers: torch_batches(
        PngFolder, directory / "png", workers
    ),
    "PyTorch, LMDB of PNG sub-images": lambda directory, workers: torch_batches(png_lmdb, directory / "lmdb", workers),
    "PyTorch, LMDB of raw sub-images": lambda directory, workers: torch_batches(raw_lmdb, directory / "raw", workers),
}
BASELINE = "PyTorch, folder of PNG sub-images"


def prepare(photos: pathlib.Path, directory: pathlib.Path, *, count: int) -> None:
    """Write the same pictures in every form: the photographs as JPEG; crops of them packed, as PNG, and in LMDB."""
    import lmdb
    import tensorflow_datasets as tfds

    pictures = sources.FolderSource(photos)
    per_image = -(-count // len(pictures))
    run_crops(
        f"--source folder:{photos} --size {PACKED} --count {count} --per-image {per_image} "
        f"--out {directory}/packed".split()
    )
    packed = tfds_source(directory, "packed")
    environments = {name: lmdb.open(os.fspath(directory / name), map_size=2**36) for name in ("lmdb", "raw")}
    (directory / "png").mkdir()
    for index in range(len(packed)):
        path, key = directory / "png" / f"{index:08d}.png", b"%08d" % index
        Image.fromarray(packed[index]).save(path)
        for name, value in (("lmdb", path.read_bytes()), ("raw", packed[index].tobytes())):
            with environments[name].begin(write=True) as transaction:
                transaction.put(key, value)
    for environment in environments.values():
        environment.close()

    (directory / "jpeg").mkdir()
    for index in range(len(pictures)):
        Image.fromarray(pictures[index]).save(directory / "jpeg" / f"{index:08d}.jpg", quality=95)
    info_directory = directory / "jpegs" / "1.0.0"
    info_directory.mkdir(parents=True)
    identity = tfds.core.dataset_info.DatasetIdentity(
        name="jpegs", version=tfds.core.Version("1.0.0"), data_dir=str(info_directory), module_name=""
    )
    info = tfds.core.DatasetInfo(
        builder=identity, features=tfds.features.FeaturesDict({"image": tfds.features.Image()})
    )
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=1000, file_format="array_record")
    writer.initialize_splits(["train"])
    for path in sorted((directory / "jpeg").iterdir()):
        writer.add_examples({"train": [{"image": io.BytesIO(path.read_bytes())}]})
    writer.close_all()


def rate(batches, seconds: float) -> float:
    """Return the crops per second, after the first batches."""
    with contextlib.closing(batches) if hasattr(batches, "close") else contextlib.nullcontext():
        for _ in range(8):
            next(batches)
        start, made = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds:
            made += len(batch["hr"] if isinstance(batch := next(batches), dict) else batch)
        return made / elapsed


def measure(directory, *, workers: int, rounds: int, seconds: float) -> dict[tuple[str, int], float]:
    """Return the medians over the rounds, of (way, workers)."""
    rates = {(name, count): [] for name in WAYS for count in (0, workers)}
    for _ in range(rounds):
        for (name, count), values in rates.items():
            values.append(rate(WAYS[name](directory, count), seconds))
    return {key: statistics.median(values) for key, values in rates.items()}


def train(directory, *, config_file: str, steps: int, workers: int) -> str:
    """Train for some steps from packed crops, and return what the run says of its waiting once it is compiled."""
    import importlib

    import jax

    from srgan_jax.training import loop

    config = importlib.import_module(config_file.removesuffix(".py").replace("/", ".")).get_config()
    config.num_steps, config.log_every, config.eval_every, config.save_every = steps, steps // 4, 0, 0
    config.data.source, config.data.path, config.data.name = "tfds", str(directory), "packed"
    config.data.workers, config.data.holdout = workers, 0.0
    loop.train(config, directory / "run")
    lines = [json.loads(line) for line in (directory / "run" / "metrics.jsonl").read_text().splitlines()][1:]
    wait, speed = (statistics.median(line[name] for line in lines) for name in ("data/wait_share", "images_per_second"))
    return (
        f"`{config_file}` from packed crops, {config.batch_size} crops of {config.data.crop_size} a step, on "
        f"{jax.devices()[0].device_kind}: {speed:.0f} crops/s, of the time {wait:.2%} waiting for them "
        f"(`images_per_second`, `data/wait_share`)."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, type=pathlib.Path, help="folder of photographs")
    parser.add_argument("--count", type=int, default=2000, help="packed crops")
    parser.add_argument("--workers", type=int, default=2, help="threads (ours), processes (PyTorch)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement")
    parser.add_argument("--config", default="configs/demo.py", help="of the training run")
    parser.add_argument("--steps", type=int, default=40, help="of the training run")
    parser.add_argument("--write", type=pathlib.Path, help="put the table into this file, between its marks")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        prepare(arguments.photos, directory, count=arguments.count)
        load = os.getloadavg()[0]
        rates = measure(directory, workers=arguments.workers, rounds=arguments.rounds, seconds=arguments.seconds)
        training = train(directory, config_file=arguments.config, steps=arguments.steps, workers=arguments.workers)

    columns = (0, arguments.workers)
    lines = [f"| crops/s (× {BASELINE}) | 1 thread | {arguments.workers} workers |", "|---|---|---|"]
    for name in WAYS:
        cells = (f"{rates[name, n]:,.0f} ({rates[name, n] / rates[BASELINE, n]:.2f})" for n in columns)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", training, "", f"{machine(*PACKAGES)}. Load average at the start: {load:.1f}."]
    table = "\n".join(lines)
    print(table)
    if arguments.write:
        head, _, rest = arguments.write.read_text().partition("<!-- table -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        arguments.write.write_text(f"{head}<!-- table -->\n{table}\n{end}{tail}")


if __name__ == "__main__":
    main()
