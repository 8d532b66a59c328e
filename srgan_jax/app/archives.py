"""A zip archive of photos -> a zip archive of their enlargements.

No name in an archive ever becomes the name of a file here: photos are unpacked to numbered files.
"""

import dataclasses
import math
import pathlib
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator

from srgan_jax.app.enlarging import Wishes, enlarge_files, size_of, target_of
from srgan_jax.app.jobs import Job
from srgan_jax.errors import InputError
from srgan_jax.files import replacing
from srgan_jax.images import EXTENSIONS
from srgan_jax.metrics import METRICS

# What computers put into archives beside the user's own files.
_LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the page takes.

    Attributes:
      megapixels: of a photo.
      pictures: in an archive.
      megabytes: of a file that is dropped on the page, and of all that an archive unpacks to.
    """

    megapixels: float = 16
    pictures: int = 200
    megabytes: int = 1000


@dataclasses.dataclass(frozen=True)
class Line:
    """What became of a file of an archive: `said` is the size and LR-PSNR of the result, or why there is none."""

    name: str
    said: str
    failed: bool = False


@dataclasses.dataclass(frozen=True)
class Archive:
    """An archive of enlargements: its file, and a line for each file of the one that was given."""

    path: pathlib.Path
    lines: list[Line]


def enlarge_archive(
    source: str | pathlib.Path, folder: str | pathlib.Path, wishes: Wishes, job: Job, *, limits: Limits
) -> Archive:
    """Enlarge all photos of an archive. One that cannot be read or written does not stop the others.

    Args:
      source: the zip archive.
      folder: an empty folder, for the result and what is unpacked on the way.
      wishes: what is wanted.
      job: is told of each tile.
      limits: what the archive may hold.

    Raises:
      InputError: the file is no zip archive, holds no photo or too much, or has a name that leads out of a folder.
      CancelledError: somebody has cancelled the job.
    """
    source, folder = pathlib.Path(source), pathlib.Path(folder)
    for name in ("photos", "results"):
        (folder / name).mkdir()
    try:
        with zipfile.ZipFile(source) as archive:
            chosen, lines = choose(archive, limits)
            names = dict(_unpack(archive, chosen, folder / "photos", job))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise InputError(f"{source.name} is no zip archive that can be read ({error}).") from None

    def failed(photo: pathlib.Path, error: Exception) -> None:
        said = str(error) if isinstance(error, InputError) else f"cannot be read or written ({error})"
        said = said.removeprefix(f"{photo}: ").removeprefix(f"{photo.name} ")  # its name in the archive is another
        lines.append(Line(names[photo], said, failed=True))

    job.total = sum(_pixels(photo, limits.megapixels) for photo in names)
    target = folder / f"{source.stem}_x{wishes.factor:g}.zip"
    with replacing(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        results = enlarge_files(names, folder / "results", wishes, job, megapixels=limits.megapixels, failed=failed)
        for photo, enlarged in results:
            name = pathlib.PurePosixPath(names[photo])
            name = str(name.with_name(target_of(photo, wishes.factor, name=name.name)[0]))
            archive.write(enlarged.path, name)
            enlarged.path.unlink()
            rows, columns = enlarged.sr.shape[:2]
            consistency = METRICS["lr_psnr"].text(enlarged.lr_psnr)
            lines.append(Line(name, f"{columns:,} × {rows:,} pixels, LR-PSNR {consistency} dB"))
        if all(line.failed for line in lines):
            raise InputError(f"{source.name}: none of its files could be enlarged; {lines[0].name}: {lines[0].said}")
        if missing := [f"{line.name}: {line.said}" for line in lines if line.failed]:
            archive.writestr("not_enlarged.txt", "\n".join(missing) + "\n")
    return Archive(target, sorted(lines, key=lambda line: line.name))


def choose(archive: zipfile.ZipFile, limits: Limits) -> tuple[list[zipfile.ZipInfo], list[Line]]:
    """Choose the photos of an archive, by their names alone, and check them before anything is unpacked.

    Returns:
      (photos, a line for each file that is not one). What computers add by themselves has no line.

    Raises:
      InputError: see enlarge_archive.
    """
    photos, lines, where = [], [], pathlib.Path(archive.filename or "").name
    for entry in archive.infolist():
        parts = pathlib.PurePosixPath(entry.filename.replace("\\", "/")).parts
        if ".." in parts or entry.filename.startswith(("/", "\\")) or ":" in entry.filename:
            raise InputError(f"{where} holds the name {entry.filename!r}, which leads out of a folder; it is not read.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(f"{where} holds the link {entry.filename!r}; only files and folders are read.")
        if entry.is_dir() or any(part in _LITTER or part.startswith("._") for part in parts):
            continue
        if pathlib.PurePosixPath(entry.filename).suffix.lower() in EXTENSIONS:
            photos.append(entry)
        else:
            lines.append(Line(entry.filename, "its name is not that of a picture", failed=True))
    if not photos:
        raise InputError(f"{where} holds no pictures; their names end in {', '.join(EXTENSIONS)}.")
    if len(photos) > limits.pictures:
        raise InputError(f"{where} holds {len(photos):,} pictures, and this page takes at most {limits.pictures:,}.")
    # zipfile never unpacks more of a file than the archive says that there is.
    if (size := sum(entry.file_size for entry in photos)) > limits.megabytes * 1e6:
        raise InputError(
            f"{where} would unpack to {math.ceil(size / 1e6):,} megabytes, and this page takes at most "
            f"{limits.megabytes:,}."
        )
    return photos, lines


def _unpack(
    archive: zipfile.ZipFile, photos: list[zipfile.ZipInfo], folder: pathlib.Path, job: Job
) -> Iterator[tuple[pathlib.Path, str]]:
    """Yield (unpacked file, its name in the archive)."""
    for number, entry in enumerate(photos):
        job.check()
        path = folder / f"{number:06d}{pathlib.PurePosixPath(entry.filename).suffix.lower()}"
        with archive.open(entry) as packed, path.open("wb") as file:
            shutil.copyfileobj(packed, file)
        yield path, entry.filename.replace("\\", "/")


def _pixels(photo: pathlib.Path, megapixels: float) -> int:
    """Return the pixels of a photo, or 0 if it will fail."""
    try:
        return math.prod(size_of(photo, megapixels))
    except InputError:
        return 0
