"""The perception-distortion plane (Blau and Michaeli, CVPR 2018): how true pictures are, and how natural they look.

A method is a point, methods from published.py are grey points, and the generators between two others are a curve. The
PIRM challenge of 2018 ranked methods in such a plane.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from srgan_jax import generators
from srgan_jax.errors import InputError
from srgan_jax.evaluation import methods, scoring
from srgan_jax.evaluation.drawing import Point, scatter
from srgan_jax.evaluation.published import PUBLISHED
from srgan_jax.evaluation.sets import EvaluationSet, parse_sets
from srgan_jax.evaluation.tables import Column, scores_table
from srgan_jax.files import check_outputs, replace_text
from srgan_jax.metrics import METRICS, Scorer, check_metrics, check_protocols, make_scorers
from srgan_jax.parallel import processes
from srgan_jax.upscaling import blend

STEPS = 10  # between the two ends of a curve


def draw_plane(
    svg: str | pathlib.Path,
    results: Sequence[str],
    *,
    dataset: str | None = None,
    x: str = "psnr",
    y: str = "lpips_alex",
    protocol: str = "matlab",
    published: bool = True,
    blend_of: Sequence[str] | None = None,
    data: Iterable[str] = (),
    out: str | pathlib.Path | None = None,
) -> None:
    """Draw the plane to a file, and print a table of the methods in it.

    Args:
      svg: the file to write.
      results: folders of results; "NAME=" before one is what the plane calls the method.
      dataset: the set whose means are drawn; by default the first one.
      x, y: names out of metrics.METRICS.
      protocol: of PSNR and SSIM.
      published: whether the methods of published.py are drawn too.
      blend_of: two generators, for a curve of what lies between them.
      data: entries "NAME=DIR" for the curve, see sets.read_set.
      out: directory for the results of the curve.

    Raises:
      InputError: an unknown name, results that lack a set or a metric, or generators that cannot be blended.
    """
    check_metrics((x, y))
    check_protocols([protocol])
    check_outputs([(svg, "the plane")], [_parts(entry)[1] for entry in results])
    found = [read_results(entry) for entry in results]
    if blend_of:
        sets = parse_sets(data, scale=generators.load(blend_of[0]).module.scale)
        found += evaluate_blends(*blend_of, sets, out, metrics=make_scorers((x, y), protocols=[protocol]))
    dataset = dataset or next(iter(found[0]["datasets"]))
    columns = (Column(METRICS[name], None if METRICS[name].make else protocol) for name in (x, y))
    drawing = draw(found, dataset, *columns, published=published)
    if processes.is_first():
        replace_text(svg, drawing)
        rows = [([result["method"]["name"]], result["datasets"][dataset]["mean"]) for result in found]
        print(f"{scores_table(['method'], rows).markdown()}\n\n{svg}")


def read_results(entry: str) -> dict[str, Any]:
    """Read what scoring.run has written.

    Args:
      entry: a results.json or the folder that holds it; "NAME=" before it names the method.

    Raises:
      InputError: there is no such file, or another one.
    """
    label, path = _parts(entry)
    path = path / "results.json" if path.is_dir() else path
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if not (results["method"]["name"] and all(scores["mean"] for scores in results["datasets"].values())):
            raise ValueError("no scores")
        results["method"]["name"] = label or results["method"]["name"]
    except OSError:
        raise InputError(
            f"{path}: no such file; expected results.json of eval.py, or the folder that holds it."
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: expected what eval.py writes as results.json ({error!r}).") from None
    return results


def _parts(entry: str) -> tuple[str, pathlib.Path]:
    """Return (name, path) of "NAME=PATH" or "PATH"."""
    label, _, path = entry.rpartition("=")
    return label, pathlib.Path(path)


def evaluate_blends(
    first: str, second: str, sets: Sequence[EvaluationSet], out: str | pathlib.Path, *, metrics: Mapping[str, Scorer]
) -> list[dict[str, Any]]:
    """Evaluate the generators between two of one architecture, see upscaling.blend.

    Args:
      first, second: what generators.load takes.
      sets: the pictures.
      out: directory; the generator with a share of .3 of the second has its files in OUT/blend-0.3.
      metrics: scorers by name, from metrics.make_scorers.

    Returns:
      The results of each, as scoring.run returns them; "method" has "blend": [first, second, share].
    """
    ends = generators.load(first), generators.load(second)
    shares = [step / STEPS for step in range(STEPS + 1)]
    folders = [pathlib.Path(out) / f"blend-{share:.1f}" for share in shares]
    outputs = [output for folder in folders for output in scoring.outputs(list(sets), folder)]
    check_outputs(outputs, [file for pairs in sets for file in pairs.files])
    results = []
    for share, folder in zip(shares, folders, strict=True):
        method = methods.of_generator(blend(*ends, share))
        method = dataclasses.replace(method, about=method.about | {"blend": [first, second, share]})
        results.append(scoring.run(method, sets, folder, metrics=metrics))
    return results


def draw(results: Iterable[dict[str, Any]], dataset: str, x: Column, y: Column, *, published: bool = True) -> str:
    """Draw methods in the plane.

    Args:
      results: of methods, as read_results and evaluate_blends return them; those that have "blend" become curves.
      dataset: the set whose means are drawn.
      x, y: what the axes show.
      published: whether the methods of published.py are drawn too, as far as they have both numbers for this set.

    Returns:
      The text of an SVG file.

    Raises:
      InputError: results lack the set or one of the numbers.
    """
    points, curves = [], {}
    for result in results:
        name, place = result["method"]["name"], tuple(_mean(result, dataset, column) for column in (x, y))
        if "blend" in result["method"]:
            first, second, share = result["method"]["blend"]
            curves.setdefault(f"from {first} to {second}", []).append((share, place))
        else:
            points.append(Point(name, *place))
    sources = set()
    for name, (scores, source) in PUBLISHED.get(dataset, {}).items() if published else ():
        if x.metric.name in scores and y.metric.name in scores and x.protocol in (None, "matlab"):
            points.append(Point(name, scores[x.metric.name], scores[y.metric.name], faint=True))
            sources.add(source)
    return scatter(
        points,
        [(label, [place for _, place in sorted(dots)]) for label, dots in curves.items()],
        title=f"{dataset}: distortion and perception",
        x_label=f"{x.name}, {x.metric.direction}",
        y_label=f"{y.name}, {y.metric.direction}",
        note=f"Grey: as published by {'; '.join(sorted(sources))}." if sources else "",
    )


def _mean(result: dict[str, Any], dataset: str, column: Column) -> float:
    name = result["method"]["name"]
    if dataset not in result["datasets"]:
        raise InputError(f"the results of {name} have no set {dataset!r}; they have {', '.join(result['datasets'])}.")
    try:
        value = column.value(result["datasets"][dataset]["mean"])
    except KeyError:
        value = None
    if value is None:
        raise InputError(f"the results of {name} have no {column.name} of {dataset}; evaluate this metric too.")
    return value
