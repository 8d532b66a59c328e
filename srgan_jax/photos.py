"""Picture files -> larger picture files: many of them, decoded, computed and written at the same time."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import glob
import os
import pathlib
import time
from collections.abc import Iterator
from fractions import Fraction

import jax
import numpy as np
import tqdm

from srgan_jax import generators, photo, processes
from srgan_jax.data.sources import FolderSource, readable_extensions
from srgan_jax.errors import InputError
from srgan_jax.files import check_outputs, is_within
from srgan_jax.images import save_image
from srgan_jax.photo_files import FORMATS, check_fits, format_of, read_photo, write_photo
from srgan_jax.pictures import side_by_side
from srgan_jax.upscaling import TILE, Picture, Upscaler, blend

AHEAD = 2  # pictures decoded before, and written after, the one that is computed; each takes memory


@dataclasses.dataclass(frozen=True)
class Options:
    """How pictures are enlarged and written.

    Attributes:
      scale: of the result to the picture; None: the network's.
      tile: LR pixels, see upscaling.Upscaler.
      ensemble: average over the eight flips and turns.
      format: a name out of photo_files.FORMATS; None: by the extension of the result, PNG in a folder.
      quality: of JPEG and WebP, 1 to 100; None: the format's default.
      keep_metadata: write EXIF and XMP.
      compare: also write NAME_compare.png, the bicubic enlargement beside the result.
      resume: leave out pictures whose result is there.
    """

    scale: float | None = None
    tile: int = TILE
    ensemble: bool = False
    format: str | None = None
    quality: int | None = None
    keep_metadata: bool = False
    compare: bool = False
    resume: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture: where it is, where its enlargement goes, and the comparison if one is wanted."""

    source: pathlib.Path
    target: pathlib.Path
    comparison: pathlib.Path | None


def upscale_files(inputs, out, *, ckpt, blend_with=None, share: float = 0.5, options: Options | None = None):
    """Enlarge pictures; one that cannot be read or written does not stop the others. Several processes divide them.

    Args:
      inputs: paths of pictures and of folders, and patterns of them (*, ?, [], **). Folders are searched recursively
        and keep their structure.
      out: path of the result if `inputs` is one picture and `out` has an image format's extension; else a folder.
      ckpt: what generators.load takes.
      blend_with, share: another of the same architecture, and how much of it to mix in (upscaling.blend).

    Returns:
      A sentence for each picture that failed.

    Raises:
      InputError: before anything is computed: no such input, two inputs with one result, a result that would replace
        an input or lie outside of `out`, or an option out of its range.
    """
    options = options or Options()
    check_options(options)
    jobs = processes.share(plan(inputs, pathlib.Path(out), options))
    todo = [job for job in jobs if not (options.resume and job.target.exists())]
    failures = []
    if todo:
        generator = load(ckpt, blend_with=blend_with, share=share)
        failures = _upscale(todo, generator, options, done=len(jobs) - len(todo))
    return [failure for of_one in processes.gather(failures) for failure in of_one]


def _upscale(jobs: list[Job], generator: generators.Generator, options: Options, *, done: int) -> list[str]:
    """Enlarge what one process has to; `done` of its pictures are left out. Returns a sentence for each failure."""
    failures = []
    with _Progress(len(jobs) + done, skipped=done) as progress:
        upscaler = Upscaler(
            generator.module,
            generator.variables,
            tile=options.tile,
            ensemble=options.ensemble,
            devices=jax.local_devices(),
            progress=progress.tile_done,
        )

        def fail(error):
            failures.append(str(error))
            progress.failed()

        _run(jobs, upscaler, options, fail)
    return failures


def load(ckpt, *, blend_with=None, share: float = 0.5) -> generators.Generator:
    """A generator, or what lies between two (upscaling.blend)."""
    generator = generators.load(ckpt)
    return generator if blend_with is None else blend(generator, generators.load(blend_with), share)


