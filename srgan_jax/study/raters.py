"""What kind of raters there were: who should be left out, who is kind or strict, and who is unsure.

Two recommendations say whom to leave out (ITU-R BT.500, ITU-T P.913). A third way is to leave out nobody, and to
estimate everybody's bias and unsureness together with the scores (ITU-T P.910).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from srgan_jax.study.ratings import Scores, Table

ITERATIONS = 1000
TOLERANCE = 1e-8  # of the change of all scores
FLOOR = 1e-8  # of a rater's variance, who would otherwise get an infinite weight


class Screening(NamedTuple):
    """Who is left out by BT.500, and why.

    Attributes:
      outside: the share of a rater's grades that lie outside of what the others' spread allows.
      lopsided: 0 for a rater who is outside on both sides equally often, 1 for one who is so on one side only. A
        lopsided rater is kind or strict, but not unreliable.
      rejected: whether the share is above 5 % and the rater is not lopsided (below 0.3).
    """

    outside: Float[np.ndarray, " raters"]
    lopsided: Float[np.ndarray, " raters"]
    rejected: Bool[np.ndarray, " raters"]


def screen_bt500(table: Table, *, ddof: int = 1) -> Screening:
    """Screen raters as ITU-R BT.500 does (the annex on the screening of the observers for single-stimulus methods).

    A grade is outside if it is at least 2 standard deviations from the picture's mean where the grades look normal,
    which is where their kurtosis is between 2 and 4; otherwise √20 standard deviations.

    Args:
      table: grades.
      ddof: 1 for the standard deviation of a sample, as the recommendation has it.
    """
    above, below = np.zeros(len(table)), np.zeros(len(table))
    for grades in table.T:
        known = ~np.isnan(grades)
        values = grades[known]
        if len(values) < 2 or not np.ptp(values):
            continue
        centred = values - values.mean()
        kurtosis = (centred**4).mean() / (centred**2).mean() ** 2
        reach = (2 if 2 <= kurtosis <= 4 else math.sqrt(20)) * values.std(ddof=ddof)
        above[known] += centred >= reach
        below[known] += -centred >= reach
    count, both = (~np.isnan(table)).sum(1), above + below
    outside = both / np.maximum(count, 1)
    lopsided = np.abs(above - below) / np.maximum(both, 1)
    return Screening(outside, lopsided, (outside > 0.05) & (lopsided < 0.3))


class Correlations(NamedTuple):
    """Who is left out by P.913, and why.

    Attributes:
      pictures: Pearson's correlation of a rater's grades with the mean grades of all raters, over all pictures.
      methods: Pearson's correlation of the rater's mean grades of the methods with those of all raters.
      rejected: whether the rater is left out.
    """

    pictures: Float[np.ndarray, " raters"]
    methods: Float[np.ndarray, " raters"]
    rejected: Bool[np.ndarray, " raters"]


def screen_p913(scores: Scores, *, pictures: float = 0.75, methods: float = 0.8) -> Correlations:
    """Screen raters by correlation, as ITU-T P.913 and VQEG's multimedia test plan do.

    A rater is left out whose correlation is too low over both pictures and methods. The worst one is left out first,
    and then the means are computed again without this rater.

    Args:
      scores: grades.
      pictures, methods: the least correlations.
    """
    kept = np.ones(len(scores), bool)
    found = [np.full(len(scores), np.nan) for _ in range(2)]
    while kept.sum() > 2:
        means = _column_means(scores[kept].reshape(kept.sum(), -1))
        for i in np.flatnonzero(kept):
            own = scores[i].reshape(-1)
            known = ~np.isnan(own)
            grid = np.where(known, means, np.nan).reshape(scores.shape[1:])
            found[0][i] = _pearson(own[known], means[known])
            found[1][i] = _pearson(_column_means(scores[i]), _column_means(grid))
        low = kept & (found[0] < pictures) & (found[1] < methods)
        if not low.any():
            break
        kept[min(np.flatnonzero(low), key=lambda i: found[0][i])] = False
    return Correlations(*found, ~kept)


def _column_means(table: np.ndarray) -> np.ndarray:
    known = ~np.isnan(table)
    count = known.sum(0)
    return np.where(count, np.where(known, table, 0).sum(0) / np.maximum(count, 1), np.nan)


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation of what both have: 0 for a constant, which tells nothing, and NaN for too few."""
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    if len(a) < 3:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else 0.0


class Recovery(NamedTuple):
    """Scores with the raters' bias taken out of them.

    Attributes:
      scores: of all pictures; NaN for those without a grade.
      deviations: the standard errors of the scores. They take the inconsistencies for known, as P.910 does, and so are
        somewhat too small.
      bias: how much higher than the others a rater grades; the mean over raters is 0.
      inconsistency: the standard deviation of a rater's grades around score + bias.
      iterations: how many it took.
    """

    scores: Float[np.ndarray, " stimuli"]
    deviations: Float[np.ndarray, " stimuli"]
    bias: Float[np.ndarray, " raters"]
    inconsistency: Float[np.ndarray, " raters"]
    iterations: int


def recover_p910(table: Table) -> Recovery:
    """Estimate scores, biases and inconsistencies by maximum likelihood, as ITU-T P.910 (annex E) does.

    The model is grade = score of the picture + bias of the rater + inconsistency of the rater × normal noise (Li,
    Bampis, Krasula, Janowski and Katsavounidis, "A Simple Model for Subject Behavior in Subjective Experiments",
    2020). Its likelihood is raised by turns: in the biases, the inconsistencies and the scores, each given the others.
    An inconsistent rater so gets little weight, instead of being left out.

    Args:
      table: grades. Every rater and every picture must have one.
    """
    known = ~np.isnan(table)
    grades = np.where(known, table, 0)
    per_rater, per_picture = known.sum(1), known.sum(0)
    scores = grades.sum(0) / per_picture

    def estimate_bias() -> np.ndarray:
        return np.where(known, grades - scores, 0).sum(1) / per_rater

    bias = estimate_bias()
    iterations, change = 0, math.inf
    while change >= TOLERANCE and iterations < ITERATIONS:
        iterations += 1
        residual = np.where(known, grades - scores - bias[:, None], np.nan)
        variance = np.nanvar(residual, 1)
        weight = np.where(known, 1 / (variance + FLOOR)[:, None], 0)
        before = scores
        scores = (weight * (grades - bias[:, None])).sum(0) / weight.sum(0)
        bias = estimate_bias()
        change = np.linalg.norm(scores - before)
    deviations = 1 / np.sqrt(np.where(known, 1 / np.maximum(variance, FLOOR)[:, None], 0).sum(0))
    return Recovery(scores + bias.mean(), deviations, bias - bias.mean(), np.sqrt(variance), iterations)


def names_of(raters: Sequence[str], flags: Bool[np.ndarray, " raters"]) -> list[str]:
    """Return the names of the raters for whom a flag is set."""
    return [rater for rater, flag in zip(raters, flags, strict=True) if flag]
