"""Whole pictures -> a table of PSNR and SSIM, under protocols that say what they are."""

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import pathlib
from collections.abc import Callable
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

import srgan_jax
from srgan_jax.data.sources import FolderSource
from srgan_jax.errors import InputError
from srgan_jax.images import ImageError, decode_image, hr_to_signed, save_image
from srgan_jax.losses import mse
from srgan_jax.metrics import PROTOCOLS
from srgan_jax.models import VGG19
from srgan_jax.resize import imresize, nearest

LR_MADE = "made from HR: MATLAB bicubic, symmetric border"

# Enlargements that need no network.
INTERPOLATIONS = {
    "nearest": lambda scale: lambda lr: nearest(lr, scale),
    "bicubic": lambda scale: lambda lr: imresize(lr, scale),
}


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
    """Pairs of pictures.

    Attributes:
      name: of the set.
      stems: of the pictures, unique.
      hr: hr(i) -> uint8 [H, W, 1 or 3].
      lr: lr(i) -> uint8 LR image from a file, or None where it is to be made from HR.
      lr_origin: where LR images come from, in words, for tables.
      scale: HR size over LR size.
    """

    name: str
    stems: tuple[str, ...]
    hr: Callable
    lr: Callable | None
    lr_origin: str
    scale: int

    def pair(self, i: int):
        """(lr, hr, was HR cropped); HR cropped to a multiple of the scale."""
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


def read_set(name: str, directory, *, scale: int) -> EvaluationSet:
    """The pictures of `directory`, which holds HR/ and perhaps LRx{scale}/ of the same names, or just pictures.

    Raises:
      InputError: no such directory, no pictures in it, or an LR image without its HR or the other way round.
    """
    directory = pathlib.Path(directory)
    root = directory / "HR" if (directory / "HR").is_dir() else directory
    hr = FolderSource(root, channels=None)
    stems = tuple(str(pathlib.PurePosixPath(n).with_suffix("")) for n in hr.names)
    if len(set(stems)) < len(stems):
        stems = hr.names  # a.png beside a.jpg
    lr_root = directory / f"LRx{scale}"
    if root == directory or not lr_root.is_dir():
        return EvaluationSet(name, stems, hr.__getitem__, None, LR_MADE, scale)
    lr = FolderSource(lr_root, channels=None)
    if lr.names != hr.names:
        odd = sorted(set(lr.names) ^ set(hr.names))[0]
        raise InputError(f"{directory}: {odd} is in only one of {root.name}/ and {lr_root.name}/.")
    return EvaluationSet(name, stems, hr.__getitem__, lr.__getitem__, f"files of {lr_root.name}/", scale)


def parse_sets(entries, *, scale: int) -> list[EvaluationSet]:
    """Evaluation sets from entries "NAME=DIR"."""
    sets = []
    for entry in entries:
        name, separator, directory = entry.partition("=")
        if not separator or not name or not directory or "/" in name:
            raise InputError(f"expected NAME=DIR for evaluation pictures, such as Set5=data/Set5, got {entry!r}.")
        sets.append(read_set(name, directory, scale=scale))
    if len({s.name for s in sets}) < len(sets):
        raise InputError("two sets of evaluation pictures have one name.")
    return sets


def limited(pairs: EvaluationSet, limit: int) -> EvaluationSet:
    """The first `limit` pictures of a set."""
    return dataclasses.replace(pairs, stems=pairs.stems[:limit])


def source_set(name: str, source, *, scale: int) -> EvaluationSet:
    """The pictures of a data source, such as the share of it that was held out."""
    stems = tuple(str(pathlib.PurePosixPath(source.name(i)).with_suffix("")) for i in range(len(source)))
    return EvaluationSet(name, stems, source.__getitem__, None, LR_MADE, scale)


def make_feature_distance(vgg_params, preprocessing: str, *, layer: str = "vgg54"):
    """distance(sr, hr), uint8 RGB -> the content loss (eq. 5) between them: what SRGAN is trained to make small."""
    vgg = VGG19(layers=(layer,), preprocessing=preprocessing)

    @jax.jit
    def run(params, sr, hr):
        with jax.default_matmul_precision("highest"):
            sr, hr = (vgg.apply({"params": params}, hr_to_signed(image)[None])[layer] for image in (sr, hr))
            return mse(sr, hr)

    def distance(sr, hr):
        sr, hr = (np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x for x in (sr, hr))
        return float(run(vgg_params, jnp.asarray(sr), jnp.asarray(hr)))

    return distance


def evaluate(upscale, pairs: EvaluationSet, *, protocols=("matlab",), distance=None, on_image=None) -> dict:
    """Score every picture of a set.

    Args:
      upscale: uint8 LR [H, W, C] -> uint8 SR.
      protocols: names out of metrics.PROTOCOLS.
      distance: distance(sr, hr) -> float, reported as "vgg54".
      on_image: called with (stem, lr, sr, hr) of each.

    Returns:
      {"count", "cropped", "images": {stem: {protocol: {"psnr", "ssim"}, "vgg54"}}, "mean": {protocol: …, "vgg54"}}.
      "cropped" counts the pictures that were no multiple of the scale. PSNR of identical pictures is infinite.
    """
    images, cropped = {}, 0
    for i, stem in enumerate(pairs.stems):
        lr, hr, was_cropped = pairs.pair(i)
        cropped += was_cropped
        sr = upscale(lr)
        planes = [x[..., 0] if x.shape[-1] == 1 else x for x in (sr, hr)]
        try:
            images[stem] = {name: PROTOCOLS[name].score(*planes, scale=pairs.scale) for name in protocols}
        except ValueError as error:
            raise InputError(f"{pairs.name}/{stem}: {error}") from None
        if distance:
            images[stem]["vgg54"] = distance(sr, hr)
        if on_image:
            on_image(stem, lr, sr, hr)
    mean = jax.tree.map(lambda *scores: float(np.mean(scores)), *images.values())
    return {"count": len(images), "cropped": cropped, "images": images, "mean": mean}
