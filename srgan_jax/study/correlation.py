"""Do metrics say what people say? Correlations of scores and opinions, with intervals."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from srgan_jax.study.opinions import LEVEL, Interval, stimulus_opinions
from srgan_jax.study.ratings import Grades

Values = Float[np.ndarray, " pictures"]


class Correlation(NamedTuple):
    """A metric and the mean opinion scores of pictures.

    Attributes:
      metric: its name.
      pearson, pearson_interval: the linear correlation (PLCC), with its interval by Fisher's transformation.
      spearman, spearman_interval: the rank correlation (SRCC), with its interval by Bonett and Wright (2000).
      count: the pictures; each version of each image is one.
    """

    metric: str
    pearson: float
    pearson_interval: Interval
    spearman: float
    spearman_interval: Interval
    count: int


def correlate(metric: str, scores: Values, opinions: Values) -> Correlation | None:
    """Correlate the scores of a metric with opinions; None for fewer than 4 pictures, or where one of both is constant.

    The sign is as it is found: of a metric that is better when it is lower, the correlation should be near to -1.
    """
    if len(scores) < 4 or not np.ptp(scores) or not np.ptp(opinions):
        return None
    pearson = float(stats.pearsonr(scores, opinions).statistic)
    spearman = float(stats.spearmanr(scores, opinions).statistic)
    free = len(scores) - 3
    ends = _fisher(pearson, math.sqrt(1 / free)), _fisher(spearman, math.sqrt((1 + spearman**2 / 2) / free))
    return Correlation(metric, pearson, ends[0], spearman, ends[1], len(scores))


def _fisher(correlation: float, deviation: float) -> Interval:
    """Return the interval of a correlation whose Fisher transformation has this standard deviation."""
    if abs(correlation) >= 1 - 1e-12:
        return Interval(correlation, correlation)
    half = stats.norm.ppf((1 + LEVEL) / 2) * deviation
    centre = math.atanh(correlation)
    return Interval(math.tanh(centre - half), math.tanh(centre + half))


def correlate_all(grades: Grades, scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Correlation]:
    """Correlate all metrics with opinions.

    Args:
      grades: the opinions.
      scores: {method: {image: {metric: score}}}; the pictures in both are compared.

    Returns:
      One row for each metric with enough pictures, the strongest rank correlation first.
    """
    opinions = stimulus_opinions(grades.scores)
    found: dict[str, list[tuple[float, float]]] = {}
    for i, image in enumerate(grades.images):
        for j, method in enumerate(grades.methods):
            for metric, score in scores.get(method, {}).get(image, {}).items():
                if math.isfinite(opinions[i, j]):
                    found.setdefault(metric, []).append((score, float(opinions[i, j])))
    rows = [correlate(metric, *np.array(pairs).T) for metric, pairs in found.items()]
    return sorted((row for row in rows if row), key=lambda row: -abs(row.spearman))
