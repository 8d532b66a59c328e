"""Statistics of grades: mean opinion scores, differences between methods, agreement, and how many raters it takes.

Raters are the sample: another study would have other raters, but could have the same pictures. So intervals and tests
take each rater's mean as one value. Grades of one rater depend on each other; if each counted for itself, intervals
would be far too narrow.
"""

import itertools
import math
from typing import NamedTuple

import krippendorff
import numpy as np
from jaxtyping import Float
from scipy import stats
from statsmodels.stats.multitest import multipletests

from srgan_jax.study.ratings import Grades, Scores, Table

LEVEL = 0.95  # of all intervals
RESAMPLES = 10_000
MOST_RATERS = 100_000

Values = Float[np.ndarray, " values"]


class Interval(NamedTuple):
    """The two ends of an interval; NaN where there are too few values for one."""

    low: float
    high: float


class Opinion(NamedTuple):
    """The mean opinion score (MOS) of a method.

    Attributes:
      mean: the mean of the raters' means.
      interval: by Student's t distribution, over raters.
      bootstrap: the percentile interval of 10,000 samples of raters.
      raters, ratings: how many took part.
    """

    mean: float
    interval: Interval
    bootstrap: Interval
    raters: int
    ratings: int


class Difference(NamedTuple):
    """Two methods, on the same pictures and by the same raters.

    Attributes:
      first, second: the methods.
      mean: MOS of the first minus MOS of the second.
      interval: of the mean, by Student's t distribution over raters.
      deviation: the standard deviation of the raters' mean differences.
      p: of the paired two-sided Wilcoxon signed-rank test over the raters' mean differences.
      p_holm: this p-value after Holm's correction for all comparisons that are made together.
      p_ratings: of the test in which each pair of grades counts for itself. The paper does not say what its pairs are
        (section 3.1); this one is too sure of itself, as a rater's grades depend on each other.
      raters: how many have graded both.
      needed: raters who would show a difference of this size, see `raters_needed`.
    """

    first: str
    second: str
    mean: float
    interval: Interval
    deviation: float
    p: float
    p_holm: float
    p_ratings: float
    raters: int
    needed: int | None


def rater_means(scores: Scores) -> Float[np.ndarray, "raters methods"]:
    """Return the mean grade that each rater has given to each method; NaN where there is none."""
    return _mean(scores, axis=1)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean over an axis of what is not NaN, or NaN."""
    known = ~np.isnan(values)
    count = known.sum(axis)
    return np.where(count, np.where(known, values, 0).sum(axis) / np.maximum(count, 1), np.nan)


def mean_opinions(grades: Grades, *, seed: int = 0) -> list[Opinion]:
    """Return the mean opinion score of every method, in the order of `grades.methods`."""
    found = []
    for method, means in enumerate(rater_means(grades.scores).T):
        means = means[~np.isnan(means)]
        ratings = int((~np.isnan(grades.scores[:, :, method])).sum())
        mean = float(means.mean()) if len(means) else math.nan
        found.append(Opinion(mean, t_interval(means), bootstrap_interval(means, seed=seed), len(means), ratings))
    return found


def stimulus_opinions(scores: Scores) -> Float[np.ndarray, "images methods"]:
    """Return the mean opinion score of each version of each image; NaN where nobody has graded it."""
    return _mean(scores, axis=0)


def t_interval(values: Values) -> Interval:
    """Return the 95 % interval of a mean by Student's t distribution."""
    if len(values) < 2:
        return Interval(math.nan, math.nan)
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return Interval(float(values.mean() - half), float(values.mean() + half))


def bootstrap_interval(values: Values, *, seed: int = 0) -> Interval:
    """Return the 95 % percentile interval of a mean over samples with replacement."""
    if len(values) < 2:
        return Interval(math.nan, math.nan)
    picks = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    tail = 100 * (1 - LEVEL) / 2
    return Interval(*np.percentile(values[picks].mean(1), (tail, 100 - tail)).tolist())


