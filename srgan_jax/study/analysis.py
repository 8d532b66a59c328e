"""Everything that the report says, as one JSON value."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from srgan_jax.study import opinions, pairs, raters
from srgan_jax.study.correlation import correlate_all
from srgan_jax.study.design import GRADES
from srgan_jax.study.opinions import raters_needed
from srgan_jax.study.ratings import SIMULATED, Grades, Rating, grades_of, set_of

DIFFERENCES = (
    0.1,
    0.2,
    0.3,
    0.5,
    1.0,
)  # between mean opinion scores, for which the report says how many raters it takes
ALL = "all sets"

MetricScores = Mapping[str, Mapping[str, Mapping[str, float]]]  # {method: {image: {metric: score}}}


def analyse_grades(
    ratings: Sequence[Rating], *, methods: Sequence[str] = (), reference: str = "", scores: MetricScores | None = None
) -> dict[str, Any]:
    """Analyse grades of single pictures.

    Args:
      ratings: the answers.
      methods: the order of the methods.
      reference: the method that is the original, or "".
      scores: of metrics.

    Returns:
      {"kind", "simulated", "raters", "answers", "reference", "groups": one entry for each set of pictures and one for
      all of them, "people": one row for each rater, "pictures": one for each version, "alpha", "repeats",
      "correlations", "power"}. All of them are named after the functions that they come from.
    """
    grades, scores = grades_of(ratings, methods), scores or {}
    table = grades.table
    graded = ~np.isnan(table).all(0)
    recovery = raters.recover_p910(table[:, graded])
    recovered = np.full(table.shape[1], np.nan)
    recovered[graded] = recovery.scores
    recovered = recovered.reshape(grades.scores.shape[1:])
    deviations = np.full(table.shape[1], np.nan)
    deviations[graded] = recovery.deviations
    bt500, p913 = raters.screen_bt500(table), raters.screen_p913(grades.scores)
    left_out = {"BT.500": raters.names_of(grades.raters, bt500.rejected)}
    left_out["P.913"] = raters.names_of(grades.raters, p913.rejected)
    names = [*grades.sets, *([ALL] if len(grades.sets) > 1 else [])]
    groups = [_group(name, grades, recovered, left_out, scores, reference) for name in names]
    spread = [row["deviation"] for row in groups[-1]["differences"] if not math.isnan(row["deviation"])]
    typical = float(np.median(spread)) if spread else math.nan
    means = opinions.stimulus_opinions(grades.scores)
    pictures = [
        {
            "image": image,
            "method": method,
            "mos": float(means[i, j]),
            "ratings": int((~np.isnan(grades.scores[:, i, j])).sum()),
            "recovered": float(recovered[i, j]),
            "deviation": float(deviations.reshape(means.shape)[i, j]),
        }
        | dict(scores.get(method, {}).get(image, {}))
        for i, image in enumerate(grades.images)
        for j, method in enumerate(grades.methods)
    ]
    people = [
        {
            "rater": rater,
            "answers": int((~np.isnan(table[i])).sum()),
            "mean": float(np.nanmean(table[i])),
            "bias": float(recovery.bias[i]),
            "inconsistency": float(recovery.inconsistency[i]),
            "bt500_outside": float(bt500.outside[i]),
            "bt500_lopsided": float(bt500.lopsided[i]),
            "bt500_rejected": bool(bt500.rejected[i]),
            "p913_pictures": float(p913.pictures[i]),
            "p913_methods": float(p913.methods[i]),
            "p913_rejected": bool(p913.rejected[i]),
        }
        | _habits([rating for rating in ratings if rating.rater == rater])
        for i, rater in enumerate(grades.raters)
    ]
    repeats = opinions.agreement_of_repeats(grades)
    without_reference = {method: found for method, found in scores.items() if method != reference}
    return _head("acr", ratings) | {
        "reference": reference,
        "groups": groups,
        "people": people,
        "pictures": pictures,
        "left_out": left_out,
        "alpha": {level: opinions.alpha(table, level) for level in ("ordinal", "interval")},
        "repeats": repeats._asdict() if repeats else None,
        "correlations": [row._asdict() for row in correlate_all(grades, without_reference)],
        "power": {
            "deviation": typical,
            "rows": [
                {"difference": size, "raters": raters_needed(size, typical)} for size in DIFFERENCES if typical >= 0
            ],
        },
    }


def _head(kind: str, ratings: Sequence[Rating]) -> dict[str, Any]:
    names = {rating.rater for rating in ratings}
    simulated = any(name.startswith(SIMULATED) for name in names)
    return {"kind": kind, "simulated": simulated, "raters": len(names), "answers": len(ratings)}


def _group(
    name: str,
    grades: Grades,
    recovered: np.ndarray,
    left_out: Mapping[str, Sequence[str]],
    scores: MetricScores,
    reference: str,
) -> dict[str, Any]:
    """Analyse the pictures of one set, or of all."""
    of_set = grades if name == ALL else grades.of_set(name)
    rows = [i for i, image in enumerate(grades.images) if name in (ALL, set_of(image))]
    found = opinions.mean_opinions(of_set)
    differences = [difference._asdict() for difference in opinions.compare_methods(of_set)]
    screened = {rule: opinions.mean_opinions(of_set.without(names)) for rule, names in left_out.items()}
    methods = []
    for j, (method, opinion) in enumerate(zip(grades.methods, found, strict=True)):
        column = of_set.scores[:, :, j]
        given = column[~np.isnan(column)]
        shares = [float((np.floor(given + 0.5) == grade).mean()) if len(given) else 0.0 for grade in GRADES]
        ours = [scores.get(method, {}).get(image, {}) for image in of_set.images]
        metrics = [metric for metric in ours[0] if all(metric in score for score in ours)]
        methods.append(
            {"method": method}
            | opinion._asdict()
            | {
                "recovered": float(np.nanmean(recovered[rows, j])) if len(given) else math.nan,
                "screened": {rule: of_rule[j].mean for rule, of_rule in screened.items()},
                "shares": shares,
                "metrics": {metric: float(np.mean([score[metric] for score in ours])) for metric in metrics},
                "best": False,
            }
        )
    rivals = [row for row in methods if row["method"] != reference and not math.isnan(row["mean"])]
    if len(rivals) > 1:
        best = max(rivals, key=lambda row: row["mean"])
        others = {row["method"] for row in rivals} - {best["method"]}
        meetings = [row for row in differences if best["method"] in (row["first"], row["second"])]
        ours = [row for row in meetings if {row["first"], row["second"]} & others]
        best["best"] = all(row["p_holm"] < 0.05 for row in ours)
    return {"name": name, "images": len(of_set.images), "methods": methods, "differences": differences}


def _habits(ratings: Sequence[Rating]) -> dict[str, float | None]:
    """Return how one rater worked: the median of the seconds for an answer, and the screen."""
    times = [rating.milliseconds / 1000 for rating in ratings if rating.milliseconds is not None]
    last = ratings[-1]
    screen = {"ratio": last.ratio, "magnification": last.magnification, "width": last.width, "height": last.height}
    return {"seconds": float(np.median(times)) if times else None} | screen


def analyse_pairs(ratings: Sequence[Rating], *, methods: Sequence[str] = ()) -> dict[str, Any]:
    """Analyse choices between two versions of a picture.

    Returns:
      {"kind", "simulated", "raters", "answers", "strengths": one row for each method, "meetings": one for each two,
      "firsts", "repeats": shares, "people"}. "firsts" is how often the first one shown was chosen; where nothing is
      wrong it is near to one half.
    """
    choices = pairs.choices_of(ratings, methods)
    total = choices.wins.sum(0)
    names = choices.methods
    meetings = [
        {
            "first": names[i],
            "second": names[j],
            "won": int(total[i, j]),
            "count": int(total[i, j] + total[j, i]),
            "p": pairs.preference_p(total, i, j),
        }
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    agreed, repeated = choices.repeats
    people = [
        {"rater": rater, "answers": sum(rating.rater == rater for rating in ratings)}
        | _habits([rating for rating in ratings if rating.rater == rater])
        for rater in choices.raters
    ]
    return _head("pairs", ratings) | {
        "strengths": [row._asdict() for row in pairs.strengths(choices)],
        "meetings": meetings,
        "firsts": choices.firsts[0] / choices.firsts[1],
        "repeats": {"count": repeated, "equal": agreed / repeated} if repeated else None,
        "people": people,
    }
