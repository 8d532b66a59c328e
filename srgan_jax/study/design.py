"""What a study is: the file `design.json`, which `create` writes and everything else reads."""

import dataclasses
import json
import pathlib
from typing import Any

from srgan_jax.errors import InputError
from srgan_jax.files import replace_text
from srgan_jax.study.plans import KINDS

DESIGN, ANSWERS, PICTURES, TEXTS = "design.json", "answers.sqlite", "pictures", "texts"
GRADES = range(1, 6)  # of absolute category rating: 1 bad, 2 poor, 3 fair, 4 good, 5 excellent
CHOICES = range(1, 3)  # of pairs: the first or the second is better


@dataclasses.dataclass(frozen=True)
class Shown:
    """A picture file as raters see it.

    Attributes:
      file: its name in the folder `pictures`; it is a digest and says nothing about the method.
      width, height: in pixels.
    """

    file: str
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Design:
    """What `design.json` holds. It says which method made which picture, so raters must never see it.

    Attributes:
      title: what raters read above the pictures.
      kind: "acr" or "pairs"; see plans.plan_raters.
      methods: their names, in the order of the tables.
      reference: the name of the method that is the original picture (the hidden reference), or "".
      pictures: {picture: {method: its file}}.
      calibration: examples that raters see first, each with the grade that it stands for.
      minimum_seconds: how long a picture must be looked at before an answer counts.
      magnification: how many screen pixels a picture's pixel is wide; 0 for the whole number that makes the picture
        about equally large on all screens.
      questions: what a rater is asked at the beginning; the replies are stored.
      plan: the numbers that the plans were made from (raters, per_rater, repeats, seed).
      scores: {method: {picture: {metric: value}}} of eval.py, for the correlation of metrics and opinions.
    """

    title: str
    kind: str
    methods: tuple[str, ...]
    reference: str
    pictures: dict[str, dict[str, Shown]]
    calibration: tuple[tuple[Shown, int], ...] = ()
    minimum_seconds: float = 1.0
    magnification: int = 0
    questions: tuple[str, ...] = ()
    plan: dict[str, Any] = dataclasses.field(default_factory=dict)
    scores: dict[str, dict[str, dict[str, float]]] = dataclasses.field(default_factory=dict)

    @property
    def answers(self) -> range:
        """The scores that a rater can give."""
        return GRADES if self.kind == "acr" else CHOICES


def write_design(folder: str | pathlib.Path, design: Design) -> None:
    """Write FOLDER/design.json."""
    text = json.dumps(dataclasses.asdict(design), indent=1, ensure_ascii=False)
    replace_text(pathlib.Path(folder) / DESIGN, text + "\n")


def read_design(folder: str | pathlib.Path) -> Design:
    """Read FOLDER/design.json.

    Raises:
      InputError: the folder is no study, or its design has been damaged.
    """
    path = pathlib.Path(folder) / DESIGN
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{path}: no such file; expected a folder that the command `create` has written.") from None
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, as `create` writes it ({error}).") from None
    try:
        pictures = {
            picture: {method: Shown(**shown) for method, shown in versions.items()}
            for picture, versions in values.pop("pictures").items()
        }
        calibration = tuple((Shown(**shown), grade) for shown, grade in values.pop("calibration"))
        lists = {name: tuple(values.pop(name)) for name in ("methods", "questions")}
        design = Design(pictures=pictures, calibration=calibration, **lists, **values)
        if design.kind not in KINDS or any(set(versions) != set(design.methods) for versions in pictures.values()):
            raise ValueError("kind or methods")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: expected a design as `create` writes it ({error!r}); create the study again."
        ) from None
    return design
