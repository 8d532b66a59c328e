"""Answers as tables: read from a study or a CSV file, written as CSV and as JSON for sureal, and laid out as arrays.

A table has one line for each answer, with at least the columns rater, image, method and score. In a study of pairs,
`other` is the version that `method` was compared with, and the score is 1 where `method` was chosen, otherwise 0.
"""

import csv
import dataclasses
import io
import json
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from srgan_jax.errors import InputError
from srgan_jax.study.store import Store

NEEDED = ("rater", "image", "method", "score")
SIMULATED = "simulated-"  # how the names of raters begin who are none

Scores = Float[np.ndarray, "raters images methods"]  # NaN where there is no answer
Table = Float[np.ndarray, "raters stimuli"]


class Rating(NamedTuple):
    """One answer. `image` is "SET/STEM", or a name without a set; None stands for what is not known."""

    rater: str
    image: str
    method: str
    score: float
    other: str = ""
    repeat: int = 0
    position: int | None = None
    milliseconds: int | None = None
    ratio: float | None = None
    magnification: int | None = None
    width: int | None = None
    height: int | None = None


@dataclasses.dataclass(frozen=True)
class Grades:
    """Grades of single pictures.

    Attributes:
      raters, images, methods: the names along the axes of `scores`.
      scores: the first grade that each rater gave to each version of each image.
      repeats: (rater, first grade, second grade) of the questions that were asked twice.
    """

    raters: tuple[str, ...]
    images: tuple[str, ...]
    methods: tuple[str, ...]
    scores: Scores
    repeats: tuple[tuple[str, float, float], ...] = ()

    @property
    def table(self) -> Table:
        """The grades with one column for each version of each image."""
        return self.scores.reshape(len(self.raters), -1)

    def of_set(self, name: str) -> "Grades":
        """Return the grades of the images of one set."""
        kept = [i for i, image in enumerate(self.images) if set_of(image) == name]
        return dataclasses.replace(self, images=tuple(self.images[i] for i in kept), scores=self.scores[:, kept])

    def without(self, raters: Iterable[str]) -> "Grades":
        """Return the grades of the other raters."""
        raters = set(raters)
        kept = [i for i, rater in enumerate(self.raters) if rater not in raters]
        repeats = tuple(repeat for repeat in self.repeats if repeat[0] not in raters)
        names = tuple(self.raters[i] for i in kept)
        return dataclasses.replace(self, raters=names, scores=self.scores[kept], repeats=repeats)

    @property
    def sets(self) -> tuple[str, ...]:
        """The names of the sets of images, in order."""
        return tuple(dict.fromkeys(map(set_of, self.images)))


def set_of(image: str) -> str:
    """Return "Set5" of "Set5/baby", and "" of an image without a set."""
    return image.rpartition("/")[0]


def from_store(store: Store) -> list[Rating]:
    """Return all answers of a study."""
    prefix = SIMULATED if store.setting("simulated") else ""
    ratings = []
    for row in store.rows():
        score, *measures = row.answer
        score = float(score == 1) if row.item.other else float(score)
        names = (f"{prefix}{row.rater}", row.item.picture, row.item.method, score, row.item.other)
        ratings.append(Rating(*names, int(row.item.repeat), row.position, *measures))
    return ratings


def read_csv(path: str | pathlib.Path) -> list[Rating]:
    """Read a table of answers.

    Raises:
      InputError: there is no such file, it lacks a column, or a line holds something else than an answer.
    """
    path = pathlib.Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError:
        raise InputError(f"{path}: no such file; expected a folder of a study, or a table of answers.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected a table as text in UTF-8 ({error}).") from None
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{path}: expected the columns {', '.join(NEEDED)}; {', '.join(missing)} is missing.")
    ratings = []
    for line in reader:
        try:
            ratings.append(_rating(line))
        except (AttributeError, TypeError, ValueError):
            raise InputError(
                f"{path}, line {reader.line_num}: expected an answer, got {list(line.values())}."
            ) from None
    return ratings


def _rating(line: dict[str, Any]) -> Rating:
    names = {name: line[name].strip() for name in ("rater", "image", "method")}
    names["other"] = (line.get("other") or "").strip()
    numbers = {name: float(line[name]) if line.get(name) else None for name in Rating._fields[5:]}
    numbers["repeat"] = int(numbers["repeat"] or 0)
    score = float(line["score"])
    if not (all(names[name] for name in NEEDED[:3]) and math.isfinite(score)):
        raise ValueError
    return Rating(**names, score=score, **numbers)


def csv_of(ratings: Iterable[Rating]) -> str:
    """Return a table of answers as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Rating._fields)
    writer.writerows([f"{x:g}" if isinstance(x, float) else x for x in rating] for rating in ratings)
    return out.getvalue()


def grades_of(ratings: Sequence[Rating], methods: Sequence[str] = ()) -> Grades:
    """Lay grades out as an array.

    Args:
      ratings: answers without `other`.
      methods: the order of the methods; what is not in it follows in the order of the answers.

    Raises:
      InputError: there are no answers, or a rater has graded one picture twice and no answer is marked as a repeat.
    """
    if not ratings:
        raise InputError("there are no answers yet.")
    present = dict.fromkeys(rating.method for rating in ratings)
    order = [method for method in methods if method in present]
    methods = tuple(dict.fromkeys([*order, *present]))
    raters = tuple(dict.fromkeys(rating.rater for rating in ratings))
    images = tuple(sorted({rating.image for rating in ratings}))
    places = [{name: i for i, name in enumerate(names)} for names in (raters, images, methods)]
    scores = np.full([len(place) for place in places], np.nan)
    again = []
    for rating in ratings:
        at = places[0][rating.rater], places[1][rating.image], places[2][rating.method]
        if rating.repeat:
            again.append((rating.rater, at, rating.score))
        elif np.isnan(scores[at]):
            scores[at] = rating.score
        else:
            raise InputError(
                f"rater {rating.rater} has graded {rating.image} by {rating.method} twice; mark the second grade by "
                "a 1 in the column repeat."
            )
    repeats = tuple((rater, float(scores[at]), score) for rater, at, score in again if not np.isnan(scores[at]))
    return Grades(raters, images, methods, scores, repeats)


def sureal_json(grades: Grades) -> str:
    """Return grades as a data set that sureal (github.com/Netflix/sureal) reads, which has further models of raters."""
    references = [{"content_id": i, "content_name": image, "path": image} for i, image in enumerate(grades.images)]
    versions = []
    for i, image in enumerate(grades.images):
        for j, method in enumerate(grades.methods):
            scores = zip(grades.raters, grades.scores[:, i, j].tolist(), strict=True)
            opinions = {rater: score for rater, score in scores if not math.isnan(score)}
            place = {"content_id": i, "asset_id": len(versions), "path": f"{image}/{method}", "method": method}
            versions.append(place | {"os": opinions})
    return json.dumps({"ref_score": 5.0, "ref_videos": references, "dis_videos": versions}, indent=1) + "\n"
