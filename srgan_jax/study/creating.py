"""Make a study: folders of pictures become one directory that can be copied and served.

Pictures that raters see are written anew. Every file is RGB without compression, so that its size tells no method from
another. It holds no metadata, and its name is a digest that nobody can compute who does not have the study's secret.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from srgan_jax.errors import InputError
from srgan_jax.study import design, store, texts
from srgan_jax.study.design import Design, Shown
from srgan_jax.study.plans import plan_raters

FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
SCALE = 4  # of the nearest-neighbour pictures that stand for the grade 1 in the calibration
CUT = 8  # HR may have fewer than this many rows and columns more than its enlargements, which come from whole LR pixels
REFERENCE = "HR"


@dataclasses.dataclass(frozen=True)
class Sources:
    """The files that a study is made from: {picture: {method: path}}, and what is known of them."""

    pictures: dict[str, dict[str, pathlib.Path]]
    methods: tuple[str, ...]
    reference: str
    scores: dict[str, dict[str, dict[str, float]]]


def create(
    out: str | pathlib.Path,
    methods: Sequence[str],
    *,
    data: Sequence[str] = (),
    calibration: str | pathlib.Path | None = None,
    reference: bool = True,
    kind: str = "acr",
    title: str = "Which pictures look good?",
    raters: int = 30,
    per_rater: int | None = None,
    repeats: int = 0,
    pictures: int | None = None,
    minimum_seconds: float = 1.0,
    magnification: int = 0,
    questions: Sequence[str] = (),
    seed: int = 0,
) -> Design:
    """Write the directory of a study.

    Args:
      out: the directory; it must not exist yet, or be empty.
      methods: entries "NAME=DIR" or "DIR", folders of pictures. A folder that eval.py has written also gives the
        scores of its results.json.
      data: entries "NAME=DIR" as eval.py takes them. Then a method's pictures are DIR/NAME/STEM.png or DIR/STEM.png,
        and HR takes part as a hidden reference. Without data, the folders of all methods have files of equal names.
      calibration: a folder of HR pictures that are not in the test. Raters see each of them first by nearest-neighbour
        interpolation, which is said to be a 1, and as it is, which is said to be a 5 (section 3.3).
      reference: whether HR takes part.
      kind, raters, per_rater, repeats, seed: see plans.plan_raters.
      pictures: how many pictures take part, chosen at random; None for all.
      title, minimum_seconds, magnification, questions: see design.Design.

    Returns:
      The design, which is also in OUT/design.json.

    Raises:
      InputError: a folder lacks pictures, versions of one picture differ in size, or a number is impossible.
    """
    out = pathlib.Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty; choose another place for the study.")
    if minimum_seconds < 0 or not 0 <= magnification <= 8:
        raise InputError(
            f"expected a minimum of 0 or more seconds and a magnification of 0 to 8, got {minimum_seconds} and "
            f"{magnification}."
        )
    sources = find_sources(methods, data, reference=reference)
    sources = _sample(sources, pictures, seed)
    plan = {"raters": raters, "per_rater": per_rater, "repeats": repeats, "seed": seed}
    plans = plan_raters(list(sources.pictures), sources.methods, kind=kind, **plan)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{secrets.token_hex(8)}.partial")
    partial.mkdir(0o700)  # it holds the owner's key, and who made which picture
    try:
        writer = _Writer(partial / design.PICTURES, sources)
        made = Design(
            title=title,
            kind=kind,
            methods=sources.methods,
            reference=sources.reference,
            pictures={picture: writer.versions(picture) for picture in sources.pictures},
            calibration=tuple(writer.calibration(calibration)) if calibration and kind == "acr" else (),
            minimum_seconds=minimum_seconds,
            magnification=magnification,
            questions=tuple(questions),
            plan=plan,
            scores=sources.scores,
        )
        design.write_design(partial, made)
        texts.copy_texts(partial / design.TEXTS, kind)
        settings = {name: secrets.token_urlsafe(16) for name in ("key", "admin", "secret")} | {"created": "1"}
        store.create_store(partial / design.ANSWERS, plans, settings)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


def find_sources(methods: Sequence[str], data: Sequence[str] = (), *, reference: bool = True) -> Sources:
    """Find the pictures of all methods; arguments and errors are those of `create`."""
    folders = {}
    for entry in methods:
        name, folder = _named(entry)
        if name in folders:
            raise InputError(f"two methods are called {name}; name them, as in first=DIR second=DIR.")
        folders[name] = folder
    if len(folders) < 2:
        raise InputError("a study needs at least two methods, as in bicubic=out/bicubic SRGAN=out/srgan.")
    originals = _originals(data)
    if originals:
        if reference and REFERENCE in folders:
            raise InputError(f"{REFERENCE} is the name of the originals; give the method another one.")
        pictures = {
            name: {method: _result(folder, name) for method, folder in folders.items()}
            | ({REFERENCE: path} if reference else {})
            for name, path in originals.items()
        }
    else:
        found = {method: _pictures(folder) for method, folder in folders.items()}
        first, *others = found
        for other in others:
            odd = sorted(set(found[first]) ^ set(found[other]))
            if odd:
                has, lacks = (first, other) if odd[0] in found[first] else (other, first)
                raise InputError(
                    f"{folders[lacks]}: expected a picture {odd[0]}, as {folders[has]} has it; all methods need a "
                    "version of every picture."
                )
        pictures = {name: {method: found[method][name] for method in found} for name in found[first]}
    with_reference = reference and bool(originals)
    order = (*folders, *((REFERENCE,) if with_reference else ()))
    scores = {method: found for method, folder in folders.items() if (found := read_scores(folder))}
    return Sources(pictures, order, REFERENCE if with_reference else "", scores)


def read_scores(folder: str | pathlib.Path) -> dict[str, dict[str, float]]:
    """Read {"SET/STEM": {metric: score}} from the results.json of eval.py in a folder; {} where there is none.

    Scores that are not finite, which are null in the file, are left out. The PSNR of the protocol "paper" is called
    "paper psnr".

    Raises:
      InputError: the file is another one.
    """
    path = pathlib.Path(folder) / "results.json"
    if not path.is_file():
        return {}
    try:
        found: dict[str, dict[str, float]] = {}
        for name, dataset in json.loads(path.read_text(encoding="utf-8"))["datasets"].items():
            for stem, scores in dataset["images"].items():
                found[f"{name}/{stem}"] = _flat(scores)
        return found
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: expected what eval.py writes as results.json ({error!r}).") from None


def _flat(scores: Mapping[str, Any]) -> dict[str, float]:
    flat = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            flat |= {f"{name} {metric}": score for metric, score in _flat(value).items()}
        elif value is not None:
            flat[name] = float(value)
    return flat


def _named(entry: str) -> tuple[str, pathlib.Path]:
    """Return the name and the folder of "NAME=DIR" or "DIR"."""
    name, _, path = entry.rpartition("=")
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of pictures, but there is none.")
    return name or folder.resolve().name, folder


def _originals(data: Iterable[str]) -> dict[str, pathlib.Path]:
    """Return {"SET/STEM": file} for the HR pictures of sets "NAME=DIR", laid out as eval.py takes them."""
    originals = {}
    for entry in data:
        name, separator, path = entry.partition("=")
        folder = pathlib.Path(path)
        if not (name and separator and path) or "/" in name:
            raise InputError(
                f"expected NAME=DIR for a set of original pictures, such as Set5=data/Set5, got {entry!r}."
            )
        if not folder.is_dir():
            raise InputError(f"{folder}: expected a folder of original pictures, but there is none.")
        found = _pictures(folder / "HR" if (folder / "HR").is_dir() else folder)
        originals |= {f"{name}/{stem}": file for stem, file in found.items()}
    return originals


def _pictures(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return {name without extension: file} for all pictures below a folder, but for the `vs` that eval.py writes."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    found: dict[str, pathlib.Path] = {}
    for path in files:
        relative = path.relative_to(folder)
        name = relative.with_suffix("").as_posix()
        if relative.parts[0] == "vs":
            continue
        if name in found:
            raise InputError(f"{path} and {found[name]} have one name; rename one.")
        found[name] = path
    if not found:
        raise InputError(f"{folder}: expected pictures ({', '.join(EXTENSIONS)}), but there is none.")
    return found


def _result(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Return a method's version of the picture "SET/STEM"."""
    places = [folder / f"{part}{extension}" for part in (name, name.partition("/")[2]) for extension in EXTENSIONS]
    for place in places:
        if place.is_file():
            return place
    raise InputError(f"{folder}: expected a picture {name}.png, as there is an original of this name.")


