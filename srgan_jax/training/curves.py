"""The curves of training runs over each other: as one drawing, or as a page with the runs' samples and configs."""

import dataclasses
import fnmatch
import itertools
import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from PIL import Image

from srgan_jax import trees
from srgan_jax.errors import InputError, nearest_name
from srgan_jax.evaluation import pages
from srgan_jax.evaluation.drawing import Curve, Place, panels
from srgan_jax.files import check_outputs, replace_text

LOG = "metrics.jsonl"
POINTS = 500  # of a curve; where a log has more, means over equal parts of the steps are drawn
FEW = 20  # places of a curve that are not smoothed
SAMPLE_STEPS = 24  # of a run, on a page
SAMPLE_SIDE = 640  # pixels; of a larger sample the page shows the middle


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run has written down.

    Attributes:
      name: what the drawing calls it.
      directory: of the run, or None where there is only a log.
      curves: {metric: [(step, value), …]} in the order of the steps, values that are not finite left out.
    """

    name: str
    directory: pathlib.Path | None
    curves: dict[str, list[Place]]


def draw_runs(
    out: str | pathlib.Path, entries: Sequence[str], *, metrics: Iterable[str] = ("*",), smooth: float = 0.0
) -> None:
    """Draw the curves of runs to a file.

    Args:
      out: the file to write: a drawing if it ends in .svg, a page if it ends in .html.
      entries: "RUN" or "NAME=RUN", where RUN is a run's directory or its metrics.jsonl.
      metrics: names of metrics, or patterns of them ("g/*"), in the order of the panels.
      smooth: from 0 to below 1, see smoothed.

    Raises:
      InputError: there is no such run, its log cannot be read, no metric has this name, `smooth` is out of its range,
        or the name of the file to write ends otherwise.
    """
    out = pathlib.Path(out)
    if out.suffix not in (".svg", ".html"):
        raise InputError(f"{out}: expected a name that ends in .svg, for a drawing, or in .html, for a page.")
    if not 0 <= smooth < 1:
        raise InputError(f"smooth: {smooth!r} is no number from 0 to below 1.")
    runs = read_runs(entries)
    check_outputs([(out, "the drawing")], [_log(pathlib.Path(_parts(entry)[1])) for entry in entries])
    svg = draw(runs, choose(runs, metrics), smooth=smooth)
    replace_text(out, svg if out.suffix == ".svg" else page(runs, svg))


def read_runs(entries: Sequence[str]) -> list[Run]:
    """Read the logs of runs. Runs without a name have that of their directory; equal names become paths.

    Raises:
      InputError: see draw_runs.
    """
    found = []
    for entry in entries:
        name, path = _parts(entry)
        log = _log(pathlib.Path(path))
        directory = log.parent if (log.parent / "config.json").is_file() else None
        default = log.stem if log.name != LOG else log.absolute().parent.name
        found.append((Run(name or default, directory, read_log(log)), name or path))
    names = [run.name for run, _ in found]
    return [dataclasses.replace(run, name=path) if names.count(run.name) > 1 else run for run, path in found]


def _parts(entry: str) -> tuple[str, str]:
    """Return (name or "", path) of an entry; a path that exists is one even if "=" is in it."""
    if pathlib.Path(entry).exists():
        return "", entry
    name, _, path = entry.partition("=")
    return (name, path) if path else ("", entry)


def _log(path: pathlib.Path) -> pathlib.Path:
    return path / LOG if path.is_dir() else path


def read_log(path: str | pathlib.Path) -> dict[str, list[Place]]:
    """Read a metrics.jsonl. Its last line may be cut short, as the log of a run that goes on is.

    Returns:
      {metric: [(step, value), …]}.

    Raises:
      InputError: there is no such file, or it is no log of a run.
    """
    path = pathlib.Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise InputError(f"{path}: no such file; expected the directory of a run, or its {LOG}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected a log of a run, such as {LOG}.") from None
    curves: dict[str, list[Place]] = {}
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            step = int(values.pop("step"))
            for name, value in values.items():
                curves.setdefault(name, [])
                if value is not None and math.isfinite(value):
                    curves[name].append((step, float(value)))
        except (AttributeError, KeyError, TypeError, ValueError):
            if number == len(lines) > 1:
                break
            raise InputError(f"{path}: line {number} is none of a run's log; expected what training writes.") from None
    if not any(curves.values()):
        raise InputError(f"{path}: the run has logged nothing yet.")
    return {name: sorted(places) for name, places in curves.items() if places}


def choose(runs: Sequence[Run], patterns: Iterable[str]) -> list[str]:
    """Return the metrics that match one of the patterns, in the order of these.

    Raises:
      InputError: no run has a metric that matches a pattern.
    """
    known = list(dict.fromkeys(name for run in runs for name in run.curves))
    chosen: dict[str, None] = {}
    for pattern in patterns:
        matches = fnmatch.filter(known, pattern)
        if not matches:
            raise InputError(f"no run has logged {pattern!r}; {nearest_name(pattern, known)}")
        chosen |= dict.fromkeys(matches)
    return list(chosen)


def draw(runs: Sequence[Run], metrics: Sequence[str], *, smooth: float = 0.0) -> str:
    """Draw a panel for each metric, with a curve for each run; returns the text of an SVG file."""
    curves: dict[str, dict[str, Curve]] = {metric: {} for metric in metrics}
    for metric, run in itertools.product(metrics, runs):
        if places := run.curves.get(metric):
            raw = thinned(places)
            curves[metric][run.name] = Curve(thinned(smoothed(places, smooth)), raw if smooth else ())
    title = " · ".join(run.name for run in runs)
    return panels(curves, title=title if len(runs) == 1 else "Training runs", x_label="step")


def smoothed(places: Sequence[Place], weight: float) -> list[Place]:
    """Smooth a curve by an exponential moving average without the bias of its beginning (Kingma and Ba, "Adam", 2015).

    A curve of fewer than FEW places, such as that of a metric that is evaluated now and then, is left as it is.

    Args:
      places: (step, value), in order.
      weight: of what came before, from 0 (nothing changes) to below 1.
    """
    if len(places) < FEW:
        return list(places)
    mean, result = 0.0, []
    for count, (step, value) in enumerate(places, 1):
        mean = weight * mean + (1 - weight) * value
        result.append((step, mean / (1 - weight**count)))
    return result


def thinned(places: Sequence[Place], count: int = POINTS) -> list[Place]:
    """Return at most `count` places: the means over equal numbers of those that are given."""
    if len(places) <= count:
        return list(places)
    ends = [round(part * len(places) / count) for part in range(count + 1)]
    groups = (places[start:stop] for start, stop in itertools.pairwise(ends))
    return [tuple(sum(values) / len(values) for values in zip(*group, strict=True)) for group in groups]


def page(runs: Sequence[Run], svg: str) -> str:
    """Return the HTML page of runs: their curves, where their configs differ, and their samples over the steps.

    Raises:
      InputError: Jinja2 is not installed, or a config or a sample cannot be read.
    """
    configs = {run.name: _config(run) for run in runs}
    return pages.render(
        "runs.html",
        title=" · ".join(run.name for run in runs),
        curves=svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1),  # a page knows SVG by itself
        names=[run.name for run in runs],
        differences=differences(list(configs.values())),
        runs=[_on_page(run) for run in runs],
    )


def differences(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return (field, its value in each config) for each field of nested configs whose values are not all equal."""
    flat = [trees.flat(config, ".") for config in configs]
    fields = dict.fromkeys(field for config in flat for field in config)
    rows = ((field, [json.dumps(config[field]) if field in config else "–" for config in flat]) for field in fields)
    return [(field, values) for field, values in rows if len(set(values)) > 1]


