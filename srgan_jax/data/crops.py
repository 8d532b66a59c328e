"""Packed crops: a folder or TFDS dataset of pictures -> a TFDS dataset of raw uint8 crops, which reads much faster.

python -m srgan_jax.data.crops --source folder:PHOTOS --size 192 --out DATA/crops192
python -m srgan_jax.data.crops --source tfds:imagenet2012 --count 350000 --size 192 --out DATA/imagenet_crops

Train on it with --config.data.source=tfds --config.data.path=DATA --config.data.name=crops192. The shards are
ArrayRecord files of single uncompressed records; TensorFlow is not needed. A second run of the command goes on from the
whole shards of the first. docs/data.md has the rules and says how to run this on Dataflow, Flink or Spark.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator

import numpy as np
from etils import epath

from srgan_jax import __version__
from srgan_jax.data import sources
from srgan_jax.data.loader import random_stream
from srgan_jax.errors import InputError
from srgan_jax.images import ImageError

VERSION = "1.0.0"  # of the dataset written, as TFDS numbers them
PARTIAL = ".partial"  # folder of what is under way: the plan, the reports of whole shards
RECORDED = ("srgan_jax", "array_record", "numpy", "pillow", "tensorflow-datasets")  # packages, in the manifest

_PICTURES, _PLACE = range(2)  # what a random stream is for


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is written: the same plan gives the same files, whatever the number of workers and restarts.

    Attributes:
      source: "folder:DIR" or "tfds:NAME".
      split, data_dir, feature: of a TFDS source, as for TfdsSource.
      pictures: N, pictures of the source, the unusable ones among them.
      names_sha256: of their names, to notice a source that has changed.
      count: crops.
      size: pixels per side of a crop.
      min_size: pictures whose smaller side has fewer pixels are left out.
      channels: 1 or 3.
      seed: another seed gives other pictures and places.
      shard_size: crops per shard.
      out: DATA/NAME; the dataset is DATA/NAME/1.0.0.
    """

    source: str
    split: str
    data_dir: str
    feature: str
    pictures: int
    names_sha256: str
    count: int
    size: int
    min_size: int
    channels: int
    seed: int
    shard_size: int
    out: str

    @property
    def directory(self) -> epath.Path:
        return epath.Path(self.out) / VERSION

    @property
    def shards(self) -> int:
        return -(-self.count // self.shard_size)

    def shard_length(self, shard: int) -> int:
        return min(self.shard_size, self.count - shard * self.shard_size)

    def to_json(self) -> dict:
        """What the manifest says of it: all but its own place."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "out"}


def create_plan(
    *, source, out, size, split, data_dir, feature, channels, count, per_image, min_size, seed, shard_size
) -> Plan:
    """Look at the source and decide on what is left open.

    Args:
      count: crops; None: `per_image` of every picture.
      per_image: the most crops that one picture gives, unusable pictures' replacements apart.
      min_size: None: `size`.
      The rest are Plan's.

    Raises:
      InputError: a value out of range, or what the source raises.
    """
    min_size = size if min_size is None else min_size
    for name, value, least in (
        ("size", size, 1),
        ("min_size", min_size, size),
        ("per_image", per_image, 1),
        ("seed", seed, 0),
        ("shard_size", shard_size, 1),
        ("count", 1 if count is None else count, 1),
    ):
        if value < least:
            raise InputError(f"{name} must be at least {least}, got {value}.")
    opened = open_source(source, split=split, data_dir=data_dir, feature=feature, channels=channels)
    most = len(opened) * per_image
    count = most if count is None else count
    if count > most:
        raise InputError(
            f"count must be at most {most}, {per_image} of each of the {len(opened)} pictures, got {count}; "
            f"try per_image={-(-count // len(opened))}."
        )
    return Plan(
        source=source,
        split=split,
        data_dir=data_dir,
        feature=feature,
        pictures=len(opened),
        names_sha256=_names_sha256(opened),
        count=count,
        size=size,
        min_size=min_size,
        channels=channels,
        seed=seed,
        shard_size=shard_size,
        out=os.fspath(out),
    )


def open_source(source: str, *, split: str, data_dir: str, feature: str, channels: int) -> sources.Source:
    """The pictures of "folder:DIR" or "tfds:NAME"; the rest as for TfdsSource."""
    kind, _, place = source.partition(":")
    if kind == "folder" and place:
        return sources.FolderSource(place, channels=channels)
    if kind == "tfds" and place:
        return sources.TfdsSource(place, split=split, data_dir=data_dir, feature=feature, channels=channels)
    raise InputError(f"source must be folder:DIRECTORY or tfds:NAME, got {source!r}.")


def _names_sha256(source: sources.Source) -> str:
    digest = hashlib.sha256()
    for index in range(len(source)):
        digest.update(source.name(index).encode() + b"\n")
    return digest.hexdigest()


@functools.lru_cache(maxsize=1)  # a process writes many shards
def _planned_source(plan: Plan) -> sources.Source:
    fields = ("split", "data_dir", "feature", "channels")
    source = open_source(plan.source, **{field: getattr(plan, field) for field in fields})
    if _names_sha256(source) != plan.names_sha256:
        raise InputError(f"{plan.source} does not hold the pictures that it held when the crops were planned.")
    return source


# Which crop comes from which picture. The pictures are put in a random order; the first min(count, N) of it give the
# crops, each as many as the others or one more, and one after the other, so that each is decoded once. So no picture
# gives a second crop before all have given one. What is left of the order replaces unusable pictures.


def rank_of(slot: int, plan: Plan) -> int:
    """The place in the order of the picture that the slot-th crop is cut from."""
    each, more = divmod(plan.count, min(plan.count, plan.pictures))
    head = more * (each + 1)  # crops of the pictures that give one more
    return slot // (each + 1) if slot < head else more + (slot - head) // each


def candidates(rank: int, plan: Plan) -> Iterator[int]:
    """Ranks to try for a picture, best first: itself, spare ones that no other tries so early, any spare one, any."""
    used = min(plan.count, plan.pictures)
    yield from range(rank, plan.pictures, used)
    for start, stop in ((used, plan.pictures), (0, used)):
        yield from (start + (rank + step) % (stop - start) for step in range(stop - start))


def cut_crops(plan: Plan, source: sources.Source, slots: Iterable[int], report: dict) -> Iterator[np.ndarray]:
    """The crops of ascending slots, uint8 [size, size, channels]; one picture is in memory at a time.

    Notes unusable pictures in report["skipped"] (name -> reason) and what took their place in report["replaced"].
    """
    order = random_stream(plan.seed, _PICTURES).permutation(plan.pictures)
    at = None
    for slot in slots:
        if at != (at := rank_of(slot, plan)):
            image = _usable_picture(plan, source, order, at, report)
        y, x = (
            int(place * (side - plan.size + 1))
            for place, side in zip(random_stream(plan.seed, _PLACE, slot).random(2), image.shape, strict=False)
        )
        yield image[y : y + plan.size, x : x + plan.size]


def _usable_picture(plan, source, order, rank, report) -> np.ndarray:
    first = source.name(int(order[rank]))
    for candidate in candidates(rank, plan):
        index = int(order[candidate])
        try:
            image = source[index]
            height, width = image.shape[:2]
            if min(height, width) < plan.min_size:
                raise ImageError(
                    f"{source.name(index)}: {width}x{height} pixels, where the smaller side must have {plan.min_size}."
                )
        except ImageError as error:
            report["skipped"][source.name(index)] = str(error)
            continue
        if candidate != rank:
            report["replaced"][first] = source.name(index)
        return image
    raise InputError(f"none of the {plan.pictures} pictures can be used; one of them: {report['skipped'][first]}")


def _features(plan: Plan):
    import tensorflow_datasets as tfds

    shape = (plan.size, plan.size, plan.channels)
    return tfds.features.FeaturesDict(
        {"image": tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES)}
    )


def _file_template(plan: Plan):
    import tensorflow_datasets as tfds

    return tfds.core.ShardedFileTemplate(
        dataset_name=epath.Path(plan.out).name, data_dir=plan.directory, split="train", filetype_suffix="array_record"
    )


def _report_path(plan: Plan, shard: int) -> epath.Path:
    return plan.directory / PARTIAL / f"{shard:05d}.json"


def _publish(plan: Plan, file: pathlib.Path, path: epath.Path) -> None:
    """Copy a local file so that it is whole once `path` is there: by renaming, and anew should two do so at once."""
    partial = plan.directory / PARTIAL / f"{path.name}.{os.getpid()}.{threading.get_ident()}"
    epath.Path(file).copy(partial, overwrite=True)
    partial.replace(path)


def write_shard(plan: Plan, shard: int) -> int:
    """Write one shard and then its report, which says that it is whole; returns its number of crops."""
    from array_record.python import array_record_module

    source, features, report = _planned_source(plan), _features(plan), {"skipped": {}, "replaced": {}, "bytes": 0}
    start = shard * plan.shard_size
    length = plan.shard_length(shard)
    with tempfile.TemporaryDirectory(prefix="crops-") as scratch:
        file = pathlib.Path(scratch, "shard")
        writer = array_record_module.ArrayRecordWriter(os.fspath(file), "group_size:1,uncompressed")
        for crop in cut_crops(plan, source, range(start, start + length), report):
            record = features.serialize_example({"image": crop})
            writer.write(record)
            report["bytes"] += len(record)
        writer.close()
        path = _file_template(plan).sharded_filepath(shard_index=shard, num_shards=plan.shards)
        _publish(plan, file, path)
        file.write_text(json.dumps(report))
        _publish(plan, file, _report_path(plan, shard))
    return length


def write_metadata(plan: Plan) -> dict:
    """Write the manifest and what TFDS reads, features.json last: there is no dataset without. Returns the manifest."""
    import tensorflow_datasets as tfds

    reports = [json.loads(_report_path(plan, shard).read_text()) for shard in range(plan.shards)]
    manifest = plan.to_json() | {
        field: {name: value for report in reports for name, value in report[field].items()}
        for field in ("skipped", "replaced")
    }
    versions = {name: importlib.metadata.version(name) for name in RECORDED[1:]}
    manifest["versions"] = {RECORDED[0]: __version__} | versions
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=epath.Path(plan.out).name, version=tfds.core.Version(VERSION), data_dir=str(plan.directory), module_name=""
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        features=_features(plan),
        description=f"Crops of {plan.source}, made by srgan_jax.data.crops; see manifest.json.",
    )
    info.set_file_format(tfds.core.FileFormat.ARRAY_RECORD)
    split = tfds.core.SplitInfo(
        name="train",
        shard_lengths=[plan.shard_length(shard) for shard in range(plan.shards)],
        num_bytes=sum(report["bytes"] for report in reports),
        filename_template=_file_template(plan),
    )
    info.set_splits(tfds.core.SplitDict([split]))
    with tempfile.TemporaryDirectory(prefix="crops-") as scratch:
        info.write_to_directory(scratch)
        pathlib.Path(scratch, "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        for file in sorted(pathlib.Path(scratch).iterdir(), key=lambda file: file.name == "features.json"):
            _publish(plan, file, plan.directory / file.name)
    (plan.directory / PARTIAL).rmtree()
    return manifest


def check_out(out: str) -> None:
    import tensorflow_datasets as tfds

    name = epath.Path(out).name
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise InputError(f"out must end in a name of a-z, 0-9 and _, by which TFDS will know it, got {out!r}.")
    if name in tfds.list_builders(with_community_datasets=False):
        raise InputError(f"out must not end in the name of another TFDS dataset, got {out!r}.")


def unfinished(plan: Plan) -> list[int]:
    """Start or resume: the shards that are yet to write, none where the dataset is complete.

    Raises:
      InputError: the directory holds what another plan has written.
    """
    manifest, begun = plan.directory / "manifest.json", plan.directory / PARTIAL / "plan.json"
    complete = (plan.directory / "features.json").exists()
    old = manifest if complete else begun
    if old.exists():
        there = json.loads(old.read_text())
        for name, value in plan.to_json().items():
            if there.get(name) != value:
                raise InputError(
                    f"{plan.directory} holds other crops: {name} is {there.get(name)!r} there and {value!r} now; "
                    "remove it or choose another output."
                )
    elif complete:
        raise InputError(f"{plan.directory} holds another dataset; choose another output.")
    if complete:
        return []
    begun.parent.mkdir(parents=True, exist_ok=True)
    begun.write_text(json.dumps(plan.to_json()))
    return [shard for shard in range(plan.shards) if not _report_path(plan, shard).exists()]


if __name__ == "__main__":
    from srgan_jax.commands.crops import main

    main()
