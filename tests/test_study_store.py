"""Answers are stored once, in order, and for good."""

import itertools
import sqlite3
import threading

import pytest
from small_study import make_study

from srgan_jax.errors import InputError
from srgan_jax.study.plans import Item
from srgan_jax.study.store import Answer, Refused, Store, create_store

GRADES = range(1, 6)


@pytest.fixture
def store(tmp_path):
    """Two raters, with three and two items."""
    plans = [[Item("a", "x"), Item("b", "y"), Item("a", "x", repeat=True)], [Item("a", "x", "y"), Item("b", "x", "y")]]
    create_store(tmp_path / "answers.sqlite", plans, {"created": "1", "key": "k"})
    with Store(tmp_path / "answers.sqlite") as opened:
        yield opened


def refusal(store, *arguments, **options):
    with pytest.raises(Refused) as caught:
        store.add(*arguments, allowed=GRADES, **options)
    return caught.value.reason


def test_raters_take_plans_until_there_are_none(store):
    assert [store.join(digest, language="ko", replies=["30"]) for digest in "pqr"] == [1, 2, None]
    assert store.rater("q") == 2 and store.rater("r") is None and store.places() == 2
    assert [rater["language"] for rater in store.progress()] == ["ko", "ko"]


def test_answers_come_in_order_and_once(store):
    store.join("p", language="en")
    assert refusal(store, 1, 1, Answer(3)) == "order"
    store.add(1, 0, Answer(3, 1200, 2.0, 2, 390, 780), allowed=GRADES)
    assert refusal(store, 1, 0, Answer(3)) == "again" and refusal(store, 1, 0, Answer(4)) == "again"
    assert refusal(store, 1, -1, Answer(3)) == "order" and refusal(store, 9, 0, Answer(3)) == "order"
    for score in (0, 6, 999, -1):
        assert refusal(store, 1, 1, Answer(score)) == "score"
    for position in (1, 2):
        store.add(1, position, Answer(5), allowed=GRADES)
    assert refusal(store, 1, 3, Answer(5)) == "order"  # the end
    assert [(row.position, row.answer.score, row.item.repeat) for row in store.rows()] == [
        (0, 3, False),
        (1, 5, False),
        (2, 5, True),
    ]
    assert next(store.rows()).answer == (3, 1200, 2.0, 2, 390, 780)


def test_an_answer_takes_its_time(store):
    store.join("p", language="en")
    assert refusal(store, 1, 0, Answer(3, 900), minimum=1) == "early"
    store.add(1, 0, Answer(3, 1000), allowed=GRADES, minimum=1, now=50.0)
    assert refusal(store, 1, 1, Answer(3, 5000), minimum=1, now=50.5) == "early"
    store.add(1, 1, Answer(3), allowed=GRADES, minimum=1, now=51.0)
    store.add(1, 2, Answer(3), allowed=GRADES, minimum=1, now=20.0)  # the clock was set back
    assert store.plan(1) == (3, 3)


def test_a_commit_is_seen_by_others_at_once_and_needs_no_closing(store, tmp_path):
    store.join("p", language="en")
    store.add(1, 0, Answer(4), allowed=GRADES)
    with Store(tmp_path / "answers.sqlite") as other:
        assert [row.answer.score for row in other.rows()] == [4]
        other.add(1, 1, Answer(2), allowed=GRADES)
    assert store.plan(1)[0] == 2


def test_of_two_answers_at_once_one_is_stored(store):
    store.join("p", language="en")
    barrier, outcomes = threading.Barrier(8), []

    def answer(score):
        barrier.wait()
        try:
            store.add(1, 0, Answer(score), allowed=GRADES)
            outcomes.append(score)
        except Refused as refused:
            outcomes.append(refused.reason)

    threads = [threading.Thread(target=answer, args=(score,)) for score in itertools.islice(itertools.cycle(GRADES), 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [row.answer.score for row in store.rows()]
    assert len(stored) == 1 and sorted(outcomes, key=str) == [*stored, *["again"] * 7]


def test_the_file_itself_refuses_what_the_program_might_let_through(store, tmp_path):
    store.join("p", language="en")
    store.add(1, 0, Answer(4), allowed=GRADES)
    with sqlite3.connect(tmp_path / "answers.sqlite") as raw:
        raw.execute("PRAGMA foreign_keys = ON")
        for values in ((1, 0, 5), (1, 1, 999), (1, 7, 5)):  # again; out of range; no such item
            with pytest.raises(sqlite3.IntegrityError):
                raw.execute("INSERT INTO answers (rater, position, score, answered) VALUES (?, ?, ?, 0)", values)
    raw.close()


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Store(tmp_path / "answers.sqlite")
    (tmp_path / "answers.sqlite").write_bytes(b"no database, but long enough to look like one" * 100)
    with pytest.raises(InputError, match="expected a file of SQLite"):
        Store(tmp_path / "answers.sqlite")
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(InputError, match="expected the answers of a study"):
        Store(tmp_path / "empty.sqlite")


def test_only_the_owner_may_read_a_study(tmp_path):
    assert make_study(tmp_path).stat().st_mode & 0o077 == 0
