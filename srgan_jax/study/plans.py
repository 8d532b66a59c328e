"""Which rater sees which picture when: balanced, seeded, and blind.

A plan is the list of a rater's items. Who answers all of it has seen every method equally often in every part of the
session, so that tiredness and practice do not favour a method.
"""

import collections
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from srgan_jax.errors import InputError

KINDS = ("acr", "pairs")


class Item(NamedTuple):
    """One question to a rater.

    Attributes:
      picture: what is shown, such as "Set5/baby".
      method: whose version of the picture is graded, or is shown first.
      other: whose version is shown second; "" where single pictures are graded.
      repeat: whether the rater has answered this question before. Repeats measure how reliable a rater is.
    """

    picture: str
    method: str
    other: str = ""
    repeat: bool = False


def plan_raters(
    pictures: Sequence[str],
    methods: Sequence[str],
    *,
    kind: str,
    raters: int,
    per_rater: int | None = None,
    repeats: int = 0,
    seed: int = 0,
) -> list[list[Item]]:
    """Plan the sessions of all raters.

    Args:
      pictures: names of the pictures.
      methods: names of the methods; each has a version of every picture.
      kind: "acr" for grades of single pictures (absolute category rating, ITU-T P.910), "pairs" for a choice between
        two versions of one picture (two-alternative forced choice).
      raters: how many sessions.
      per_rater: the questions in a session, without repeats; None for all of them.
      repeats: how many of its questions a session asks a second time, at least a third of the session later.
      seed: the plans are a function of this number and of the other arguments.

    Returns:
      One list of items for each rater. After any number of sessions, the questions have been asked equally often, up
      to one time. No two items of a session that follow each other show the same picture.

    Raises:
      InputError: the numbers are impossible, or there are too few pictures to keep equal ones apart.
    """
    questions = _questions(pictures, methods, kind)
    per_rater = len(questions) if per_rater is None else per_rater
    if not 2 <= per_rater <= len(questions):
        raise InputError(f"per_rater: expected 2 to {len(questions)} questions in a session, got {per_rater}.")
    if not 0 <= repeats <= per_rater // 2:
        raise InputError(f"repeats: expected 0 to {per_rater // 2}, half of a session, got {repeats}.")
    if raters < 1:
        raise InputError(f"raters: expected at least 1, got {raters}.")
    asked, repeated, plans = collections.Counter(), collections.Counter(), []
    for rater in range(raters):
        rng = np.random.default_rng((seed, rater))
        chosen = _choose(questions, per_rater, asked, rng)
        asked.update(chosen)
        items = _apart(_spread(_sides(chosen, rng) if kind == "pairs" else chosen, rng))
        plans.append(_apart(_with_repeats(items, repeats, repeated, rng)))
    return plans


def _questions(pictures: Sequence[str], methods: Sequence[str], kind: str) -> list[Item]:
    """Return every question that can be asked."""
    if kind not in KINDS:
        raise InputError(f"kind: expected {' or '.join(KINDS)}, got {kind!r}.")
    for names, what in ((pictures, "pictures"), (methods, "methods")):
        if len(names) < 2 or len(set(names)) < len(names):
            raise InputError(f"{what}: expected at least two with different names, got {', '.join(names) or 'none'}.")
    if kind == "acr":
        return [Item(picture, method) for picture in pictures for method in methods]
    return [Item(picture, *pair) for picture in pictures for pair in itertools.combinations(methods, 2)]


def _choose(questions: Sequence[Item], count: int, asked: collections.Counter, rng: np.random.Generator) -> list[Item]:
    """Choose the questions that were asked least; among them, the methods and pictures that the session lacks most."""
    if count == len(questions):
        return list(questions)
    left = [questions[i] for i in rng.permutation(len(questions))]
    methods, pictures, chosen = collections.Counter(), collections.Counter(), []
    for _ in range(count):
        best = min(left, key=lambda q: (asked[q], methods[q.method] + methods[q.other], pictures[q.picture]))
        left.remove(best)
        chosen.append(best)
        methods.update([best.method, best.other])
        pictures[best.picture] += 1
    return chosen


def _sides(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """Show each method of a pair first in half of the pair's questions."""
    first, sides = {}, []
    for i in rng.permutation(len(items)):
        item = items[i]
        pair = (item.method, item.other)
        first[pair] = not first.get(pair, rng.integers(2))
        sides.append(item._replace(method=pair[1], other=pair[0]) if first[pair] else item)
    return sides


def _spread(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """Order the items at random, with every method spread evenly over the session."""
    groups = collections.defaultdict(list)
    for item in items:
        groups[frozenset((item.method, item.other))].append(item)
    places = []
    for group in groups.values():
        order = rng.permutation(len(group))
        places += [((n + rng.random()) / len(group), group[i]) for n, i in enumerate(order)]
    return [item for _, item in sorted(places, key=lambda place: place[0])]


def _with_repeats(
    items: Sequence[Item], count: int, repeated: collections.Counter, rng: np.random.Generator
) -> list[Item]:
    """Ask some questions of the first half again, in the last two thirds. In pairs, the sides are exchanged."""
    half = rng.permutation((len(items) + 1) // 2)
    again = []
    pictures = collections.Counter()
    for _ in range(count):
        left = [i for i in half if i not in again]
        # Pictures first, as one that came too often could not be kept apart; on a tie the first, which is random.
        again.append(min(left, key=lambda i: (pictures[items[i].picture], repeated[items[i].method])))
        repeated[items[again[-1]].method] += 1
        pictures[items[again[-1]].picture] += 1
    places = list(enumerate(items))
    for i in again:
        item = items[i]
        turned = item._replace(method=item.other, other=item.method) if item.other else item
        places.append((rng.uniform(i + len(items) / 3, len(items)), turned._replace(repeat=True)))
    return [item for _, item in sorted(places, key=lambda place: place[0])]


def _apart(items: Sequence[Item]) -> list[Item]:
    """Keep equal pictures apart, and change the order no more than this takes.

    The next item is the first one left that shows another picture than the last one did. Only when one picture makes
    up more than half of what is left, it has to come now, as there would be too few others to separate the rest.
    """
    left, ordered, last = list(items), [], None
    counts = collections.Counter(item.picture for item in items)
    while left:
        picture, count = counts.most_common(1)[0]
        must = picture if 2 * count > len(left) else None
        if must is not None and (must == last or 2 * count > len(left) + 1):
            raise InputError(
                f"{picture} would be shown twice in a row, as it is in more than half of a session; "
                "use more pictures or fewer methods."
            )
        i = next(i for i, item in enumerate(left) if (item.picture == must if must else item.picture != last))
        item = left.pop(i)
        ordered.append(item)
        counts[item.picture] -= 1
        last = item.picture
    return ordered