def _sample(sources: Sources, count: int | None, seed: int) -> Sources:
    """Keep some of the pictures."""
    names = list(sources.pictures)
    if count is None:
        return sources
    if not 2 <= count <= len(names):
        raise InputError(f"pictures: expected 2 to {len(names)}, as there are, got {count}.")
    kept = sorted(np.random.default_rng(seed).choice(len(names), count, replace=False))
    return dataclasses.replace(sources, pictures={names[i]: sources.pictures[names[i]] for i in kept})


class _Writer:
    """Writes pictures in such a way that their files say nothing about the method."""

    def __init__(self, folder: pathlib.Path, sources: Sources) -> None:
        self._folder, self._sources = folder, sources
        self._secret = secrets.token_bytes(32)
        self._seen: set[bytes] = set()  # digests of the pixels of the test's pictures
        folder.mkdir()

    def versions(self, picture: str) -> dict[str, Shown]:
        """Write all versions of a picture, in one size."""
        images = {method: read_picture(path) for method, path in self._sources.pictures[picture].items()}
        size = min(image.size for method, image in images.items() if method != self._sources.reference)
        for method, image in images.items():
            over = image.width - size[0], image.height - size[1]
            if over != (0, 0) and not (method == self._sources.reference and all(0 <= n < CUT for n in over)):
                path = self._sources.pictures[picture][method]
                raise InputError(
                    f"{path}: expected {size[0]}x{size[1]} pixels, as another method has, got "
                    f"{image.width}x{image.height}; all versions of a picture must have one size."
                )
        images = {method: image.crop((0, 0, *size)) for method, image in images.items()}
        return {method: self._write(image, f"{picture}\n{method}") for method, image in images.items()}

    def calibration(self, folder: str | pathlib.Path) -> Iterable[tuple[Shown, int]]:
        """Write the examples of the lowest and the highest grade."""
        folder = pathlib.Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: expected a folder of pictures for the calibration, but there is none.")
        for name, path in _pictures(folder / "HR" if (folder / "HR").is_dir() else folder).items():
            image = read_picture(path)
            image = image.crop((0, 0, *(n // SCALE * SCALE for n in image.size)))
            if not all(image.size) or hashlib.sha256(image.tobytes()).digest() in self._seen:
                raise InputError(
                    f"{path}: expected a picture that is not in the test, and not an empty one; leave it out."
                )
            small = image.resize([n // SCALE for n in image.size], Image.Resampling.BICUBIC)
            yield self._write(small.resize(image.size, Image.Resampling.NEAREST), f"calibration\n{name}\n1"), 1
            yield self._write(image, f"calibration\n{name}\n5"), 5

    def _write(self, image: Image.Image, origin: str) -> Shown:
        pixels = image.tobytes()
        self._seen.add(hashlib.sha256(pixels).digest())
        name = f"{hashlib.sha256(self._secret + origin.encode() + pixels).hexdigest()[:32]}.png"
        image.save(self._folder / name, "PNG", compress_level=0)
        os.utime(self._folder / name, (0, 0))  # no order of time either
        return Shown(name, *image.size)


def read_picture(path: pathlib.Path) -> Image.Image:
    """Read an 8-bit greyscale or RGB picture as RGB, without metadata.

    Raises:
      InputError: the file cannot be read, or holds something that would have to be converted.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.mode in ("L", "RGB") and "transparency" not in image.info:
                pixels = image.convert("RGB")
                return Image.frombytes("RGB", pixels.size, pixels.tobytes())
            found = image.mode
    except Exception as error:  # decoders raise many types on damaged input
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())}).") from None
    raise InputError(
        f"{path}: expected 8-bit greyscale or RGB without transparency, got mode {found}; convert it first."
    )
