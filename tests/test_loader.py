"""The loader: batches are pure functions of (seed, step), crops are exact, unusable pictures are replaced."""

import hashlib
import logging
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from srgan_jax.commands import crops
from srgan_jax.data.loader import CropLoader
from srgan_jax.data.prefetching import prefetch
from srgan_jax.data.sources import FolderSource
from srgan_jax.images import ImageError

SCALE, CROP = 4, 16
MARGIN = 2 * SCALE
DIGESTS = {
    "image": "b304a07184ca1f31fc2d4edb24488e50b4aaa9cac2698cb4237d9a211a5086f8",
    "area": "41e06eda9b7dfb9af87c438deb9f5c5f6f2beb1feac79aff21d0908bc9fd2623",
}
SAMPLINGS = pytest.mark.parametrize("sampling", ["image", "area"])


class FakeSource:
    """Pictures whose first channel is their index; those in `broken` cannot be read."""

    raw = False

    def __init__(self, count, *, broken=(), small=()):
        rng = np.random.default_rng(0)
        self.sizes = [tuple(rng.integers(CROP, 40, 2).tolist()) for _ in range(count)]
        for index in small:
            self.sizes[index] = (CROP - 1, 30)
        self.broken, self.reads = set(broken), []

    def __len__(self):
        return len(self.sizes)

    def name(self, index):
        return f"picture{index}"

    def size(self, index):
        return self.sizes[index]

    def identity(self, index):
        return self.name(index)

    def __getitem__(self, index):
        self.reads.append(index)
        if index in self.broken:
            raise ImageError(f"{self.name(index)}: cannot be read.")
        pixels = np.random.default_rng(index).integers(0, 256, (*self.sizes[index], 3), np.uint8)
        pixels[..., 0] = index
        return pixels


def make(source, *, batch_size=8, **options):
    return CropLoader(source, **({"batch_size": batch_size, "crop_size": CROP, "scale": SCALE, "seed": 1} | options))


def images_of(batch):
    return batch["hr"][:, 0, 0, 0].tolist()


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])


@SAMPLINGS
@pytest.mark.parametrize("count", [3, 8, 21])
def test_a_batch_is_a_pure_function_of_seed_and_step(sampling, count):
    source = FakeSource(count, broken=[1], small=[2])
    first = {step: make(source, sampling=sampling).batch(step) for step in range(7)}
    again = make(source, sampling=sampling, cache_mb=0)
    for step in reversed(range(7)):
        assert_same(first[step], again.batch(step))
        assert first[step]["hr"].dtype == np.uint8 and first[step]["turn"].dtype == np.int32
        for shards in (2, 4, 8):
            parts = [make(source, sampling=sampling).batch(step, shard=(part, shards)) for part in range(shards)]
            assert_same(first[step], {key: np.concatenate([part[key] for part in parts]) for key in parts[0]})
    other = make(source, sampling=sampling, seed=2)
    assert any((first[step]["hr"] != other.batch(step)["hr"]).any() for step in range(7))


def digest(batches):
    return hashlib.sha256(b"".join(batch["hr"].tobytes() + batch["turn"].tobytes() for batch in batches)).hexdigest()


@SAMPLINGS
def test_bytes_are_those_of_earlier_versions(sampling):
    """So that a run goes on as it would have, after an update too; across two ends of an epoch."""
    loader = make(FakeSource(21, broken=[1], small=[2]), sampling=sampling)
    assert digest(map(loader.batch, range(7))) == DIGESTS[sampling]


PROCESS = """
import hashlib, sys
from srgan_jax.data import loader, prefetching, sources
path, start, stop, shard, shards, workers = sys.argv[1], *map(int, sys.argv[2:])
crops = loader.CropLoader(sources.TfdsSource("crops", split="train", data_dir=path), batch_size=8, crop_size=16,
                          scale=4, seed=1)
for step, batch, _ in prefetching.prefetch(crops, start, stop, shard=(shard, shards), workers=workers):
    for row, turn in zip(batch["hr"], batch["turn"], strict=True):
        print(hashlib.sha256(row.tobytes() + turn.tobytes()).hexdigest())
"""


