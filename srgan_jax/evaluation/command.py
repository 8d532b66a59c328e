"""What eval.py does: score one method, perhaps compare it with another, perhaps show both beside the interpolations."""

import json
import pathlib
from collections.abc import Iterable, Sequence

from srgan_jax import progress
from srgan_jax.errors import InputError
from srgan_jax.evaluation import comparison, methods, scoring
from srgan_jax.evaluation.report import Report
from srgan_jax.evaluation.sets import EvaluationSet, parse_sets
from srgan_jax.evaluation.tables import table
from srgan_jax.files import check_outputs, replace_text
from srgan_jax.metrics import default_scorers, make_scorers
from srgan_jax.parallel import processes


def evaluate_and_report(
    ckpt: str | None,
    data: Iterable[str],
    out: str | pathlib.Path,
    *,
    protocols: Sequence[str] = ("paper", "matlab"),
    metrics: Sequence[str] | None = None,
    weights: dict[str, str] | None = None,
    sr: str | None = None,
    vs: str | None = None,
    vs_sr: str | None = None,
    report: str | pathlib.Path | None = None,
    consistent: bool | None = None,
    scale: int | None = None,
    tile: int | None = None,
) -> None:
    """Evaluate a method and print its table.

    Args:
      ckpt: what methods.create_method takes; None where `sr` is given.
      data: entries "NAME=DIR", see sets.read_set.
      out: directory for results.json and the SR images.
      protocols: names out of metrics.PROTOCOLS.
      metrics: names out of metrics.METRICS; by default those whose weights are at hand, and NaN for pictures that are
        too small for one of them.
      weights: files of weights for metrics, by the names that their rows give them.
      sr: directory of the pictures that another program has made, in place of `ckpt`; see methods.of_pictures.
      vs: another method; its files go to OUT/vs, the comparison to OUT/comparison.json.
      vs_sr: another program's pictures, in place of `vs`.
      report: directory for an HTML page of the methods, nearest and bicubic.
      consistent: whether the methods' SR is changed so that its reduction is LR; by default as networks were made for.
      scale: the factor of interpolations and of other programs' pictures, 4 by default; a network has its own.
      tile: LR pixels computed at once; 0 for whole pictures.
    """
    out = pathlib.Path(out)
    if metrics is None:
        scorers = default_scorers(protocols=protocols, weights=weights)
    else:
        scorers = make_scorers(metrics, protocols=protocols, weights=weights)
    if sr:
        sets = parse_sets(data, scale=methods.scale_or_default(scale))
        method = methods.of_pictures(sr, sets, consistent=consistent)
    else:
        method = methods.create_method(ckpt, scale=scale, tile=tile, consistent=consistent)
        sets = parse_sets(data, scale=method.scale)
    other = None
    if vs_sr:
        other = methods.of_pictures(vs_sr, sets, consistent=consistent)
    elif vs:
        its_scale = method.scale if vs in methods.INTERPOLATIONS else None
        other = methods.create_method(vs, scale=its_scale, tile=tile, consistent=consistent)
    if other:
        _check_comparable(method, other)
    shown = {method.name: (method, out)} | ({other.name: (other, out / "vs")} if other else {})
    simple = [name for name in methods.INTERPOLATIONS if name not in shown] if report else []
    for name in simple:
        shown[name] = methods.create_method(name, scale=method.scale), pathlib.Path(report) / name
    outputs = [output for _, folder in shown.values() for output in scoring.outputs(sets, folder)]
    outputs += [(out / "comparison.json", "the comparison")] if other else []
    outputs += [(pathlib.Path(report) / "index.html", "the page")] if report else []
    inputs = [file for reader in (*sets, *(method for method, _ in shown.values())) for file in reader.files]
    check_outputs(outputs, inputs)
    if not other:
        _check_no_old_comparison(out)

    say = progress.say if processes.is_first() else lambda text: None
    page, results = Report(), {}
    for name, (shown_method, folder) in shown.items():
        collect = page.collector(name) if report else None
        with _progress_over(sets) as bar:

            def on_image(*pictures, bar=bar, collect=collect):
                bar.update()
                if collect:
                    collect(*pictures)

            bar.note(name)
            results[name] = scoring.run(shown_method, sets, folder, metrics=scorers, on_image=on_image)
        page.add(name, results[name])
        if shown_method is method:
            say(table(results[name]))
        elif shown_method is other:
            compared = comparison.compare(results[method.name], results[name])
            if processes.is_first():
                replace_text(out / "comparison.json", json.dumps(compared, indent=2) + "\n")
            say("\n" + comparison.comparison_table(compared))
    if report:
        order = [*simple, *([other.name] if other else []), method.name]
        say(f"\n{page.write(report, order=order)}")


def _progress_over(sets: Sequence[EvaluationSet]) -> progress.Progress:
    """Return how many pictures of some sets this process has scored; the first process shows it."""
    count = sum(len(processes.share(range(len(pairs.stems)))) for pairs in sets)
    return progress.Progress(count, unit="picture", hidden=not processes.is_first())


def _check_comparable(method: methods.Method, other: methods.Method) -> None:
    """Raise an InputError for methods of two scales, or one that is named twice."""
    if other.scale != method.scale:
        raise InputError(
            f"{other.name} enlarges {other.scale} times, but {method.name} {method.scale} times: "
            "they cannot be compared."
        )
    if other.name == method.name:
        raise InputError(f"{method.name} would be compared with itself; name another method.")


def _check_no_old_comparison(out: pathlib.Path) -> None:
    """Refuse a folder in which an earlier comparison would stand beside new results as if it belonged to them."""
    for path in (out / "comparison.json", out / "vs" / "results.json"):
        if path.exists():
            raise InputError(
                f"{path} is of an earlier comparison, and this run compares nothing; remove comparison.json and vs "
                f"from {out}, or choose another folder."
            )
