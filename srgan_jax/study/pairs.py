"""Statistics of choices between two versions of a picture: how often one wins, and the Bradley–Terry model."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import choix
import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.sparse.csgraph import connected_components

from srgan_jax.errors import InputError
from srgan_jax.study.opinions import LEVEL, Interval
from srgan_jax.study.ratings import Rating

RESAMPLES = 500
PRIOR = 0.1  # how often every method is taken to have won against every other, where somebody has always won or lost

Wins = Float[np.ndarray, "methods methods"]  # [i, j]: how often i was chosen when it met j


class Choices(NamedTuple):
    """Choices, counted.

    Attributes:
      raters, methods: the names along the axes.
      wins: one matrix for each rater.
      firsts: of all answers, how many chose the version that was shown first; and how many answers there are.
      repeats: of the questions that were asked twice, how many got the same answer; and how many there are.
    """

    raters: tuple[str, ...]
    methods: tuple[str, ...]
    wins: Float[np.ndarray, "raters methods methods"]
    firsts: tuple[int, int]
    repeats: tuple[int, int]


class Strength(NamedTuple):
    """A method in the Bradley–Terry model.

    Attributes:
      method: its name.
      strength: log-odds; the mean over all methods is 0. One method beats another with a probability of
        1 / (1 + exp(-difference)).
      interval: of the strength, over 500 samples of raters.
      won: the share of its comparisons that it has won.
      count: of its comparisons.
    """

    method: str
    strength: float
    interval: Interval
    won: float
    count: int


def choices_of(ratings: Sequence[Rating], methods: Sequence[str] = ()) -> Choices:
    """Count choices; `methods` gives the order of the methods.

    Raises:
      InputError: there are no answers, a score is neither 0 nor 1, or a line names no other method.
    """
    if not ratings:
        raise InputError("there are no answers yet.")
    present = dict.fromkeys(name for rating in ratings for name in (rating.method, rating.other))
    methods = tuple(dict.fromkeys([*(method for method in methods if method in present), *present]))
    raters = tuple(dict.fromkeys(rating.rater for rating in ratings))
    wins = np.zeros((len(raters), len(methods), len(methods)))
    winners, agreed, repeated, firsts = {}, 0, 0, 0
    for rating in ratings:
        if rating.score not in (0, 1) or not rating.other or rating.other == rating.method:
            raise InputError(
                f"rater {rating.rater}, {rating.image}: expected two methods and a score of 1 or 0 for the first, got "
                f"{rating.method!r}, {rating.other!r} and {rating.score:g}."
            )
        firsts += int(rating.score)
        winner, loser = (rating.method, rating.other) if rating.score else (rating.other, rating.method)
        key = rating.rater, rating.image, frozenset((winner, loser))
        if rating.repeat:
            repeated += key in winners
            agreed += winners.get(key) == winner
        else:
            winners[key] = winner
            wins[raters.index(rating.rater), methods.index(winner), methods.index(loser)] += 1
    return Choices(raters, methods, wins, (firsts, len(ratings)), (agreed, repeated))


def bradley_terry(wins: Wins) -> Float[np.ndarray, " methods"]:
    """Return the maximum-likelihood strengths of the Bradley–Terry model (choix), as log-odds of mean 0.

    Where some methods have never lost to the others, the likelihood has no maximum. Then a tenth of a win for every
    method against every other is added.
    """
    if connected_components(wins, connection="strong")[0] > 1:
        wins = wins + PRIOR * (1 - np.eye(len(wins)))
    strengths = choix.ilsr_pairwise_dense(wins, max_iter=1000)
    return strengths - strengths.mean()


def strengths(choices: Choices, *, seed: int = 0) -> list[Strength]:
    """Fit the model to all choices, with intervals over raters."""
    total = choices.wins.sum(0)
    fitted = bradley_terry(total)
    ends = np.full((2, len(fitted)), math.nan)
    count = len(choices.raters)
    if count > 1:
        picks = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
        tail = 100 * (1 - LEVEL) / 2
        samples = [bradley_terry(choices.wins[pick].sum(0)) for pick in picks]
        ends = np.percentile(samples, (tail, 100 - tail), axis=0)
    won, met = total.sum(1), total.sum(1) + total.sum(0)
    return [
        Strength(method, float(fitted[i]), Interval(*ends[:, i].tolist()), float(won[i] / met[i]), int(met[i]))
        for i, method in enumerate(choices.methods)
    ]


def preference_p(wins: Wins, i: int, j: int) -> float:
    """Return the p-value of the two-sided sign test that two methods are chosen equally often when they meet."""
    met = int(wins[i, j] + wins[j, i])
    return float(stats.binomtest(int(wins[i, j]), met).pvalue) if met else math.nan
