"""One photo file -> its enlargement in the photo's own format, with its metadata, and what the page shows of both."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from PIL import Image

from srgan_jax import generators
from srgan_jax.app.jobs import Job
from srgan_jax.errors import InputError
from srgan_jax.images import decoding, open_image
from srgan_jax.images.montage import as_rgb
from srgan_jax.metrics import METRICS, fidelity
from srgan_jax.metrics.psnr_ssim import psnr
from srgan_jax.photos.codecs import FORMATS, Format, check_fits, read_photo, write_photo
from srgan_jax.photos.enlarging import enlarge, result_size
from srgan_jax.photos.photo import Photo, on_white, to_8_bit, visible_colours
from srgan_jax.types import Picture
from srgan_jax.upscaling import Upscaler
from srgan_jax.upscaling.consistency import resize_levels

# LR pixels. It is smaller than upscaling.TILE, which wastes less, because jobs are watched and cancelled between tiles.
TILE = 384

SHOWN = 16e6  # the most pixels that the page shows; of a larger result it shows the middle

# What METRICS says of contrast needs an original of the result's size, which a photo does not have.
CONTRAST = "standard deviation of the levels of the result, reduced to the photo's size, over that of the photo's"


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What somebody wants of an enlargement.

    Attributes:
      model: what generators.load takes.
      scale: of the result; None: the network's.
      consistent: see photos.enlarging.enlarge; None: as the model was made for.
      ensemble: whether to average over the eight flips and turns.
      metadata: whether to keep EXIF and XMP.
    """

    model: str
    scale: float | None = None
    consistent: bool | None = None
    ensemble: bool = False
    metadata: bool = True

    @property
    def kind(self) -> tuple:
        """What determines how long an LR pixel takes."""
        return self.model, self.ensemble

    @property
    def factor(self) -> float:
        """The scale of the result."""
        return self.scale or load(self.model).module.scale


@dataclasses.dataclass(frozen=True)
class Enlarged:
    """A photo that was enlarged, in 8 bits and on white.

    Attributes:
      path: the file of the result, in which depth and transparency are the photo's.
      lr: [h, w, 1 or 3], the photo.
      sr: [H, W, 1 or 3], the result.
      reduced: [h, w, 1 or 3], the result reduced to the photo's size.
    """

    path: pathlib.Path
    lr: Picture
    sr: Picture
    reduced: Picture

    @property
    def lr_psnr(self) -> float:
        """LR-PSNR in dB, see metrics.fidelity.lr_psnr."""
        return psnr(self.reduced, self.lr)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number about an enlargement, beside that of bicubic interpolation; both are texts.

    Attributes:
      label, definition: what the number is.
      bicubic, ours: its two values.
    """

    label: str
    bicubic: str
    ours: str
    definition: str


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the page shows of an enlargement.

    Attributes:
      path: the file of the result.
      size: (rows, columns) of the result.
      before, after: files of two pictures of one size: the bicubic enlargement and the result.
      whole: whether these pictures are whole, or only the middle.
      figures: the table of figures.
    """

    path: pathlib.Path
    size: tuple[int, int]
    before: pathlib.Path
    after: pathlib.Path
    whole: bool
    figures: list[Figure]


@functools.lru_cache(maxsize=4)
def load(model: str) -> generators.Generator:
    """Load a generator, or take the one that was loaded before."""
    return generators.load(model)


def size_of(path: str | pathlib.Path, megapixels: float) -> tuple[int, int]:
    """Return (rows, columns) of a photo as its header has them.

    Raises:
      InputError: the file is no picture, or has more than so many megapixels.
    """
    name = pathlib.Path(path).name
    try:
        with decoding(name), open_image(path) as image:
            columns, rows = image.size
    except InputError:  # Some files are read by tifffile only; of the others this says what is wrong with them.
        rows, columns = read_photo(path).colour.shape[:2]
    if rows * columns > megapixels * 1e6:
        raise InputError(
            f"{name} has {columns:,} × {rows:,} pixels, which are {rows * columns / 1e6:.1f} megapixels, and this page "
            f"takes at most {megapixels:g}; reduce or crop the picture first, or enlarge it with srgan-upscale."
        )
    return rows, columns


def target_of(path: str | pathlib.Path, scale: float, *, name: str | None = None) -> tuple[str, Format]:
    """Return the name and the format of a photo's enlargement: the photo's own format, or PNG if we do not write it.

    The format is that of the file's contents. photo.jpg becomes photo_x4.jpg, and photo.gif becomes photo_gif_x4.png.

    Args:
      path: the photo's file.
      scale: of the result.
      name: what the photo is called; by default as the file is.
    """
    name = pathlib.PurePath(name or path)
    try:
        with open_image(path) as image:
            kind = image.format
    except Exception:  # It is left to read_photo to say what is wrong with a file.
        kind = "TIFF"  # which tifffile reads where Pillow does not
    own = next((known for known in FORMATS.values() if known.pillow == kind), None)
    if own and name.suffix.lower() in own.extensions:
        return f"{name.stem}_x{scale:g}{name.suffix}", own
    into = own or FORMATS["png"]
    return f"{name.name.replace('.', '_')}_x{scale:g}{into.extensions[0]}", into


