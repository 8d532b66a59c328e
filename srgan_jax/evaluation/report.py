"""One self-contained HTML page: the table, and crops of every picture side by side, as in the paper's figures."""

import functools
import operator
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from srgan_jax.evaluation import pages
from srgan_jax.evaluation.tables import columns_of, notes, scores_table
from srgan_jax.files import replace_text
from srgan_jax.images.heat_map import heat_map
from srgan_jax.images.montage import as_rgb, most_different_region
from srgan_jax.metrics import LRPicture, SRPicture
from srgan_jax.parallel import processes
from srgan_jax.upscaling.invention import invention

CROP = 128  # HR pixels on each side
WIDTH = 320  # of the whole picture on the page, pixels


class Report:
    """Collects crops while methods are evaluated, then writes the page.

    The square shown of a picture is the one in which the first method added differs most from HR. A heat map
    shows how far the last two methods are apart there. Where they are a model of least error and an SRGAN, this is what
    the SRGAN has invented.
    """

    def __init__(self) -> None:
        self._methods: dict[str, dict] = {}  # label -> results
        self._pictures: dict[tuple[str, str], dict] = {}  # (set, stem) -> region, whole, crops

    def collector(self, label: str) -> Callable[..., None]:
        """Return what scoring.run takes as `on_image` for the method that the page calls `label`.

        Raises:
          InputError: Jinja2, which the page needs, is not installed.
        """
        pages.environment()

        def collect(dataset: str, stem: str, lr: LRPicture, sr: SRPicture, hr: SRPicture) -> None:
            picture = self._pictures.setdefault((dataset, stem), {})
            if not picture:
                region = most_different_region(sr, hr, CROP)
                whole = Image.fromarray(np.ascontiguousarray(as_rgb(hr)))
                whole.thumbnail((WIDTH, WIDTH))
                picture |= {"region": region, "size": hr.shape[:2], "whole": pages.embed(whole, "JPEG")}
                picture |= {"crops": {}, "levels": {}}
                picture["hr"] = pages.embed(hr[region], "PNG")
            picture["levels"][label] = as_rgb(sr[picture["region"]])
            picture["crops"][label] = pages.embed(picture["levels"][label], "PNG")

        return collect

    def add(self, label: str, results: dict[str, Any]) -> None:
        """Add what scoring.run returned for a method."""
        self._methods[label] = results

    def write(self, directory: str | pathlib.Path, *, order: Sequence[str] = ()) -> pathlib.Path:
        """Write DIRECTORY/index.html and return its path; `order` names the methods from left to right."""
        labels = list(order or self._methods)
        first = self._methods[labels[0]]
        means = [
            ([dataset, label], self._methods[label]["datasets"][dataset]["mean"])
            for dataset in first["datasets"]
            for label in labels
        ]
        columns = columns_of(means[0][1])

        def described(dataset: str, stem: str, picture: dict[str, Any]) -> dict[str, Any]:
            crops = []
            for label in labels:
                scores = self._methods[label]["datasets"][dataset]["images"][stem]
                lines = [f"{column.name}: {column.cell(scores)}" for column in columns]
                crops.append((label, picture["crops"][label], lines))
            crops.append(("HR", picture["hr"], ["original"]))
            if len(labels) > 1:
                other, last = labels[-2:]
                apart = invention(*(picture["levels"][label] for label in (last, other)))
                lines = ["the channel that differs most", f"mean: {apart.mean():.1f} levels"]
                crops.append((f"|{last} − {other}|", pages.embed(heat_map(apart, unit="levels"), "PNG"), lines))
            return {"name": f"{dataset} · {stem}", "whole": picture["whole"], "box": _box(picture), "crops": crops}

        pictures = functools.reduce(operator.or_, processes.gather(self._pictures))
        path = pathlib.Path(directory) / "index.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        if processes.is_first():
            page = pages.render(
                "evaluation.html",
                title=" · ".join(labels),
                table=scores_table(["set", "method"], means).html(),
                notes=notes(first),
                pictures=[described(*name, picture) for name, picture in sorted(pictures.items())],
            )
            replace_text(path, page)
        return path


def _box(picture: dict[str, Any]) -> str:
    """Return where the square that is shown lies in the whole picture, as CSS."""
    rows, columns = picture["region"]
    height, width = picture["size"]
    return (
        f"left:{100 * columns.start / width:.2f}%;top:{100 * rows.start / height:.2f}%;"
        f"width:{100 * (columns.stop - columns.start) / width:.2f}%;"
        f"height:{100 * (rows.stop - rows.start) / height:.2f}%"
    )
