"""Which photos are enlarged, and where their results go: all that is checked before anything is computed."""

import collections
import dataclasses
import glob
import os
import pathlib
from collections.abc import Iterable, Sequence

from srgan_jax.data.sources import FolderSource, SourceError, readable_extensions
from srgan_jax.errors import InputError, install
from srgan_jax.files import check_outputs, is_within
from srgan_jax.photos.codecs import FORMATS, format_of
from srgan_jax.photos.video import EXTENSIONS as VIDEOS
from srgan_jax.upscaling import TILE
from srgan_jax.upscaling.options import (
    OptionError,
    check_max_invention,
    check_quality,
    check_scale,
    check_suffix,
    check_tile,
)

RAW = (".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".nef", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw")
_NAMED = 5  # so many files that are left out are named for each reason


@dataclasses.dataclass(frozen=True)
class Options:
    """How photos are enlarged and written.

    Attributes:
      scale: of the result to the photo; None: the network's.
      tile: LR pixels, see upscaling.Upscaler.
      ensemble: average over the eight flips and turns.
      consistent: see enlarging.enlarge; None: as the model was made for.
      max_invention: the most levels of 8 bits by which a result may leave the reference's; None: no bound.
      map: where to write how far the result leaves the reference's, as a heat map; a file for one photo, else a folder.
      format: a name out of codecs.FORMATS; None: by the extension of the result, PNG in a folder.
      suffix: put behind the names of results; None: "_x4" (for a scale of 4) beside the photos, and nothing elsewhere.
      quality: of JPEG and WebP, 1 to 100; None: the format's default.
      keep_metadata: write EXIF and XMP.
      compare: also write NAME_compare.png, the bicubic enlargement beside the result.
      resume: leave out photos whose result is there.
    """

    scale: float | None = None
    tile: int = TILE
    ensemble: bool = False
    consistent: bool | None = None
    max_invention: float | None = None
    map: str | pathlib.Path | None = None
    format: str | None = None
    suffix: str | None = None
    quality: int | None = None
    keep_metadata: bool = True
    compare: bool = False
    resume: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """One photo: where it is, where its enlargement goes, and the comparison and the heat map if they are wanted."""

    source: pathlib.Path
    target: pathlib.Path
    comparison: pathlib.Path | None
    map: pathlib.Path | None = None


def check_options(options: Options) -> None:
    """Raise an OptionError for an option out of its range."""
    check_tile(options.tile)
    check_scale(options.scale)
    check_max_invention(options.max_invention)
    check_quality(options.quality)
    check_suffix(options.suffix)
    if options.format is not None:
        format_of("", options.format)


def plan(paths: Sequence[pathlib.Path], out: pathlib.Path | None, options: Options) -> list[Job]:
    """Return what is to be done.

    Args:
      paths: photos and folders, as `expand` gives them.
      out: a file for one photo, or a folder; None: beside each photo, and for a folder a folder beside it, under names
        with `options.suffix`, which must be given then.

    Raises:
      InputError: as upscale_files says.
    """
    one_file = len(paths) == 1 and paths[0].is_file()
    if one_file and out and out.suffix and not out.is_dir():
        if options.format and out.suffix.lower() not in format_of("", options.format).extensions:
            raise OptionError(
                "format", f"{options.format} is asked for under the name {out}; change one of the two, or leave it out."
            )
        format_of(out)
        pairs, folder = [(paths[0], out)], out.parent
    else:
        if out and (out.is_file() or (out.suffix.lower() in readable_extensions() and not out.is_dir())):
            raise InputError(f"{out}: several pictures need a folder for their results, this is a file's name.")
        folder = out
        pairs = _told_apart(_pairs(paths, out, options), options.suffix or "")
        if out is None:  # "photo.png" beside its result "photo_x4.png" of an earlier run
            targets = {os.path.abspath(target) for source, target in pairs if source != target}
            pairs = [(source, target) for source, target in pairs if os.path.abspath(source) not in targets]
    jobs = []
    for source, target in pairs:
        comparison = target.with_name(f"{target.stem}_compare.png") if options.compare else None
        jobs.append(Job(source, target, comparison, _map_of(target, folder, one_file, options)))
    outputs = [(path, job.source) for job in jobs for path in (job.target, job.comparison) if path]
    check_outputs(outputs, [job.source for job in jobs], folder=folder)
    outputs += [(job.map, job.source) for job in jobs if job.map]
    check_outputs(outputs, [job.source for job in jobs])
    return jobs


