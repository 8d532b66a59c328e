"""Pack crops: turn a folder or TFDS dataset of pictures into a TFDS dataset of raw uint8 crops, which reads faster.

python -m srgan_jax.data.crops --source folder:PHOTOS --size 192 --out DATA/crops192
python -m srgan_jax.data.crops --source tfds:imagenet2012 --count 350000 --size 192 --out DATA/imagenet_crops

Train on it with --config.data.source=tfds --config.data.path=DATA --config.data.name=crops192. The shards are
ArrayRecord files of single uncompressed records. TensorFlow is not needed. A second run of the command keeps the whole
shards of the first. docs/data.md has the rules and says how to run this on Dataflow, Flink or Spark.
"""

import functools
import importlib.metadata
import json
import os
import pathlib
import re
import tempfile
import threading
from typing import Any

import numpy as np
from etils import epath

from srgan_jax import __version__
from srgan_jax.data import sources
from srgan_jax.data.plans import VERSION, Plan, cut_crops, names_sha256, open_source
from srgan_jax.errors import InputError

PARTIAL = ".partial"  # the folder of a dataset under way, with the plan and the reports of whole shards
RECORDED = ("srgan_jax", "array_record", "numpy", "pillow", "tensorflow-datasets")  # the manifest has their versions


def create_plan(
    *,
    source: str,
    out: str | os.PathLike,
    size: int,
    split: str,
    data_dir: str,
    feature: str,
    channels: int,
    count: int | None,
    per_image: int,
    min_size: int | None,
    seed: int,
    shard_size: int,
) -> Plan:
    """Look at the source, and decide on what the caller leaves open.

    Args:
      source, out, size, split, data_dir, feature, channels, seed, shard_size: as for Plan.
      count: the number of crops; None cuts `per_image` crops out of every picture.
      per_image: the most crops that one picture gives. A picture that replaces an unusable one may give more.
      min_size: as for Plan; None stands for `size`.

    Raises:
      InputError: a value is out of range, or the source cannot be opened.
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
        names_sha256=names_sha256(opened),
        count=count,
        size=size,
        min_size=min_size,
        channels=channels,
        seed=seed,
        shard_size=shard_size,
        out=os.fspath(out),
    )


@functools.lru_cache(maxsize=1)  # A process writes many shards.
def _planned_source(plan: Plan) -> sources.Source:
    """Open the source of a plan, and check that it still has the pictures of the plan."""
    fields = ("split", "data_dir", "feature", "channels")
    source = open_source(plan.source, **{field: getattr(plan, field) for field in fields})
    if names_sha256(source) != plan.names_sha256:
        raise InputError(f"{plan.source} does not hold the pictures that it held when the crops were planned.")
    return source


def _features(plan: Plan) -> Any:
    """Return what TFDS calls the features of the dataset: one image as raw bytes."""
    import tensorflow_datasets as tfds

    shape = (plan.size, plan.size, plan.channels)
    return tfds.features.FeaturesDict(
        {"image": tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES)}
    )


def _file_template(plan: Plan) -> Any:
    """Return the pattern by which TFDS names the shards."""
    import tensorflow_datasets as tfds

    return tfds.core.ShardedFileTemplate(
        dataset_name=epath.Path(plan.out).name, data_dir=plan.directory, split="train", filetype_suffix="array_record"
    )


def _report_path(plan: Plan, shard: int) -> epath.Path:
    return plan.directory / PARTIAL / f"{shard:05d}.json"


def _publish(plan: Plan, file: pathlib.Path, path: epath.Path) -> None:
    """Copy a local file under a name of this thread alone, then rename it to `path`, which is whole from then on."""
    partial = plan.directory / PARTIAL / f"{path.name}.{os.getpid()}.{threading.get_ident()}"
    epath.Path(file).copy(partial, overwrite=True)
    partial.replace(path)


def write_shard(plan: Plan, shard: int) -> int:
    """Write one shard, and then its report, which says that the shard is whole. Return its number of crops."""
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


def write_metadata(plan: Plan) -> dict[str, Any]:
    """Write the manifest and the files that TFDS reads, once all shards are whole. Return the manifest.

    The file features.json comes last, because there is no dataset without this file.
    """
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
    """Check that TFDS can know the dataset by the last part of a path.

    Raises:
      InputError: the last part is no such name, or is the name of another TFDS dataset.
    """
    import tensorflow_datasets as tfds

    name = epath.Path(out).name
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise InputError(f"out must end in a name of a-z, 0-9 and _, by which TFDS will know it, got {out!r}.")
    if name in tfds.list_builders(with_community_datasets=False):
        raise InputError(f"out must not end in the name of another TFDS dataset, got {out!r}.")


def unfinished(plan: Plan) -> list[int]:
    """Start or resume a dataset. Return the shards that are yet to write, which are none if the dataset is complete.

    Raises:
      InputError: the directory holds what another plan wrote.
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
