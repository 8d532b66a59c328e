"""Files and folders of photos -> files and folders of larger photos."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

from srgan_jax.data.sources import FileSource
from srgan_jax.errors import InputError, printable
from srgan_jax.images import ImageError, save_image
from srgan_jax.images.heat_map import heat_map
from srgan_jax.images.montage import side_by_side
from srgan_jax.parallel import processes
from srgan_jax.photos.codecs import check_fits, format_of, read_photo, write_photo
from srgan_jax.photos.enlarging import enlarge, result_size
from srgan_jax.photos.photo import Photo, on_white, to_8_bit, visible_colours
from srgan_jax.photos.planning import Job, Options, check_options, expand, left_out, plan
from srgan_jax.progress import Progress, duration, say
from srgan_jax.upscaling import Upscaler
from srgan_jax.upscaling.consistency import resize_levels
from srgan_jax.upscaling.invention import invention
from srgan_jax.upscaling.upscaler import TrainedNetwork

_PROBE = 128  # LR pixels, the side of the picture by which the speed is measured
_WORTH_A_FORECAST = 500_000  # LR pixels; less takes no minutes on any machine of today
_LONG = 60.0  # seconds; what takes longer is said before


def upscale_files(
    inputs: Sequence[str | pathlib.Path],
    out: str | pathlib.Path | None,
    load: Callable[[], TrainedNetwork],
    options: Options | None = None,
    *,
    load_reference: Callable[[], TrainedNetwork] | None = None,
) -> list[str]:
    """Enlarge photos; one that cannot be read or written does not stop the others. Several processes divide them.

    Args:
      inputs: paths of photos and of folders, and patterns of them (*, ?, [], **). Folders are searched recursively
        and keep their structure.
      out: path of the result if `inputs` is one photo and `out` has an image format's extension; else a folder. None
        puts results beside their photos, and those of a folder into a folder beside it: photo_x4.png, holiday_x4/.
      load: gives the generators.Generator; called once, after all is checked, and only if something is to be done or
        its scale has to stand in the names of results.
      options: by default those of Options.
      load_reference: likewise gives the generator that `max_invention` and `map` compare with; called if one of these
        is given.

    Returns:
      A sentence for each photo that failed.

    Raises:
      InputError: before anything is computed: no such input, two inputs with one result, a result that would replace
        an input or lie outside of `out`, or an option out of its range.
    """
    options = options or Options()
    check_options(options)
    paths, load = [path for pattern in inputs for path in expand(pattern)], functools.cache(load)
    if out is None and options.suffix is None:
        scale = load().module.scale if options.scale is None else options.scale
        options = dataclasses.replace(options, suffix=f"_x{scale:g}")
    jobs = processes.share(plan(paths, None if out is None else pathlib.Path(out), options))
    for sentence in left_out(paths) if processes.is_first() else []:
        say(sentence)
    todo = [job for job in jobs if not (options.resume and job.target.exists())]
    failures = []
    if todo:
        compared = options.max_invention is not None or options.map is not None
        reference = load_reference() if compared and load_reference else None
        failures = _upscale(todo, load(), reference, options, done=len(jobs) - len(todo))
    return [failure for of_one in processes.gather(failures) for failure in of_one]


def _upscale(
    jobs: list[Job], generator: TrainedNetwork, reference: TrainedNetwork | None, options: Options, *, done: int
) -> list[str]:
    """Enlarge what one process has to; `done` of its photos are left out. Returns a sentence for each failure."""
    failures, written, start = [], [], time.perf_counter()
    networks = [network for network in (generator, reference) if network is not None]
    upscaler, *compared = upscalers = [
        Upscaler(network, tile=options.tile, ensemble=options.ensemble, devices=jax.local_devices())
        for network in networks
    ]
    if processes.is_first() and (sentence := forecast([job.source for job in jobs], upscalers)):
        say(sentence)
    with _Progress(len(jobs) + done, skipped=done) as progress:
        for one in upscalers:
            one.progress = lambda share, pixels: progress.tile_done(share / len(networks), pixels / len(networks))

        def read(job: Job) -> Photo:
            photo = read_photo(job.source)
            check_fits(result_size(photo, upscaler, options.scale), format_of(job.target, options.format))
            return photo

        def write(job: Job, photo: Photo, enlarged: Photo, expected: Photo | None) -> tuple[int, int]:
            try:
                job.target.parent.mkdir(parents=True, exist_ok=True)
                into = format_of(job.target, options.format)
                write_photo(job.target, enlarged, into=into, quality=options.quality, metadata=options.keep_metadata)
                if job.comparison:
                    save_image(job.comparison, compare(photo, enlarged))
                if job.map:
                    job.map.parent.mkdir(parents=True, exist_ok=True)
                    save_image(job.map, invention_map(enlarged, expected, highest=options.max_invention))
            except (InputError, MemoryError, OSError, ValueError) as error:  # Pillow's encoders raise the last two
                raise _named(job.target, error) from None
            return enlarged.colour.shape[:2]

        def fail(job: Job, error: Exception) -> None:
            failures.append(str(_named(job.source, error)))
            progress.failed()

        wanted = {"scale": options.scale, "consistent": options.consistent, "max_invention": options.max_invention}
        wanted["reference"] = compared[0] if compared else None
        last = start
        for job, (height, width) in enlarge(jobs, upscaler, decode=read, encode=write, failed=fail, **wanted):
            now = time.perf_counter()
            say(f"{printable(job.target)}, {width} × {height}, {duration(now - last)}")
            written.append(height * width / 1e6)
            last = now
    if len(written) > 1:
        say(f"{len(written)} pictures, {sum(written):.1f} megapixels, {duration(time.perf_counter() - start)}")
    return failures


def forecast(paths: Sequence[pathlib.Path], upscalers: Sequence[Upscaler]) -> str | None:
    """Say how long photos will take, if that is minutes.

    A small picture is enlarged twice: the first time compiles the program, which all photos need; the second time is
    measured. Pictures that are computed as a whole (a tile of 0) need programs of their own, so nothing is said of
    them.
    """
    pixels = 0
    for path in paths:
        try:
            height, width = FileSource("", [str(path)]).size(0)
        except ImageError:  # It is named when it is read.
            continue
        pixels += height * width
    if pixels < _WORTH_A_FORECAST or not all(upscaler.tile for upscaler in upscalers):
        return None
    seconds = 0.0
    for upscaler in upscalers:
        probe = np.zeros((_PROBE, _PROBE, upscaler.module.channels), np.uint8)
        upscaler(probe)
        start = time.perf_counter()
        upscaler(probe)
        seconds += (time.perf_counter() - start) * pixels / probe[..., 0].size
    if seconds < _LONG:
        return None
    time_needed, megapixels = duration(60 * round(seconds / 60)), pixels * upscalers[0].module.scale ** 2 / 1e6
    return f"This will take about {time_needed}: {megapixels:.0f} megapixels have to be computed."


def _named(path: pathlib.Path, error: Exception) -> ImageError:
    """Return an error as a sentence about a file, unless it is one already."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, MemoryError):
        return ImageError(f"{path}: the picture and its enlargement do not fit into the main memory.")
    if isinstance(error, InputError):
        return ImageError(f"{path}: {error}")
    return ImageError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}).")


