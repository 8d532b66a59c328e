"""Files and folders of photos -> files and folders of larger photos."""

import dataclasses
import glob
import os
import pathlib
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
import tqdm

from srgan_jax.data.sources import FolderSource, readable_extensions
from srgan_jax.errors import InputError
from srgan_jax.files import check_outputs, is_within
from srgan_jax.images import ImageError, save_image
from srgan_jax.images.montage import side_by_side
from srgan_jax.parallel import processes
from srgan_jax.photos.codecs import FORMATS, check_fits, format_of, read_photo, write_photo
from srgan_jax.photos.enlarging import enlarge, result_size
from srgan_jax.photos.photo import Photo, on_white, to_8_bit, visible_colours
from srgan_jax.upscaling import TILE, Upscaler
from srgan_jax.upscaling.consistency import resize_levels
from srgan_jax.upscaling.options import OptionError, check_scale, check_tile
from srgan_jax.upscaling.upscaler import TrainedNetwork


@dataclasses.dataclass(frozen=True)
class Options:
    """How photos are enlarged and written.

    Attributes:
      scale: of the result to the photo; None: the network's.
      tile: LR pixels, see upscaling.Upscaler.
      ensemble: average over the eight flips and turns.
      consistent: see enlarging.enlarge; None: as the model was made for.
      format: a name out of codecs.FORMATS; None: by the extension of the result, PNG in a folder.
      quality: of JPEG and WebP, 1 to 100; None: the format's default.
      keep_metadata: write EXIF and XMP.
      compare: also write NAME_compare.png, the bicubic enlargement beside the result.
      resume: leave out photos whose result is there.
    """

    scale: float | None = None
    tile: int = TILE
    ensemble: bool = False
    consistent: bool | None = None
    format: str | None = None
    quality: int | None = None
    keep_metadata: bool = False
    compare: bool = False
    resume: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """One photo: where it is, where its enlargement goes, and the comparison if one is wanted."""

    source: pathlib.Path
    target: pathlib.Path
    comparison: pathlib.Path | None


def upscale_files(
    inputs: Sequence[str | pathlib.Path],
    out: str | pathlib.Path,
    load: Callable[[], TrainedNetwork],
    options: Options | None = None,
) -> list[str]:
    """Enlarge photos; one that cannot be read or written does not stop the others. Several processes divide them.

    Args:
      inputs: paths of photos and of folders, and patterns of them (*, ?, [], **). Folders are searched recursively
        and keep their structure.
      out: path of the result if `inputs` is one photo and `out` has an image format's extension; else a folder.
      load: gives the generators.Generator; called once all is checked, and only if something is to be done.
      options: by default those of Options.

    Returns:
      A sentence for each photo that failed.

    Raises:
      InputError: before anything is computed: no such input, two inputs with one result, a result that would replace
        an input or lie outside of `out`, or an option out of its range.
    """
    options = options or Options()
    check_options(options)
    jobs = processes.share(plan(inputs, pathlib.Path(out), options))
    todo = [job for job in jobs if not (options.resume and job.target.exists())]
    failures = _upscale(todo, load(), options, done=len(jobs) - len(todo)) if todo else []
    return [failure for of_one in processes.gather(failures) for failure in of_one]


def _upscale(jobs: list[Job], generator: TrainedNetwork, options: Options, *, done: int) -> list[str]:
    """Enlarge what one process has to; `done` of its photos are left out. Returns a sentence for each failure."""
    failures = []
    with _Progress(len(jobs) + done, skipped=done) as progress:
        upscaler = Upscaler(
            generator,
            tile=options.tile,
            ensemble=options.ensemble,
            devices=jax.local_devices(),
            progress=progress.tile_done,
        )

        def read(job: Job) -> Photo:
            photo = read_photo(job.source)
            check_fits(result_size(photo, upscaler, options.scale), format_of(job.target, options.format))
            return photo

        def write(job: Job, photo: Photo, enlarged: Photo) -> None:
            try:
                job.target.parent.mkdir(parents=True, exist_ok=True)
                into = format_of(job.target, options.format)
                write_photo(job.target, enlarged, into=into, quality=options.quality, metadata=options.keep_metadata)
                if job.comparison:
                    save_image(job.comparison, compare(photo, enlarged))
            except (InputError, MemoryError, OSError, ValueError) as error:  # Pillow's encoders raise the last two
                raise _named(job.target, error) from None

        def fail(job: Job, error: Exception) -> None:
            failures.append(str(_named(job.source, error)))
            progress.failed()

        wanted = {"scale": options.scale, "consistent": options.consistent}
        for _ in enlarge(jobs, upscaler, decode=read, encode=write, failed=fail, **wanted):
            pass
    return failures