def _run(jobs: list[Job], upscaler: Upscaler, options: Options, fail) -> None:
    """Decode, compute and write, each in threads of its own; `fail(error)` hears of every picture that is not done."""
    scale = upscaler.module.scale if options.scale is None else Fraction(str(options.scale))
    decoded = collections.deque()  # of what the upscaler has taken and not yet given back

    def read(job: Job) -> tuple[photo.Photo, Picture]:
        with _naming(job.source):
            original = read_photo(job.source)
            size = tuple(-(-Fraction(scale) * n // 1) for n in original.colour.shape[:2])
            check_fits(size, format_of(job.target, options.format))
            return original, photo.prepare(original, upscaler)

    def write(job: Job, original: photo.Photo, picture: Picture) -> None:
        with _naming(job.target):
            enlarged = photo.finish(original, picture.sr, scale=scale)
            job.target.parent.mkdir(parents=True, exist_ok=True)
            into = format_of(job.target, options.format)
            write_photo(job.target, enlarged, into=into, quality=options.quality, metadata=options.keep_metadata)
            if job.comparison:
                save_image(job.comparison, compare(original, enlarged))

    def pictures(readers) -> Iterator[Picture]:
        for job, reading in _in_order(readers, read, jobs):
            try:
                original, picture = reading.result()
            except (InputError, OSError) as error:
                fail(error)
                continue
            decoded.append((job, original))
            yield picture

    def finish(writing) -> None:
        try:
            writing.result()
        except (InputError, OSError) as error:
            fail(error)

    with (
        concurrent.futures.ThreadPoolExecutor(AHEAD) as readers,
        concurrent.futures.ThreadPoolExecutor(AHEAD) as writers,
    ):
        written = collections.deque()
        for picture in upscaler.stream(pictures(readers)):
            written.append(writers.submit(write, *decoded.popleft(), picture))
            if len(written) > AHEAD:
                finish(written.popleft())
        for writing in written:
            finish(writing)


def _in_order(pool, function, items):
    """(item, future) of function(item), AHEAD of them begun before they are asked for."""
    begun = collections.deque()
    for item in items:
        begun.append((item, pool.submit(function, item)))
        if len(begun) > AHEAD:
            yield begun.popleft()
    yield from begun


@contextlib.contextmanager
def _naming(path):
    """Turn errors of the operating system and a lack of memory into a sentence about `path`."""
    try:
        yield
    except MemoryError:
        raise InputError(f"{path}: the picture and its enlargement do not fit into the main memory.") from None
    except InputError as error:
        raise error if str(error).startswith(str(path)) else InputError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:  # Pillow's encoders raise both
        raise InputError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}).") from None


def compare(original: photo.Photo, enlarged: photo.Photo) -> np.ndarray:
    """The bicubic enlargement beside the result: uint8 RGB."""
    bicubic = photo.resize(photo.visible_colours(original), enlarged.colour.shape[:2])
    pair = {"bicubic": dataclasses.replace(enlarged, colour=bicubic), "upscaled": enlarged}
    return side_by_side([{name: photo.to_8_bit(photo.on_white(x).colour) for name, x in pair.items()}])


def check_options(options: Options) -> None:
    """Raise an InputError for an option out of its range."""
    if options.tile < 0:
        raise InputError(f"--tile: {options.tile} pixels; give a positive number, or 0 for whole pictures.")
    if options.scale is not None and not 0 < options.scale <= 64:
        raise InputError(f"--scale: {options.scale:g} is not above 0 and at most 64.")
    if options.quality is not None and not 1 <= options.quality <= 100:
        raise InputError(f"--quality: {options.quality} is not from 1 to 100.")
    if options.format is not None:
        format_of("", options.format)


def plan(inputs, out: pathlib.Path, options: Options) -> list[Job]:
    """What is to be done, checked before anything is computed."""
    paths = [path for pattern in inputs for path in expand(pattern)]
    one_file = len(paths) == 1 and paths[0].is_file()
    if one_file and out.suffix and not out.is_dir():
        format_of(out, options.format)
        pairs, folder = [(paths[0], out)], out.parent
    else:
        if out.is_file() or (out.suffix.lower() in readable_extensions() and not out.is_dir()):
            raise InputError(f"{out}: several pictures need a folder as -o, this is a file's name.")
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

    def tile_done(self, picture: Picture, share: float) -> None:
        self._megapixels += share * picture.sr.shape[0] * picture.sr.shape[1] / 1e6
        rate = self._megapixels / (time.perf_counter() - self._start)
        self._bar.set_postfix_str(f"{rate:.2f} megapixels/s", refresh=False)
        self._bar.update(share)

    def failed(self) -> None:
        self._bar.update(1)
