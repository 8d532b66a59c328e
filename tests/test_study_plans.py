"""Sessions are balanced, seeded and blind, and equal pictures are apart."""

import collections
import itertools

import pytest

from srgan_jax.errors import InputError
from srgan_jax.study.plans import Item, plan_raters

PICTURES = [f"Set/{i}" for i in range(7)]
METHODS = ["nearest", "bicubic", "SRGAN", "HR"]


def first_answers(plan):
    return [item for item in plan if not item.repeat]


def test_everybody_sees_everything_once():
    for plan in plan_raters(PICTURES, METHODS, kind="acr", raters=3):
        assert sorted(plan) == sorted(Item(picture, method) for picture in PICTURES for method in METHODS)


@pytest.mark.parametrize("kind, total", [("acr", 28), ("pairs", 42)])
@pytest.mark.parametrize("per_rater", [9, None])
def test_questions_are_asked_equally_often(kind, total, per_rater):
    plans = plan_raters(PICTURES, METHODS, kind=kind, raters=11, per_rater=per_rater, seed=3)
    asked = collections.Counter()
    for plan in plans:
        asked.update((item.picture, *sorted((item.method, item.other))) for item in plan)
        counts = [*asked.values(), *[0] * (total - len(asked))]
        assert max(counts) - min(counts) <= 1  # after any number of raters
        if kind == "acr":
            methods = collections.Counter(item.method for item in plan)
            assert max(methods.values()) - min(methods[method] for method in METHODS) <= 2


@pytest.mark.parametrize("kind", ["acr", "pairs"])
@pytest.mark.parametrize("pictures", [PICTURES, PICTURES[:2], PICTURES[:3]])
def test_no_picture_comes_twice_in_a_row(kind, pictures):
    for plan in plan_raters(pictures, METHODS, kind=kind, raters=30, repeats=4, seed=1):
        assert all(a.picture != b.picture for a, b in itertools.pairwise(plan))


def test_methods_are_spread_over_the_session():
    for plan in plan_raters([f"{i}" for i in range(20)], METHODS, kind="acr", raters=5):
        for quarter in range(4):
            part = collections.Counter(item.method for item in plan[20 * quarter : 20 * quarter + 20])
            assert all(3 <= part[method] <= 7 for method in METHODS)  # 5 in each


def test_sides_are_balanced():
    plans = plan_raters(PICTURES, METHODS, kind="pairs", raters=4)
    for plan in plans:
        for first in METHODS:
            for second in METHODS[METHODS.index(first) + 1 :]:
                sides = [item.method == first for item in plan if {item.method, item.other} == {first, second}]
                assert len(sides) == 7 and sum(sides) in (3, 4)


def test_repeats_come_later_with_sides_exchanged():
    for kind in ("acr", "pairs"):
        plans = plan_raters(PICTURES, METHODS, kind=kind, raters=6, repeats=5)
        for plan in plans:
            again = [i for i, item in enumerate(plan) if item.repeat]
            assert len(again) == 5
            for i in again:
                item = plan[i]
                first = item._replace(repeat=False)
                if kind == "pairs":
                    first = first._replace(method=item.other, other=item.method)
                assert i - plan.index(first) >= len(plan) // 4
        repeated = collections.Counter(item.method for plan in plans for item in plan if item.repeat and not item.other)
        assert not repeated or max(repeated.values()) - min(repeated[method] for method in METHODS) <= 2


def test_plans_are_a_function_of_the_seed():
    plan = [
        plan_raters(PICTURES, METHODS, kind="acr", raters=3, per_rater=12, repeats=2, seed=seed) for seed in (5, 5, 6)
    ]
    assert plan[0] == plan[1] != plan[2]
    assert plan[0][0] != plan[0][1]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kind": "stars"}, "expected acr or pairs, got 'stars'"),
        ({"per_rater": 1}, "per_rater: expected 2 to 28"),
        ({"per_rater": 29}, "per_rater: expected 2 to 28"),
        ({"repeats": 15}, "repeats: expected 0 to 14"),
        ({"raters": 0}, "raters: expected at least 1"),
        ({"methods": ["HR"]}, "methods: expected at least two"),
        ({"pictures": ["a", "a"]}, "pictures: expected at least two with different names"),
    ],
)
def test_impossible_numbers(changes, message):
    arguments = {"pictures": PICTURES, "methods": METHODS, "kind": "acr", "raters": 2} | changes
    with pytest.raises(InputError, match=message):
        plan_raters(**arguments)