def compare(photo: Photo, enlarged: Photo) -> np.ndarray:
    """Put the bicubic enlargement beside the result: uint8 RGB."""
    bicubic = resize_levels(visible_colours(photo), enlarged.colour.shape[:2])
    pair = {"bicubic": dataclasses.replace(enlarged, colour=bicubic), "upscaled": enlarged}
    return side_by_side([{name: to_8_bit(on_white(x).colour) for name, x in pair.items()}])


def invention_map(enlarged: Photo, expected: Photo, *, highest: float | None = None) -> np.ndarray:
    """Return how far the result leaves the reference's, as a heat map with its scale: uint8 RGB.

    Args:
      enlarged, expected: the result, and what the reference makes of the same photo.
      highest: the end of the scale in levels of 8 bits; by default the next round number above all differences.
    """
    return heat_map(invention(enlarged.colour, expected.colour), unit="levels", highest=highest or None)


class _Progress:
    """The pictures that are done, in fractions, with the megapixels of the results per second."""

    def __init__(self, pictures: int, *, skipped: int) -> None:
        hidden = not processes.is_first()
        self._bar = Progress(pictures, unit="picture", done=skipped, decimals=2, hidden=hidden)
        self._start, self._megapixels = time.perf_counter(), 0.0

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def tile_done(self, share: float, pixels: float) -> None:
        self._megapixels += pixels / 1e6
        rate = self._megapixels / (time.perf_counter() - self._start)
        self._bar.note(f"{rate:.2f} megapixels/s")
        self._bar.update(share)

    def failed(self) -> None:
        self._bar.update(1)
