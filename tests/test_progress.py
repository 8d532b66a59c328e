"""Progress: a bar on a terminal, lines elsewhere, nothing where quiet was asked for."""

import io
import sys

import pytest

from srgan_jax import progress
from srgan_jax.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Seconds that pass only when a test says so."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.6, "1 min"),
        (260, "4 min 20 s"),
        (3600, "1 h"),
        (11100, "3 h 5 min"),
        (200000, "2 d 7 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_lines_where_there_is_no_terminal(clock, capsys):
    with Progress(100, unit="step", done=20) as bar:
        bar.note("g/loss 0.5")
        for _ in range(40):
            bar.update()
            clock.now += 2
    lines = capsys.readouterr().err.splitlines()
    # 80 seconds hold two spans of 30. Each step takes 2 s.
    assert lines == [
        "step 36/100 (36 %), 0.5 steps/s, 2 min 8 s left, g/loss 0.5",
        "step 51/100 (51 %), 0.5 steps/s, 1 min 38 s left, g/loss 0.5",
    ]


def test_the_last_line_says_where_the_work_ended(clock, capsys):
    bar = Progress(4, unit="step")
    for _ in range(4):
        bar.update()
        clock.now += 1
    bar.close(last_line=True)
    bar.close(last_line=True)
    assert capsys.readouterr().err == "step 4/4 (100 %), 0.75 steps/s\n"


def test_slow_units_and_an_unknown_total(clock):
    bar = Progress(None, unit="frame", hidden=True)
    assert bar.line() == "frame 0"
    bar.update()
    clock.now += 40
    bar.update()
    assert bar.line() == "frame 2, 40 s/frame"


def test_a_bar_on_a_terminal(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(8, unit="picture", decimals=2) as bar:
        bar.update(0.5)
        bar.note("0.25 megapixels/s")
        clock.now += 100
        bar.update(1.5)
    shown = terminal.getvalue()
    assert "2.00/8 pictures" in shown and "picture 2.00" not in shown


def test_quiet(clock, monkeypatch, capsys):
    progress.be_quiet()
    try:
        with Progress(2, unit="step") as bar:
            clock.now += 100
            bar.update()
        bar.close(last_line=True)
        progress.say("done")
    finally:
        progress.be_quiet(False)
    progress.say("heard")
    assert capsys.readouterr() == ("heard\n", "")
