"""Pairs of LR and HR pictures to evaluate on."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np

from srgan_jax.data.sources import FolderSource, Source
from srgan_jax.errors import InputError
from srgan_jax.images import ImageError, decode_image, open_image
from srgan_jax.images.resize import imresize
from srgan_jax.metrics import LRPicture
from srgan_jax.types import Picture

KERNEL = "MATLAB bicubic, antialiased, 8-bit after each pass"
BORDER = "symmetric"  # of resize.imresize, where nothing else is known

# How LR is made where it is not given: what results.json says of it.
MADE = {"origin": "made from HR", "kernel": KERNEL, "border": BORDER}

# Pillow's modes that hold 8-bit greyscale or RGB and nothing else. A score must not depend on a silent conversion.
MODES = ("L", "RGB")

# Where a command's other files go, beside the folders of the sets.
RESERVED = ("vs", "results.json", "comparison.json", "index.html")


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
    """Pairs of pictures.

    Attributes:
      name: of the set.
      stems: of the pictures, unique.
      hr: hr(i) -> uint8 [H, W, 1 or 3].
      lr: lr(i) -> uint8 LR image from a file, or None where it is to be made from HR.
      lr_about: where LR images come from: origin, kernel and border (null where it is not known).
      scale: HR size over LR size.
      files: the pictures' files, so that no output replaces one.
    """

    name: str
    stems: tuple[str, ...]
    hr: Callable[[int], Picture]
    lr: Callable[[int], LRPicture] | None
    lr_about: dict[str, str | None]
    scale: int
    files: tuple[pathlib.Path, ...] = ()

    @property
    def border(self) -> str:
        """The border rule of resize.imresize by which HR is reduced to LR, as far as it is known."""
        return self.lr_about["border"] or BORDER

    def pair(self, i: int) -> tuple[LRPicture, Picture, bool]:
        """Return (lr, hr, was HR cropped); HR is cropped to a multiple of the scale.

        Raises:
          InputError: a picture cannot be read, or LR does not fit HR.
        """
        hr = self.hr(i)
        height, width = (n // self.scale * self.scale for n in hr.shape[:2])
        cropped, whole = hr[:height, :width], hr.shape[:2]
        if not cropped.size:
            raise InputError(f"{self.name}/{self.stems[i]}: {whole[1]}x{whole[0]} pixels are less than one LR pixel.")
        if self.lr is None:
            return imresize(cropped, Fraction(1, self.scale)), cropped, cropped.shape != hr.shape
        lr = self.lr(i)
        if (lr.shape[0] * self.scale, lr.shape[1] * self.scale) != (height, width):
            raise InputError(
                f"{self.name}/{self.stems[i]}: LR of {lr.shape[1]}x{lr.shape[0]} does not fit HR of "
                f"{whole[1]}x{whole[0]} at scale {self.scale}."
            )
        return lr, cropped, cropped.shape != hr.shape


def read_set(name: str, directory: str | pathlib.Path, *, scale: int) -> EvaluationSet:
    """Return the pictures of `directory`, which holds HR/ and perhaps LRx{scale}/ of the same names, or just pictures.

    Raises:
      InputError: no such directory, no pictures in it, or an LR image without its HR or the other way round.
    """
    directory = pathlib.Path(directory)
    root = directory / "HR" if (directory / "HR").is_dir() else directory
    hr = _ExactFolder(root)
    stems = tuple(str(pathlib.PurePosixPath(n).with_suffix("")) for n in hr.names)
    if len(set(stems)) < len(stems):
        stems = hr.names  # a.png beside a.jpg
    lr_root = directory / f"LRx{scale}"
    if root == directory or not lr_root.is_dir():
        return EvaluationSet(name, stems, hr.__getitem__, None, MADE, scale, hr.paths)
    lr = _ExactFolder(lr_root)
    if lr.names != hr.names:
        odd = sorted(set(lr.names) ^ set(hr.names))[0]
        raise InputError(f"{directory}: {odd} is in only one of {root.name}/ and {lr_root.name}/.")
    about = {"origin": f"files of {lr_root.name}/", "kernel": None, "border": None}
    pairs = EvaluationSet(name, stems, hr.__getitem__, lr.__getitem__, about, scale, hr.paths + lr.paths)
    return dataclasses.replace(pairs, lr_about=about | _reduction(*pairs.pair(0)[:2]))


def _reduction(lr: LRPicture, hr: Picture) -> dict[str, str]:
    """Return which reduction of HR gives an LR file exactly, if one does; "clamp" is that of the SelfExSR release."""
    scale = Fraction(len(lr), len(hr))
    for border in ("clamp", BORDER):
        if np.array_equal(imresize(hr, scale, border=border), lr):
            return {"kernel": KERNEL, "border": border}
    return {}


class _ExactFolder(FolderSource):
    """A folder of 8-bit greyscale and RGB pictures, read as they are."""

    @property
    def paths(self) -> tuple[pathlib.Path, ...]:
        return tuple(self.directory / name for name in self.names)

    def __getitem__(self, index: int) -> Picture:
        return read_exactly(self.directory / self.names[index])


def read_exactly(path: pathlib.Path) -> Picture:
    """Read an 8-bit greyscale or RGB picture as it is.

    Raises:
      ImageError: the file cannot be read, or holds a picture of another kind, whose conversion would change its score.
    """
    try:
        with open_image(path) as image:
            mode, extra = image.mode, "transparency" in image.info
    except Exception:
        return decode_image(path, channels=None)  # which says what is wrong
    if mode not in MODES or extra:
        found = f"{mode} with transparency" if extra else mode
        raise ImageError(f"{path}: expected 8-bit greyscale or RGB, got mode {found}; convert it first.")
    return decode_image(path, channels=None)


def parse_sets(entries: Iterable[str], *, scale: int) -> list[EvaluationSet]:
    """Return evaluation sets from entries "NAME=DIR"."""
    sets = []
    for entry in entries:
        name, separator, directory = entry.partition("=")
        if not separator or not name or not directory:
            raise InputError(f"expected NAME=DIR for evaluation pictures, such as Set5=data/Set5, got {entry!r}.")
        if name in RESERVED or name.startswith(".") or not name.isprintable() or set(name) & set("/\\"):
            raise InputError(
                f"{entry!r}: {name!r} cannot name a set of pictures, as its results get a folder of this name; "
                "use letters and digits."
            )
        sets.append(read_set(name, directory, scale=scale))
    if len({s.name for s in sets}) < len(sets):
        raise InputError("two sets of evaluation pictures have one name.")
    return sets


def limited(pairs: EvaluationSet, limit: int) -> EvaluationSet:
    """Return the first `limit` pictures of a set."""
    return dataclasses.replace(pairs, stems=pairs.stems[:limit])


def source_set(name: str, source: Source, *, scale: int) -> EvaluationSet:
    """Return the pictures of a data source, such as the share of it that was held out."""
    stems = tuple(str(pathlib.PurePosixPath(source.name(i)).with_suffix("")) for i in range(len(source)))
    return EvaluationSet(name, stems, source.__getitem__, None, MADE, scale)