def _named(path: pathlib.Path, error: Exception) -> ImageError:
    """An error as a sentence about a file, unless it is one already."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, MemoryError):
        return ImageError(f"{path}: the picture and its enlargement do not fit into the main memory.")
    if isinstance(error, InputError):
        return ImageError(f"{path}: {error}")
    return ImageError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}).")


def compare(photo: Photo, enlarged: Photo) -> np.ndarray:
    """The bicubic enlargement beside the result: uint8 RGB."""
    bicubic = resize_levels(visible_colours(photo), enlarged.colour.shape[:2])
    pair = {"bicubic": dataclasses.replace(enlarged, colour=bicubic), "upscaled": enlarged}
    return side_by_side([{name: to_8_bit(on_white(x).colour) for name, x in pair.items()}])


def check_options(options: Options) -> None:
    """Raise an OptionError for an option out of its range."""
    check_tile(options.tile)
    check_scale(options.scale)
    if options.quality is not None and not 1 <= options.quality <= 100:
        raise OptionError("quality", f"{options.quality!r} is not from 1 to 100.")
    if options.format is not None:
        format_of("", options.format)


def plan(inputs: Sequence[str | pathlib.Path], out: pathlib.Path, options: Options) -> list[Job]:
    """What is to be done, checked before anything is computed."""
    paths = [path for pattern in inputs for path in expand(pattern)]
    one_file = len(paths) == 1 and paths[0].is_file()
    if one_file and out.suffix and not out.is_dir():
        format_of(out, options.format)
        pairs, folder = [(paths[0], out)], out.parent
    else:
        if out.is_file() or (out.suffix.lower() in readable_extensions() and not out.is_dir()):
            raise InputError(f"{out}: several pictures need a folder for their results, this is a file's name.")
        extension, folder = FORMATS["png"].extensions[0], out
        if options.format:
            extension = format_of("", options.format).extensions[0]
        pairs = []
        for path in paths:
            if path.is_dir():
                # Results of an earlier run, where OUT is inside of the folder, are no inputs.
                inside = is_within(out, path) and out.resolve() != path.resolve()
                names = [n for n in FolderSource(path).names if not (inside and is_within(path / n, out))]
                pairs += [(path / name, (out / name).with_suffix(extension)) for name in names]
            else:
                pairs.append((path, (out / path.name).with_suffix(extension)))
    jobs = []
    for source, target in pairs:
        comparison = target.with_name(f"{target.stem}_compare.png") if options.compare else None
        jobs.append(Job(source, target, comparison))
    outputs = [(path, job.source) for job in jobs for path in (job.target, job.comparison) if path]
    check_outputs(outputs, [job.source for job in jobs], folder=folder)
    return jobs


def expand(pattern) -> list[pathlib.Path]:
    """A path as it is; a pattern as the paths that match it, sorted."""
    if os.path.lexists(pattern):
        return [pathlib.Path(pattern)]
    matches = sorted(glob.glob(str(pattern), recursive=True)) if glob.has_magic(str(pattern)) else []
    if not matches:
        what = "nothing matches this pattern" if glob.has_magic(str(pattern)) else "no such file or directory"
        raise InputError(f"{pattern}: {what}.")
    return [pathlib.Path(match) for match in matches]


class _Progress:
    """A bar of pictures, in fractions, with the megapixels of the results per second."""

    def __init__(self, pictures: int, *, skipped: int):
        layout = "{percentage:3.0f}%|{bar}| {n:.2f}/{total} pictures [{elapsed}<{remaining}{postfix}]"
        hidden = not processes.is_first()
        self._bar = tqdm.tqdm(total=pictures, initial=skipped, bar_format=layout, disable=hidden)
        self._start, self._megapixels = time.perf_counter(), 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def tile_done(self, share: float, pixels: float) -> None:
        self._megapixels += pixels / 1e6
        rate = self._megapixels / (time.perf_counter() - self._start)
        self._bar.set_postfix_str(f"{rate:.2f} megapixels/s", refresh=False)
        self._bar.update(share)

    def failed(self) -> None:
        self._bar.update(1)