def _config(run: Run) -> dict[str, Any]:
    if run.directory is None:
        return {}
    path = run.directory / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from None


def _on_page(run: Run) -> dict[str, Any]:
    last = max(step for places in run.curves.values() for step, _ in places)
    summary = f"{last:,} steps."
    samples: dict[str, dict[int, pathlib.Path]] = {}
    folder = run.directory / "samples" if run.directory else None
    for path in sorted(folder.glob("**/*.png")) if folder else ():
        if path.stem.isdecimal():
            samples.setdefault(path.parent.relative_to(folder).as_posix(), {})[int(path.stem)] = path
    steps = spread(sorted({step for pictures in samples.values() for step in pictures}), SAMPLE_STEPS)
    shown = [
        {"name": name, "pictures": [(step, _embedded(pictures[step])) for step in steps if step in pictures]}
        for name, pictures in samples.items()
    ]
    return {"name": run.name, "summary": summary, "steps": steps, "samples": [s for s in shown if s["pictures"]]}


def spread(values: Sequence[int], count: int) -> list[int]:
    """Return at most `count` of some values: the first, the last, and others that are spread evenly between them."""
    if len(values) <= count:
        return list(values)
    return [values[round(part * (len(values) - 1) / (count - 1))] for part in range(count)]


def _embedded(path: pathlib.Path) -> str:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            sides = [min(side, SAMPLE_SIDE) for side in image.size]
            left, top = ((whole - part) // 2 for whole, part in zip(image.size, sides, strict=True))
            middle = image.crop((left, top, left + sides[0], top + sides[1])).convert("RGB")
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from None
    return pages.embed(middle, "WEBP", quality=88)
