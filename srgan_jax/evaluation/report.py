"""One self-contained HTML page: the table, and crops of every picture side by side, as in the paper's figures."""

import base64
import functools
import html
import io
import operator
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from srgan_jax.evaluation.tables import columns_of, notes, scores_table
from srgan_jax.files import replace_text
from srgan_jax.images.montage import as_rgb, most_different_region
from srgan_jax.metrics import LRPicture, SRPicture
from srgan_jax.parallel import processes

CROP = 128  # HR pixels on each side
WIDTH = 320  # of the whole picture on the page, pixels

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1500px; margin: 2rem auto; padding: 0 1rem; color: #222; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; }
th, td { border: 1px solid #ccc; padding: .3rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
section { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; margin-bottom: 2.5rem; }
h1, h3, p { overflow-wrap: anywhere; }
h3 { width: 100%; margin: 0; }
.whole { position: relative; line-height: 0; max-width: 100%; }
.whole img { max-width: 100%; }
.whole div { position: absolute; border: 2px solid #e33; box-shadow: 0 0 0 1px #fff; box-sizing: border-box; }
figure { margin: 0; width: 200px; max-width: 100%; }
figure img { width: 100%; image-rendering: pixelated; }
figcaption { font-size: 12px; line-height: 1.35; overflow-wrap: anywhere; }
"""


class Report:
    """Collects crops while methods are evaluated, then writes the page.

    The square shown of a picture is the one in which the first method added differs most from HR.
    """

    def __init__(self):
        self._methods: dict[str, dict] = {}  # label -> results
        self._pictures: dict[tuple[str, str], dict] = {}  # (set, stem) -> region, whole, crops

    def collector(self, label: str) -> Callable[..., None]:
        """What scoring.run takes as `on_image` for the method that the page calls `label`."""

        def collect(dataset: str, stem: str, lr: LRPicture, sr: SRPicture, hr: SRPicture) -> None:
            picture = self._pictures.setdefault((dataset, stem), {})
            if not picture:
                region = most_different_region(sr, hr, CROP)
                whole = Image.fromarray(np.ascontiguousarray(as_rgb(hr)))
                whole.thumbnail((WIDTH, WIDTH))
                picture |= {"region": region, "size": hr.shape[:2], "whole": _embed(whole, "JPEG"), "crops": {}}
                picture["hr"] = _embed(Image.fromarray(as_rgb(hr)[region]), "PNG")
            picture["crops"][label] = _embed(Image.fromarray(as_rgb(sr)[picture["region"]]), "PNG")

        return collect

    def add(self, label: str, results: dict[str, Any]) -> None:
        """Add what scoring.run returned for a method."""
        self._methods[label] = results

    def write(self, directory: str | pathlib.Path, *, order: Sequence[str] = ()) -> pathlib.Path:
        """Write DIRECTORY/index.html and return its path; `order` names the methods from left to right."""
        labels = list(order or self._methods)
        first = self._methods[labels[0]]
        pictures = functools.reduce(operator.or_, processes.gather(self._pictures))
        means = [
            ([dataset, label], self._methods[label]["datasets"][dataset]["mean"])
            for dataset in first["datasets"]
            for label in labels
        ]
        parts = [f"<h1>{html.escape(' · '.join(labels))}</h1>", scores_table(["set", "method"], means).html()]
        parts += [f"<p><b>{html.escape(name)}</b>: {html.escape(text)}</p>" for name, text in notes(first)]
        columns = columns_of(means[0][1])
        for (dataset, stem), picture in sorted(pictures.items()):
            parts.append(f"<section><h3>{html.escape(dataset)} · {html.escape(stem)}</h3>{_whole(picture)}")
            for label in labels:
                scores = self._methods[label]["datasets"][dataset]["images"][stem]
                lines = [f"{column.name}: {column.cell(scores)}" for column in columns]
                parts.append(_figure(label, picture["crops"][label], lines))
            parts.append(_figure("HR", picture["hr"], ["original"]) + "</section>")
        path = pathlib.Path(directory) / "index.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Evaluation</title>'
        head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>'
        if processes.is_first():
            replace_text(path, head + "\n".join(parts) + "</html>\n")
        return path


def _whole(picture: dict[str, Any]) -> str:
    """HR with the shown square marked."""
    rows, columns = picture["region"]
    height, width = picture["size"]
    box = (
        f"left:{100 * columns.start / width:.2f}%;top:{100 * rows.start / height:.2f}%;"
        f"width:{100 * (columns.stop - columns.start) / width:.2f}%;"
        f"height:{100 * (rows.stop - rows.start) / height:.2f}%"
    )
    return f'<div class="whole"><img alt="HR" src="{picture["whole"]}"><div style="{box}"></div></div>'


def _figure(label: str, source: str, lines: list[str]) -> str:
    caption = "<br>".join([f"<b>{html.escape(label)}</b>", *map(html.escape, lines)])
    return f'<figure><img alt="{html.escape(label)}" src="{source}"><figcaption>{caption}</figcaption></figure>'


def _embed(image: Image.Image, kind: str) -> str:
    data = io.BytesIO()
    image.save(data, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"
