"""Raters of known taste, bias and unsureness, who answer a study as people would.

They try a study out before people come, show what its analysis will look like, and prove the statistics. A study that
they have answered is marked for ever: everything that is made from it says that it is simulated.
"""

import pathlib
import secrets
from collections.abc import Mapping

import numpy as np

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.study import design as designs
from srgan_jax.study.design import Design
from srgan_jax.study.plans import Item
from srgan_jax.study.store import Answer, Store

PICTURE = 0.25  # standard deviation of how much better or worse a picture looks than others by the same method
TASTE = 0.2  # standard deviation of how much better or worse a single version looks
SECONDS = 3.0  # that an answer takes


def fill(
    folder: str | pathlib.Path,
    raters: int = 20,
    *,
    opinions: Mapping[str, float] | None = None,
    bias: float = 0.3,
    noise: float = 0.7,
    seed: int = 0,
) -> int:
    """Answer a study as simulated raters.

    Args:
      folder: of the study.
      raters: how many; each takes one of the study's plans.
      opinions: {method: true mean opinion score}. What is not in it lies evenly between 1.5 and 4.5, in the order of
        the design.
      bias: the standard deviation of the raters' biases, in grades.
      noise: the standard deviation of a grade around what a rater thinks.
      seed: the answers are a function of this number, the design and the other arguments.

    Returns:
      How many answers were given.

    Raises:
      InputError: the folder is no study, it has answers of people, it lacks places, or a method is unknown.
    """
    folder = pathlib.Path(folder)
    design = designs.read_design(folder)
    truth = true_scores(design, opinions or {}, seed=seed)
    with Store(folder / designs.ANSWERS) as store:
        begun = len(store.progress())
        if begun and not store.setting("simulated"):
            raise InputError(
                f"{folder} has answers of people, which must not be mixed with simulated ones; create another."
            )
        if not 1 <= raters <= store.places() - begun:
            raise InputError(f"{folder} has {store.places() - begun} free places, but {raters} raters were asked for.")
        store.set("simulated", "1")
        return sum(_answer(store, design, truth, bias, noise, (seed, begun + i)) for i in range(raters))


def true_scores(design: Design, opinions: Mapping[str, float], *, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return {picture: {method: true score}}; arguments are those of `fill`."""
    for method in opinions:
        if method not in design.methods:
            raise InputError(f"opinions: the study has no method {method!r}; {nearest_name(method, design.methods)}")
    rng = np.random.default_rng(seed)
    means = dict(zip(design.methods, np.linspace(1.5, 4.5, len(design.methods)).tolist(), strict=True)) | dict(opinions)
    truth = {}
    for picture in design.pictures:
        shift = rng.normal(0, PICTURE)
        truth[picture] = {method: means[method] + shift + rng.normal(0, TASTE) for method in design.methods}
    return truth


def _answer(
    store: Store, design: Design, truth: dict[str, dict[str, float]], bias: float, noise: float, seed: tuple[int, int]
) -> int:
    """Give all answers of one rater, and return how many they are."""
    rng = np.random.default_rng(seed)
    rater = store.join(secrets.token_hex(32), language="en", replies=["simulated"] * len(design.questions))
    own_bias, own_noise = rng.normal(0, bias), noise * rng.uniform(0.7, 1.3)
    _, count = store.plan(rater)
    now = 0.0
    for position in range(count):
        item = store.item(rater, position)
        seconds = design.minimum_seconds + rng.lognormal(np.log(SECONDS), 0.4)
        now += seconds
        score = _score(item, truth[item.picture], own_bias, own_noise, rng)
        answer = Answer(score, round(1000 * seconds), 1.0, 1, 1280, 800)
        store.add(rater, position, answer, allowed=design.answers, now=now)
    return count


def _score(item: Item, truth: dict[str, float], bias: float, noise: float, rng: np.random.Generator) -> int:
    """Return a grade, or which of two versions looks better."""
    impressions = [truth[method] + rng.normal(0, noise) for method in (item.method, item.other) if method]
    if item.other:
        return 1 if impressions[0] >= impressions[1] else 2
    return int(np.clip(np.floor(impressions[0] + bias + 0.5), 1, 5))
