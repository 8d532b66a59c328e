"""Many raters at once, while the server is killed again and again: no acknowledged answer is lost or doubled."""

import random
import socket
import threading
import time

import httpx
import pytest
from small_study import Browser, fields, make_study, serving, write_folders

from srgan_jax.study.creating import create
from srgan_jax.study.store import Store


class Rater(threading.Thread):
    """A rater who answers as fast as the server lets, and asks again where it does not answer."""

    def __init__(self, number, link, deadline):
        super().__init__()
        self.random, self.deadline = random.Random(number), deadline
        self.browser = Browser(link, timeout=20)
        self.acknowledged, self.sent, self.failure = {}, {}, None

    def asked(self, ask):
        """Ask until there is an answer."""
        while time.monotonic() < self.deadline:
            try:
                response = ask()
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if response.status_code != 429:
                return response
            time.sleep(0.2)
        raise TimeoutError("the server has not answered in time")

    def run(self):
        try:
            self.session()
        except Exception as error:
            self.failure = error
        finally:
            self.browser.close()

    def session(self):
        while self.asked(lambda: self.browser.get("/rate")).status_code == 403:
            self.asked(self.browser.begin)
        while "Thank you!" not in (page := self.asked(lambda: self.browser.get("/rate"))).text:
            form, score = fields(page), self.random.randint(1, 5)
            position = int(form["position"])
            self.sent.setdefault(position, []).append(score)
            form["score"] = str(score)
            response = self.asked(lambda form=form: self.browser.post("/answer", form))
            if response.status_code == 303:
                self.acknowledged[position] = score
            else:
                assert response.status_code == 409, response.text  # it was stored, and then the server was killed


def run_under_fire(study, *, raters, seconds, kill_every):
    """Let raters answer a study to its end; kill the server whenever some more answers were acknowledged."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    deadline = time.monotonic() + seconds
    crowd = [Rater(number, f"http://127.0.0.1:{port}", deadline) for number in range(raters)]
    rng, kills, done = random.Random(0), 0, False
    while not done:
        with serving(study, "--port", str(port)) as (process, _, _):
            before = sum(len(rater.acknowledged) for rater in crowd)
            for rater in crowd:
                if rater.ident is None:
                    rater.start()
            while sum(len(rater.acknowledged) for rater in crowd) < before + kill_every and not done:
                time.sleep(rng.uniform(0, 0.02))
                done = not any(rater.is_alive() for rater in crowd)
                assert time.monotonic() < deadline
            process.kill()  # nothing is closed, and answers are on their way
            kills += not done
    return crowd, kills


def check(study, crowd, items):
    """Compare what raters were told with what is stored."""
    assert not [rater.failure for rater in crowd if rater.failure]
    with Store(study / "answers.sqlite") as store:
        rows = list(store.rows())
        sessions = [rater["rater"] for rater in store.progress() if rater["answered"]]
    stored = {(row.rater, row.position): row.answer.score for row in rows}
    assert len(stored) == len(rows) == len(crowd) * items and len(sessions) == len(crowd)
    of_sessions = [[stored[rater, position] for position in range(items)] for rater in sessions]
    for rater in crowd:
        mine = [scores for scores in of_sessions if all(scores[i] == score for i, score in rater.acknowledged.items())]
        assert len(mine) == 1  # every acknowledged answer is there, as it was sent
        assert all(score in rater.sent[i] for i, score in enumerate(mine[0]))  # and nothing that was not sent


def test_no_acknowledged_answer_is_lost(tmp_path):
    study = make_study(tmp_path, raters=9)
    crowd, kills = run_under_fire(study, raters=3, seconds=120, kill_every=9)
    check(study, crowd, 9)
    assert kills >= 2


@pytest.mark.slow
def test_twenty_raters_and_ten_thousand_answers(tmp_path):
    originals, folders = write_folders(tmp_path, sizes=[(8, 8)] * 167)
    options = {"raters": 60, "per_rater": 500, "minimum_seconds": 0}  # a place can be lost where its answer is
    create(tmp_path / "study", list(map(str, folders)), data=[f"Set={originals}"], **options)
    crowd, kills = run_under_fire(tmp_path / "study", raters=20, seconds=3000, kill_every=500)
    check(tmp_path / "study", crowd, 500)
    assert kills >= 18