def enlarge_file(
    source: str | pathlib.Path, folder: str | pathlib.Path, wishes: Wishes, job: Job, *, megapixels: float
) -> Shown:
    """Enlarge one photo, and make what the page shows of it.

    Args:
      source: the photo's file.
      folder: where the result and the two pictures for the page are written.
      wishes: what is wanted.
      job: is told of each tile.
      megapixels: the most that the photo may have.

    Raises:
      InputError: the file is no picture, or the picture or its enlargement is too large.
      CancelledError: somebody has cancelled the job.
    """
    source, folder = pathlib.Path(source), pathlib.Path(folder)
    job.total = math.prod(size_of(source, megapixels))
    (_, enlarged), *_ = enlarge_files([source], folder, wishes, job, megapixels=megapixels)
    bicubic = resize_levels(enlarged.lr, enlarged.sr.shape[:2])
    job.check()
    middle = middle_of(enlarged.sr.shape[:2])
    pictures = {folder / "before.jpg": bicubic, folder / "after.jpg": enlarged.sr}
    for path, picture in pictures.items():
        Image.fromarray(np.ascontiguousarray(as_rgb(picture[middle]))).save(path, quality=95, subsampling=0)
    return Shown(
        enlarged.path,
        enlarged.sr.shape[:2],
        *pictures,
        whole=enlarged.sr[middle].shape == enlarged.sr.shape,
        figures=figures_of(bicubic, enlarged, scale=load(wishes.model).module.scale),
    )


def enlarge_files(
    sources: Iterable[pathlib.Path],
    folder: pathlib.Path,
    wishes: Wishes,
    job: Job,
    *,
    megapixels: float,
    **options: Any,
) -> Iterator[tuple[pathlib.Path, Enlarged]]:
    """Enlarge photos in order.

    Args:
      sources: the photos' files.
      folder: where the results are written, under the names of target_of.
      wishes, job, megapixels: see enlarge_file. The job's units are LR pixels.
      options: see photos.enlarging.enlarge; without `failed` a photo's error is raised.

    Returns:
      An iterator of (source, result).
    """
    generator = load(wishes.model)
    scale = generator.module.scale

    def tile_done(share: float, pixels: float) -> None:
        job.advance(pixels / scale**2)

    upscaler = Upscaler(generator, tile=TILE, ensemble=wishes.ensemble, devices=jax.local_devices(), progress=tile_done)

    def read(source: pathlib.Path) -> Photo:
        job.check()
        size_of(source, megapixels)
        photo = read_photo(source)
        check_fits(result_size(photo, upscaler, wishes.scale), target_of(source, wishes.factor)[1])
        return photo

    def write(source: pathlib.Path, photo: Photo, enlarged: Photo, *_) -> Enlarged:
        job.check()
        name, into = target_of(source, wishes.factor)
        write_photo(folder / name, enlarged, into=into, metadata=wishes.metadata)
        lr, sr = (as_shown(of, colour) for of, colour in ((photo, visible_colours(photo)), (enlarged, enlarged.colour)))
        return Enlarged(folder / name, lr, sr, resize_levels(sr, lr.shape[:2]))

    options |= {"scale": wishes.scale, "consistent": wishes.consistent}
    return enlarge(sources, upscaler, decode=read, encode=write, **options)


def as_shown(photo: Photo, colour: np.ndarray) -> Picture:
    """Return the colours of a photo in 8 bits, on white where it is transparent."""
    return to_8_bit(on_white(dataclasses.replace(photo, colour=colour)).colour)


def figures_of(bicubic: Picture, enlarged: Enlarged, *, scale: int) -> list[Figure]:
    """Compare an enlargement, and the bicubic one, with the photo. No figure needs an original of the result's size.

    Args:
      bicubic: the bicubic enlargement, of the result's size.
      enlarged: the result.
      scale: of the network. If the result was resized to another scale, the grid of the network is not measured.
    """
    lr, pictures = enlarged.lr, (bicubic, enlarged.sr)
    reduced = (resize_levels(bicubic, lr.shape[:2]), enlarged.reduced)

    def row(name: str, score: Callable[[Picture], float], of: Iterable[Picture], label: str, definition: str) -> Figure:
        metric = METRICS[name]
        return Figure(label, *(metric.text(score(picture)) for picture in of), f"{definition}; {metric.direction}")

    consistency, grid = METRICS["lr_psnr"], METRICS["grid"]
    figures = [
        row("lr_psnr", lambda picture: psnr(picture, lr), reduced, consistency.label, consistency.definition),
        row("contrast", lambda picture: fidelity.contrast(picture, lr), reduced, "contrast kept", CONTRAST),
    ]
    middle, resized = middle_of(enlarged.sr.shape[:2]), len(enlarged.sr) != scale * len(lr)
    if not resized and min(enlarged.sr[middle].shape[:2]) >= (fidelity.PERIODS + 2) * scale:
        shown = [picture[middle] for picture in pictures]
        figures.append(row("grid", lambda x: fidelity.grid(x, scale=scale), shown, grid.label, grid.definition))
    return figures


def middle_of(size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the middle rows and columns of a picture: at most SHOWN pixels in the picture's proportions."""
    share = min(1.0, math.sqrt(SHOWN / math.prod(size)))
    lengths = [max(1, int(share * length)) for length in size]
    starts = [(length - part) // 2 for length, part in zip(size, lengths, strict=True)]
    return tuple(slice(start, start + part) for start, part in zip(starts, lengths, strict=True))
