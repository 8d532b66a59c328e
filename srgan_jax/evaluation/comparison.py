"""Two methods on the same pictures: which is better, and is the difference more than chance?"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import stats

from srgan_jax.evaluation.tables import Column, Table, columns_of

RESAMPLES = 10_000


def compare(results: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Compare what `scoring.run` returned for two methods, picture by picture.

    A metric that is best at some value, such as contrast at 1, is compared by its distance from that value.

    Returns:
      {"method", "other": what their results say of the two methods,
      "datasets": {set: {protocol: {"psnr": difference, "ssim": difference}, metric: difference}}}. A difference is
      {"mean_difference": of results - other, over the pictures in which both scores are finite,
      "interval": its 95 % interval, from a percentile bootstrap over pictures (10,000 resamples, fixed seed),
      "wilcoxon_p": of the paired two-sided Wilcoxon signed-rank test, which the paper uses (section 3.1),
      "count": of those pictures,
      "better": the name of the method on whose side the whole interval lies}.
      Intervals are null for fewer than two pictures; p is null where all differences are zero; "better" is null where
      the interval has zero in it.
    """
    names = results["method"]["name"], other["method"]["name"]
    datasets = {}
    for dataset, scores in results["datasets"].items():
        theirs = other["datasets"][dataset]
        columns = [column for column in columns_of(scores["mean"]) if column in columns_of(theirs["mean"])]
        compared = datasets[dataset] = {}
        for column in columns:
            values = [
                (column.value(image), column.value(theirs["images"][stem])) for stem, image in scores["images"].items()
            ]
            place = compared.setdefault(column.protocol, {}) if column.protocol else compared
            place[column.metric.name] = _differ(column, values, names)
    return {"method": results["method"], "other": other["method"], "datasets": datasets}


def _differ(column: Column, pairs: Iterable[tuple[float | None, float | None]], names: tuple[str, str]) -> dict:
    metric = column.metric
    sign = 1 if metric.best == math.inf else -1  # merits of the others are minus a distance, which tables show
    differences = np.array(
        [sign * (metric.merit(mine) - metric.merit(theirs)) for mine, theirs in pairs if None not in (mine, theirs)]
    )
    count = len(differences)
    interval = wilcoxon_p = winner = None
    if count > 1:
        picks = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
        interval = np.percentile(differences[picks].mean(1), (2.5, 97.5)).tolist()
        if interval[0] * interval[1] > 0:
            winner = names[0] if sign * interval[0] > 0 else names[1]
    if differences.any():
        wilcoxon_p = float(stats.wilcoxon(differences).pvalue)
    mean = float(differences.mean()) if count else None
    return {"mean_difference": mean, "interval": interval, "wilcoxon_p": wilcoxon_p, "count": count, "better": winner}


def comparison_table(comparison: dict[str, Any]) -> str:
    """Return the comparison as a Markdown table."""
    rows = []
    for dataset, compared in comparison["datasets"].items():
        for column in columns_of(compared):
            values, text = column.value(compared), column.metric.text
            interval = " … ".join(text(x, signed=True) for x in values["interval"] or ()) or "–"
            p = "–" if values["wilcoxon_p"] is None else f"{values['wilcoxon_p']:.2g}"
            mean = "–" if values["mean_difference"] is None else text(values["mean_difference"], signed=True)
            best = column.metric.best
            title = column.title if best in (0, math.inf) else f"{column.name}, distance from {best:g} ↓"
            rows.append([dataset, title, mean, interval, p, str(values["count"]), values["better"] or "–"])
    header = ["set", "metric", "mean", "95 % interval", "Wilcoxon p", "images", "better"]
    title = f"{comparison['method']['name']} minus {comparison['other']['name']}:"
    return f"{title}\n\n{Table(header, rows).markdown()}"