def _pairs(
    paths: Iterable[pathlib.Path], out: pathlib.Path | None, options: Options
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Return (photo, result) of each photo, which is named or in a folder that is named."""
    suffix, extension = options.suffix or "", FORMATS["png"].extensions[0]
    if options.format:
        extension = format_of("", options.format).extensions[0]

    def result(path: pathlib.Path) -> pathlib.Path:
        return path.with_name(f"{path.stem}{suffix}{extension}")

    pairs = []
    for path in paths:
        if not path.is_dir():
            pairs.append((path, result((out or path.parent) / path.name)))
            continue
        into = out or path.resolve().with_name(f"{path.resolve().name}{suffix}")
        # Results of an earlier run, where the folder for them is inside of this one, are no inputs.
        inside = is_within(into, path) and os.path.realpath(into) != os.path.realpath(path)
        try:
            names = FolderSource(path).names
        except SourceError as error:
            others = left_out([path])
            raise InputError(" ".join([str(error), *others])) from None
        names = [name for name in names if not (inside and is_within(path / name, into))]
        if out:
            pairs += [(path / name, result(into / name)) for name in names]
        else:  # The name of the folder has the suffix.
            pairs += [(path / name, (into / name).with_suffix(extension)) for name in names]
    return pairs


def _map_of(target: pathlib.Path, folder: pathlib.Path | None, one_file: bool, options: Options) -> pathlib.Path | None:
    """Return where the heat map of a result goes."""
    if options.map is None:
        return None
    path = pathlib.Path(options.map)
    if one_file and path.suffix and not path.is_dir():
        if path.suffix.lower() != ".png":
            raise OptionError("map", f"{path} is no PNG; give a name that ends in .png, or a folder.")
        return path
    if path.is_file() or path.suffix.lower() == ".png":
        raise OptionError("map", f"{path}: several pictures need a folder for their maps, this is a file's name.")
    return (path / (target.relative_to(folder) if folder else target.name)).with_suffix(".png")


def _told_apart(pairs: list[tuple[pathlib.Path, pathlib.Path]], suffix: str) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Return (photo, result) of each photo: each once, and photo.jpg beside photo.png as photo_jpg and photo_png."""
    once = {}
    for source, target in pairs:
        once.setdefault(os.path.abspath(source), (source, target))
    count = collections.Counter(target for _, target in once.values())

    def told_apart(source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
        if count[target] == 1:
            return target
        end = suffix if suffix and target.stem.endswith(suffix) else ""
        return target.with_stem(source.name.replace(".", "_") + end)

    return [(source, told_apart(source, target)) for source, target in once.values()]


def expand(pattern: str | pathlib.Path) -> list[pathlib.Path]:
    """Return a path as it is; a pattern as the paths that match it, sorted."""
    if os.path.lexists(pattern):
        return [pathlib.Path(pattern)]
    matches = sorted(glob.glob(str(pattern), recursive=True)) if glob.has_magic(str(pattern)) else []
    if not matches:
        what = "nothing matches this pattern" if glob.has_magic(str(pattern)) else "no such file or directory"
        raise InputError(f"{pattern}: {what}.")
    return [pathlib.Path(match) for match in matches]


def left_out(paths: Iterable[pathlib.Path]) -> list[str]:
    """Name the files in folders that show pictures but are not read, one sentence for each reason."""
    readable = set(readable_extensions())
    reasons = dict.fromkeys(RAW, "raw photos of cameras have to be developed first, say as 16-bit TIFF")
    reasons |= dict.fromkeys(VIDEOS, "videos are enlarged one at a time, by naming them")
    reasons |= dict.fromkeys((".pdf", ".psd", ".svg", ".eps", ".ai", ".xcf"), "save it as PNG first")
    reasons |= dict.fromkeys((".jxl",), "JPEG XL is not read; save it as PNG first")
    if ".heic" not in readable:
        reasons |= dict.fromkeys((".heic", ".heif", ".hif"), f"HEIC needs pillow-heif: {install('heic')}")
    if ".avif" not in readable:
        reasons[".avif"] = "AVIF needs a newer Pillow: pip install -U pillow"
    found = collections.defaultdict(list)
    for folder in filter(os.path.isdir, paths):
        for place, subfolders, files in os.walk(folder):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(files):
                end = pathlib.Path(name).suffix.lower()
                if end in reasons and end not in readable and not name.startswith("."):
                    found[reasons[end]].append(str(pathlib.Path(place, name)))
    sentences = []
    for reason, names in found.items():
        shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        sentences.append(f"Left out: {shown} ({reason}).")
    return sentences
