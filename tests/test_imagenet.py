"""ImageNet in miniature: TFDS's own builder over archives laid out as the original's, then packed crops, then training.

Only the builder needs TensorFlow; it runs in a process of its own. (pip install tensorflow-cpu importlib_resources, the
latter because TFDS 4.9.10 imports it without requiring it.)
"""

import importlib.util
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image
from tiny import make_tiny_config

from srgan_jax.commands.crops import run
from srgan_jax.data import crops, sources
from srgan_jax.training import loop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow"),
]
REPOSITORY = pathlib.Path(__file__).parents[1]
SYNSETS = ("n01440764", "n02099601", "n13133613")
PREPARE = """
import sys
import tensorflow_datasets as tfds
data_dir, manual_dir = sys.argv[1:]
builder = tfds.builder("imagenet2012", data_dir=data_dir, file_format="array_record")
builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
"""


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def jpeg(size: tuple[int, int], seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(file, format="JPEG", quality=95)
    return file.getvalue()


def make_archives(directory: pathlib.Path, *, per_synset: int) -> None:
    """ILSVRC2012_img_train.tar, an archive of archives, one a synset, with a small picture; ILSVRC2012_img_val.tar."""
    directory.mkdir()
    with tarfile.open(directory / "ILSVRC2012_img_train.tar", "w") as train:
        for synset in SYNSETS:
            file = io.BytesIO()
            with tarfile.open(fileobj=file, mode="w") as pictures:
                for number in range(per_synset):
                    size = (30, 60) if (synset, number) == (SYNSETS[0], 0) else (75 + number, 60)
                    add(pictures, f"{synset}_{number}.JPEG", jpeg(size, seed=zlib.crc32(f"{synset} {number}".encode())))
            add(train, f"{synset}.tar", file.getvalue())
    with tarfile.open(directory / "ILSVRC2012_img_val.tar", "w") as validation:
        for number in range(1, 3):
            name = f"ILSVRC2012_val_{number:08d}.JPEG"
            add(validation, name, jpeg((60, 60), seed=number))


@pytest.mark.filterwarnings("default")
def test_from_the_archives_to_five_steps(tmp_path):
    make_archives(tmp_path / "manual", per_synset=6)
    data = tmp_path / "data"
    command = [sys.executable, "-c", PREPARE, str(data), str(tmp_path / "manual")]
    subprocess.run(command, check=True, cwd=REPOSITORY)

    run(
        f"--source tfds:imagenet2012 --data-dir {data} --count 16 --size 48 --shard-size 6 --workers 1 "
        f"--out {tmp_path}/packed/imagenet_crops".split()
    )
    manifest = json.loads((tmp_path / "packed/imagenet_crops" / crops.VERSION / "manifest.json").read_text())
    pictures = sources.TfdsSource("imagenet2012", split="train", data_dir=data)
    packed = sources.TfdsSource("imagenet_crops", split="train", data_dir=tmp_path / "packed")
    assert len(pictures) == manifest["pictures"] == 18 and len(packed) == 16
    assert all("30x60 pixels" in reason for reason in manifest["skipped"].values())
    whole = [np.lib.stride_tricks.sliding_window_view(pictures[i], (48, 48, 3))[:, :, 0]
             for i in range(18) if min(pictures.size(i)) >= 48]  # fmt: skip
    origins = [[i for i, windows in enumerate(whole) if (windows == packed[slot]).all((2, 3, 4)).any()]
               for slot in range(16)]  # fmt: skip
    assert all(len(origin) == 1 for origin in origins) and len({origin[0] for origin in origins}) == 16

    config = make_tiny_config(num_steps=5, data__source="tfds", data__name="imagenet_crops")
    config.data.path = str(tmp_path / "packed")
    loop.train(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert all(np.isfinite(line["g/loss"]) for line in lines)