def compare_methods(grades: Grades) -> list[Difference]:
    """Compare every two methods; Holm's correction covers all of these comparisons."""
    found = []
    for i, j in itertools.combinations(range(len(grades.methods)), 2):
        pairs = grades.scores[:, :, i] - grades.scores[:, :, j]
        means = _mean(pairs, axis=1)
        means = means[~np.isnan(means)]
        mean = float(means.mean()) if len(means) else math.nan
        deviation = float(means.std(ddof=1)) if len(means) > 1 else math.nan
        p, p_ratings = wilcoxon(means), wilcoxon(pairs[~np.isnan(pairs)])
        names = grades.methods[i], grades.methods[j]
        needed = raters_needed(mean, deviation)
        found.append(Difference(*names, mean, t_interval(means), deviation, p, math.nan, p_ratings, len(means), needed))
    known = [n for n, difference in enumerate(found) if not math.isnan(difference.p)]
    if known:
        corrected = multipletests([found[n].p for n in known], method="holm")[1]
        for n, p in zip(known, corrected, strict=True):
            found[n] = found[n]._replace(p_holm=float(p))
    return found


def wilcoxon(differences: Values) -> float:
    """Return the p-value of the two-sided Wilcoxon signed-rank test: 1 if all differences are 0, NaN for none."""
    if not len(differences):
        return math.nan
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def raters_needed(difference: float, deviation: float, *, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Return how many raters it takes to find a difference between two methods.

    Args:
      difference: between the two mean opinion scores.
      deviation: the standard deviation of the raters' mean differences. A pilot with a few raters tells it.
      power: how probable it is to be that the difference is found.
      alpha: the level of the paired two-sided t-test. Wilcoxon's test needs about 5 % more raters for normal values.

    Returns:
      The smallest number that is enough, from 2 on; None where there is no difference, it is not known, or 100,000
      raters would be too few.
    """
    if not (difference and deviation >= 0 and math.isfinite(difference)):
        return None
    if deviation == 0:
        return 2
    size = abs(difference) / deviation

    def enough(raters: int) -> bool:
        # The chance to find the difference the wrong way round is left out. It is nothing where power is high.
        limit = stats.t.isf(alpha / 2, raters - 1)
        return stats.nct.sf(limit, raters - 1, size * math.sqrt(raters)) >= power

    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_RATERS:
            return None
    low = high // 2  # too few
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def alpha(table: Table, level: str = "ordinal") -> float:
    """Return Krippendorff's α: 1 for raters who agree in all grades, 0 for what chance does.

    Args:
      table: grades.
      level: "ordinal", where the order of the grades counts, or "interval".

    Returns:
      α, or NaN where no picture has two grades, or all grades are equal.
    """
    shared = table[:, (~np.isnan(table)).sum(0) > 1]
    if len(np.unique(shared[~np.isnan(shared)])) < 2:
        return math.nan
    return float(krippendorff.alpha(shared, level_of_measurement=level))


class Repeats(NamedTuple):
    """How questions were answered that were asked twice.

    Attributes:
      count: how many there are.
      equal: the share with the same grade.
      near: the share whose grades differ by at most 1.
      distance: the mean of the absolute differences, in grades.
      shift: the mean of second minus first grade.
      p: of Wilcoxon's test that the shift is chance. The paper's pilot found no significant difference (section 3.3).
    """

    count: int
    equal: float
    near: float
    distance: float
    shift: float
    p: float


def agreement_of_repeats(grades: Grades) -> Repeats | None:
    """Compare the first and the second answers; None where nothing was asked twice."""
    if not grades.repeats:
        return None
    first, second = np.array([repeat[1:] for repeat in grades.repeats]).T
    change = second - first
    distance = np.abs(change)
    shares = float((distance == 0).mean()), float((distance <= 1).mean()), float(distance.mean())
    return Repeats(len(change), *shares, float(change.mean()), wilcoxon(change))