def test_processes_workers_and_restarts_read_the_same_packed_crops(tmp_path):
    """Two processes that begin in the middle of an epoch read, together, what one reads from the start."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 44, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    crops.main(
        f"--source folder:{photos} --per-image 5 --size 32 --shard-size 10 --workers 1 --out {tmp_path}/crops".split()
    )

    def rows(*arguments):
        command = [sys.executable, "-c", PROCESS, str(tmp_path), *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=pathlib.Path(__file__).parents[1])

    processes = [rows(0, 9, 0, 1, 1), rows(2, 9, 0, 2, 3), rows(2, 9, 1, 2, 2)]  # epochs are of three steps
    whole, first, second = (process.communicate()[0].split() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0] and len(whole) == 72
    joined = [row for step in range(7) for part in (first, second) for row in part[4 * step : 4 * step + 4]]
    assert joined == whole[16:]


def test_a_shard_reads_only_its_own_pictures():
    source = FakeSource(40)
    batch = make(source).batch(0, shard=(1, 4))
    assert batch["hr"].shape == (2, CROP + 2 * MARGIN, CROP + 2 * MARGIN, 3) and batch["turn"].shape == (2,)
    assert sorted(source.reads) == sorted(images_of(batch))


def test_batches_do_not_share_memory():
    loader = make(FakeSource(9))
    before = loader.batch(0)
    before["hr"][:] = 0
    assert loader.batch(0)["hr"].any()


@SAMPLINGS
@pytest.mark.parametrize("broken", [(), (0, 5), range(2, 13)])
def test_pictures_of_a_batch_are_distinct_where_there_are_enough(sampling, broken):
    """Also where so many are unusable that a slot has no usable candidate of its own."""
    source = FakeSource(21, broken=broken)
    loader = make(source, sampling=sampling)
    for step in range(12):
        chosen = images_of(loader.batch(step))
        assert len(set(chosen)) == 8 and not set(chosen) & set(broken)


def test_fewer_pictures_than_slots_are_used_evenly():
    for step in range(5):
        counts = np.bincount(images_of(make(FakeSource(3)).batch(step)), minlength=3)
        assert counts.sum() == 8 and counts.max() - counts.min() <= 1


def test_an_epoch_shows_every_picture_once():
    loader = make(FakeSource(24))
    epochs = [[index for step in range(3 * epoch, 3 * epoch + 3) for index in images_of(loader.batch(step))]
              for epoch in range(3)]  # fmt: skip
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_sampling_by_area_prefers_large_pictures():
    source = FakeSource(10)
    source.sizes = [(16, 16)] * 5 + [(32, 32)] * 5
    loader = make(source, batch_size=1, sampling="area")
    large = np.mean([images_of(loader.batch(step))[0] >= 5 for step in range(1000)])
    assert abs(large - 0.8) < 0.05


def test_crops_are_slices_of_the_mirrored_picture_on_the_grid():
    source = FakeSource(6)
    loader, corners = make(source, batch_size=6), set()
    for step in range(40):
        for index, crop in zip(images_of(batch := loader.batch(step)), batch["hr"], strict=True):
            height, width = (side // SCALE * SCALE for side in source.sizes[index])
            pad = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
            padded = np.pad(source[index][:height, :width], pad, mode="symmetric")
            places = [
                (y, x)
                for y in range(0, height - CROP + 1, SCALE)
                for x in range(0, width - CROP + 1, SCALE)
                if np.array_equal(crop, padded[y : y + CROP + 2 * MARGIN, x : x + CROP + 2 * MARGIN])
            ]
            assert len(places) == 1
            corners |= {(places[0][0] == 0, places[0][0] == height - CROP)}
    assert {(True, False), (False, True)} <= corners  # both borders are reached


def test_all_turns_are_drawn_and_none_without_augmentation():
    source = FakeSource(8)
    turns = np.concatenate([make(source).batch(step)["turn"] for step in range(20)])
    assert set(turns.tolist()) == set(range(8))
    plain = [make(source, augment=False).batch(step) for step in range(3)]
    assert not any(batch["turn"].any() for batch in plain)
    assert_same({"hr": plain[2]["hr"]}, {"hr": make(source).batch(2)["hr"]})


@SAMPLINGS
def test_unusable_files_are_reported_once_by_name_and_replaced(tmp_path, caplog, sampling):
    rng = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / f"{number}.jpg")
    (tmp_path / "2.jpg").write_bytes((tmp_path / "2.jpg").read_bytes()[:900])
    (tmp_path / "4.jpg").write_text("no picture")
    Image.new("RGB", (CROP - 1, 64)).save(tmp_path / "6.png")
    loader = make(FolderSource(tmp_path), batch_size=5, sampling=sampling)
    with caplog.at_level(logging.WARNING, "srgan_jax"):
        batches = [loader.batch(step) for step in range(9)]
    assert set(loader.skipped) == {"2.jpg", "4.jpg", "6.png"}
    if sampling == "image":  # by area, headers are read before the capture begins
        assert sorted(record.getMessage().split(": ")[1] for record in caplog.records) == ["2.jpg", "4.jpg", "6.png"]
    assert f"15x64 pixels are too few for a crop of {CROP}x{CROP}" in loader.skipped["6.png"]
    for step, batch in enumerate(batches):
        assert len({crop.tobytes() for crop in batch["hr"]}) == 5
        assert_same(batch, make(FolderSource(tmp_path), batch_size=5, sampling=sampling).batch(step))


@SAMPLINGS
def test_no_usable_picture_is_an_error(sampling):
    loader = make(FakeSource(11, broken=range(5), small=range(5, 11)), sampling=sampling)
    with pytest.raises(ValueError, match=r"none of the 11 images .* picture0: cannot be read"):
        loader.batch(0)


def test_the_cache_keeps_recent_pictures_within_its_bytes():
    source = FakeSource(8)
    loader = make(source)
    for step in range(4):
        loader.batch(step)
    assert sorted(source.reads) == list(range(8))
    limited = make(FakeSource(8), cache_mb=0.02)
    for step in range(4):
        limited.batch(step)
        assert (
            0 < sum(image.nbytes for image in limited._cache._images.values()) == limited._cache._bytes <= 0.02 * 2**20
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_size": 18}, r"crop_size must be a multiple of scale=4, got 18; try 16\."),
        ({"crop_size": 2}, "crop_size must be at least 4, got 2"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"sampling": "size"}, "sampling must be one of image, area, got 'size'"),
    ],
)
def test_bad_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(FakeSource(2), **options)


def test_empty_sources_and_uneven_shards_are_refused():
    with pytest.raises(ValueError, match="number of pictures must be at least 1"):
        make(FakeSource(0))
    with pytest.raises(ValueError, match="batch_size=8 must be a multiple of the 3 processes"):
        make(FakeSource(2)).batch(0, shard=(0, 3))


def data_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("srgan-data")]


@pytest.mark.parametrize(("workers", "depth"), [(1, 1), (3, 5), (4, 100)])
def test_prefetch_gives_the_same_batches_in_order(workers, depth):
    source = FakeSource(21, broken=[3])
    loader = make(source, cache_mb=0.02)
    steps = []
    for step, batch, waited in prefetch(loader, 5, 25, shard=(1, 2), workers=workers, depth=depth):
        assert_same(batch, make(source).batch(step, shard=(1, 2)))
        assert waited >= 0
        steps.append(step)
    assert steps == list(range(5, 25)) and not data_threads()
    assert not list(prefetch(loader, 5, 5))


def test_prefetch_raises_errors_and_stops_its_threads():
    loader = make(FakeSource(9))

    def place(batch, step):
        if (batch["hr"] == loader.batch(3)["hr"]).all():
            raise RuntimeError("the device is full")
        return batch["turn"]

    seen = []
    with pytest.raises(RuntimeError, match="the device is full"):
        for step, turn, _ in prefetch(loader, 0, 1000, place=place):
            seen.append(step)
            np.testing.assert_array_equal(turn, loader.batch(step)["turn"])
    assert seen == [0, 1, 2] and not data_threads()
    batches = prefetch(loader, 0, 10**9)
    next(batches)
    assert data_threads()
    batches.close()
    assert not data_threads()
