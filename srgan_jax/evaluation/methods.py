"""What is evaluated: an interpolation, a generator, or the pictures that another program has made."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from srgan_jax import generators
from srgan_jax.errors import InputError
from srgan_jax.evaluation.sets import EvaluationSet, read_exactly
from srgan_jax.images.resize import imresize, nearest
from srgan_jax.metrics import LRPicture, SRPicture
from srgan_jax.upscaling import TILE, Upscaler, make_consistent

# Enlargements that need no network.
INTERPOLATIONS = {"nearest": nearest, "bicubic": imresize}

SCALE = 4  # of interpolations and of other programs' pictures, where nothing else is said


@dataclasses.dataclass(frozen=True)
class Method:
    """Something that enlarges.

    Attributes:
      enlarge: enlarge(pairs, i, lr) -> SR of the i-th picture of a set, uint8 [scale · H, scale · W, 1 or 3].
      scale: the factor by which it enlarges.
      about: what results.json says of it; "name" is what tables call it.
      files: files that it reads while it enlarges, so that no output replaces one.
    """

    enlarge: Callable[[EvaluationSet, int, LRPicture], SRPicture]
    scale: int
    about: dict[str, Any]
    files: tuple[pathlib.Path, ...] = ()

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.about["name"]


def create_method(
    name: str, *, scale: int | None = None, tile: int | None = None, consistent: bool | None = None
) -> Method:
    """Return the method that `name` stands for: "nearest", "bicubic", or what generators.load takes.

    Args:
      scale: the factor of an interpolation, 4 by default; a network has its own.
      tile: LR pixels that a network computes at once, see upscaling.Upscaler.
      consistent: whether SR is changed so that its reduction is LR, see made_consistent; by default as a network was
        made for.

    Raises:
      InputError: there is no such method, or a network enlarges by another factor than `scale`.
    """
    if name not in INTERPOLATIONS:
        return of_generator(generators.load(name, others=INTERPOLATIONS), scale=scale, tile=tile, consistent=consistent)
    scale = scale_or_default(scale)
    about = {"name": name, "precision": "float64, 8-bit after each pass"}
    method = Method(lambda pairs, i, lr: INTERPOLATIONS[name](lr, scale), scale, about)
    return made_consistent(method) if consistent else method


def scale_or_default(scale: int | None) -> int:
    """Return the factor, or SCALE for None; an InputError if it is none."""
    if scale is not None and scale < 1:
        raise InputError(f"scale: expected a whole number of at least 1, got {scale}.")
    return SCALE if scale is None else scale


def of_generator(
    generator: generators.Generator,
    *,
    scale: int | None = None,
    tile: int | None = None,
    consistent: bool | None = None,
) -> Method:
    """Return the method that enlarges with a generator; arguments and errors are those of create_method."""
    generator = generator.at_scale(scale)
    if scale not in (None, generator.module.scale):
        raise InputError(
            f"{generator.name} enlarges {generator.module.scale} times and no other factor, got a scale of {scale}; "
            f"leave the scale out."
        )
    about = {"name": generator.name, "sha256": generator.sha256(), "architecture": generator.architecture}
    about |= {"step": generator.info.get("step"), "precision": "float32, matmul precision highest"}
    upscaler = Upscaler(generator, tile=TILE if tile is None else tile)
    method = Method(lambda pairs, i, lr: upscaler(lr), generator.module.scale, about)
    usual = generator.info.get("consistent", False)
    return made_consistent(method) if (usual if consistent is None else consistent) else method


def made_consistent(method: Method) -> Method:
    """Return the method with every SR changed so that its reduction is LR, see upscaling.make_consistent."""

    def enlarge(pairs: EvaluationSet, i: int, lr: LRPicture) -> SRPicture:
        sr = method.enlarge(pairs, i, lr)
        channels = np.broadcast_to(lr, (*lr.shape[:2], sr.shape[2]))  # a network of RGB makes RGB of grey pictures
        return make_consistent(sr, channels, pairs.scale, border=pairs.border)

    about = method.about | {"name": f"{method.name}, consistent", "consistent": True}
    return dataclasses.replace(method, enlarge=enlarge, about=about)


def of_pictures(
    directory: str | pathlib.Path, sets: Sequence[EvaluationSet], *, consistent: bool | None = None
) -> Method:
    """Return the method that gives a program's pictures of LR: DIRECTORY/NAME/STEM.png, or DIRECTORY/STEM.png.

    Args:
      consistent: whether they are changed so that their reduction is LR, see made_consistent.

    Raises:
      InputError: the directory lacks pictures. When a picture is enlarged: it cannot be read, or has not HR's size and
        colours.
    """
    directory = pathlib.Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: expected a directory of result pictures, but there is none.")
    files, missing = {}, []
    for pairs in sets:
        for stem in pairs.stems:
            places = directory / pairs.name / f"{stem}.png", directory / f"{stem}.png"
            files[pairs.name, stem] = next((path for path in places if path.is_file()), places[0])
            missing += [] if files[pairs.name, stem].is_file() else [places]
    if missing:
        others = f", nor the results of {len(missing) - 1} other pictures" if len(missing) > 1 else ""
        raise InputError(
            f"{missing[0][0]}: no such file, nor {missing[0][1]}{others}; give each result the name of its HR picture."
        )

    def read(pairs: EvaluationSet, i: int, lr: LRPicture) -> SRPicture:
        path = files[pairs.name, pairs.stems[i]]
        sr, (height, width) = read_exactly(path), (n * pairs.scale for n in lr.shape[:2])
        if sr.shape[:2] != (height, width):
            raise InputError(
                f"{path}: expected {width}x{height} pixels, {pairs.scale} times the LR picture, "
                f"got {sr.shape[1]}x{sr.shape[0]}; give the result as the program wrote it, not cropped or resized."
            )
        if sr.shape[2] < lr.shape[2]:
            raise InputError(f"{path}: expected RGB, as the LR picture is, got greyscale; give the result in colour.")
        return sr

    about = {"name": str(directory), "origin": "pictures that another program made"}
    method = Method(read, sets[0].scale, about, tuple(files.values()))
    return made_consistent(method) if consistent else method
