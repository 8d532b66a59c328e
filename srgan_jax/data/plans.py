"""The plan of a dataset of packed crops, which says how many crops come from which pictures, and where they are cut.

Everything here is a pure function of the plan and the source. crops.py writes the files.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from etils import epath

from srgan_jax.data import sources
from srgan_jax.data.loader import random_stream
from srgan_jax.digests import name_bytes
from srgan_jax.errors import InputError
from srgan_jax.images import ImageError
from srgan_jax.types import Picture

VERSION = "1.0.0"  # the version that TFDS records for the dataset

_PICTURES, _PLACE = range(2)  # The second number of a stream's key says what the stream is for.


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be written. Equal plans give equal files, whatever the number of workers and restarts.

    Attributes:
      source: "folder:DIR" or "tfds:NAME".
      split, data_dir, feature: as for TfdsSource; a folder needs none of them.
      pictures: N, the number of pictures of the source. Unusable pictures count too.
      names_sha256: the SHA-256 of the pictures' names, by which a source that has changed is noticed.
      count: the number of crops.
      size: the side of a crop, in pixels.
      min_size: the fewest pixels that the smaller side of a picture may have; smaller pictures are left out.
      channels: 1 (greyscale) or 3 (RGB).
      seed: a number that is not negative. Another seed gives other pictures and places.
      shard_size: the number of crops in a shard; the last shard may have fewer.
      out: the path DATA/NAME. The dataset is written to DATA/NAME/1.0.0.
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
        """The directory of the dataset."""
        return epath.Path(self.out) / VERSION

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-self.count // self.shard_size)

    def shard_length(self, shard: int) -> int:
        """Return the number of crops in a shard."""
        return min(self.shard_size, self.count - shard * self.shard_size)

    def to_json(self) -> dict[str, Any]:
        """Return what the manifest says of the plan, which is all but `out`."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "out"}


def open_source(source: str, *, split: str, data_dir: str, feature: str, channels: int) -> sources.Source:
    """Open "folder:DIR" or "tfds:NAME"; the other arguments are those of TfdsSource.

    Raises:
      InputError: the text has another form.
      SourceError: the source cannot be opened.
    """
    kind, _, place = source.partition(":")
    if kind == "folder" and place:
        return sources.FolderSource(place, channels=channels)
    if kind == "tfds" and place:
        return sources.TfdsSource(place, split=split, data_dir=data_dir, feature=feature, channels=channels)
    raise InputError(f"source must be folder:DIRECTORY or tfds:NAME, got {source!r}.")


def names_sha256(source: sources.Source) -> str:
    """Return the SHA-256 of all names of a source, in their order."""
    digest = hashlib.sha256()
    for index in range(len(source)):
        digest.update(name_bytes(source.name(index)) + b"\n")
    return digest.hexdigest()


# Which crop comes from which picture: The N pictures are put in a random order, and the first min(count, N) of them
# give the crops. Each gives as many as the others or one more, so no picture gives a second crop before all have given
# one. The crops of a picture follow each other, so that it is decoded once. The rest of the order replaces unusable
# pictures.


def rank_of(slot: int, plan: Plan) -> int:
    """Return the rank, which is the place in the order, of the picture that the slot-th crop is cut from."""
    each, more = divmod(plan.count, min(plan.count, plan.pictures))
    head = more * (each + 1)  # the number of crops from pictures that give one more
    return slot // (each + 1) if slot < head else more + (slot - head) // each


def candidates(rank: int, plan: Plan) -> Iterator[int]:
    """Yield the ranks to try for the picture of a rank, best first.

    The picture itself comes first. Then come spare pictures that no other picture tries so early, then all spare
    pictures, and at last all pictures.
    """
    used = min(plan.count, plan.pictures)
    yield from range(rank, plan.pictures, used)
    for start, stop in ((used, plan.pictures), (0, used)):
        yield from (start + (rank + step) % (stop - start) for step in range(stop - start))


def cut_crops(plan: Plan, source: sources.Source, slots: Iterable[int], report: dict[str, Any]) -> Iterator[Picture]:
    """Yield the crops of some slots, uint8 [size, size, channels]. One picture is in memory at a time.

    Args:
      plan: what is to be written.
      source: the pictures of the plan.
      slots: the numbers of the crops, ascending.
      report: gets {name: reason} of the unusable pictures in "skipped", and {name: name of the picture in its place} in
        "replaced".

    Raises:
      InputError: no picture can be used.
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


def _usable_picture(
    plan: Plan, source: sources.Source, order: np.ndarray, rank: int, report: dict[str, Any]
) -> Picture:
    """Return the picture of a rank, or the first candidate that can take its place."""
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
