"""Curves of runs: what is read, chosen and drawn, and the page."""

import json
import re
import shutil
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image

from srgan_jax.commands import plot as command
from srgan_jax.errors import InputError
from srgan_jax.evaluation import drawing, pages
from srgan_jax.evaluation.drawing import Curve, panels
from srgan_jax.training import curves

SVG = "{http://www.w3.org/2000/svg}"


def write_run(folder, *, steps=40, offset=0.0, config=None):
    """A run's log: a loss at every step, a metric at every tenth, and a value that is not finite."""
    folder.mkdir()
    with (folder / "metrics.jsonl").open("w") as log:
        for step in range(1, steps + 1):
            log.write(json.dumps({"step": step, "g/loss": offset + 1 / step, "d/real": 0.5}) + "\n")
            if step % 10 == 0:
                psnr = None if step == 10 else 20 + offset
                log.write(json.dumps({"step": step, "held_out/psnr_y": psnr}) + "\n")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_log_is_read_as_training_writes_it(tmp_path):
    read = curves.read_log(write_run(tmp_path / "run") / "metrics.jsonl")
    assert read["g/loss"][:2] == [(1, 1.0), (2, 0.5)] and len(read["g/loss"]) == 40
    assert [step for step, _ in read["held_out/psnr_y"]] == [20, 30, 40]  # without the one that is not finite


def test_a_last_line_that_is_being_written_is_left_out(tmp_path):
    log = write_run(tmp_path / "run") / "metrics.jsonl"
    with log.open("a") as file:
        file.write('{"step": 41, "g/lo')
    assert len(curves.read_log(log)["g/loss"]) == 40


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"has logged nothing yet"),
        ("no log\n{}\n", r"line 1 is none of a run's log"),
        ('{"step": 1}\n[1]\n{"step": 2}\n', r"line 2 is none of a run's log"),
        (None, r"no such file; expected the directory of a run"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    log = tmp_path / "metrics.jsonl"
    if content is not None:
        log.write_text(content)
    with pytest.raises(InputError, match=message):
        curves.read_log(log)


def test_runs_are_named_by_their_directories_or_as_one_likes(tmp_path):
    for place in ("x/run", "y/run"):
        (tmp_path / place).parent.mkdir()
        write_run(tmp_path / place)
    shutil.copy(tmp_path / "x/run/metrics.jsonl", tmp_path / "old.jsonl")
    entries = [f"{tmp_path}/x/run", f"{tmp_path}/y/run", f"mine={tmp_path}/y/run", f"{tmp_path}/old.jsonl"]
    assert [run.name for run in curves.read_runs(entries)] == [*entries[:2], "mine", "old"]


def test_metrics_are_chosen_by_patterns(tmp_path):
    runs = curves.read_runs([str(write_run(tmp_path / "run"))])
    assert curves.choose(runs, ["held_out/*", "g/loss"]) == ["held_out/psnr_y", "g/loss"]
    assert set(curves.choose(runs, ["*"])) == {"g/loss", "d/real", "held_out/psnr_y"}
    with pytest.raises(InputError, match=r"no run has logged 'g/los'; did you mean 'g/loss'\?"):
        curves.choose(runs, ["g/los"])


def test_smoothing_keeps_constants_and_averages():
    constant = [(step, 3.0) for step in range(30)]
    np.testing.assert_allclose(curves.smoothed(constant, 0.9), constant)
    values = np.random.default_rng(0).normal(size=30)
    # The definition: all values so far, each with `weight` to the power of its age.
    weights = 0.9 ** np.arange(30)[::-1]
    expected = (weights * values).sum() / weights.sum()
    assert curves.smoothed(list(enumerate(values)), 0.9)[-1][1] == pytest.approx(expected)
    few = [(step, float(step)) for step in range(curves.FEW - 1)]
    assert curves.smoothed(few, 0.9) == few


def test_thinning_keeps_the_mean():
    places = [(float(step), float(step**2)) for step in range(1000)]
    thin = curves.thinned(places, 100)
    assert len(thin) == 100 and curves.thinned(places, 1000) == places
    np.testing.assert_allclose(np.mean(thin, axis=0), np.mean(places, axis=0))


def places_in(svg, colour):
    """The corners of all lines of a colour."""
    root = xml.etree.ElementTree.fromstring(svg)
    lines = [line for line in root.iter(f"{SVG}polyline") if line.get("stroke") == colour]
    return [[tuple(map(float, place.split(","))) for place in line.get("points").split()] for line in lines]


def test_a_drawing_has_every_curve_where_it_belongs(tmp_path):
    entries = [str(write_run(tmp_path / name, offset=offset)) for name, offset in (("a", 0.0), ("b", 1.0))]
    command.main([str(tmp_path / "curves.svg"), *entries, "--metrics", "g/loss,held_out/psnr_y"])
    svg = (tmp_path / "curves.svg").read_text()
    texts = [text.text for text in xml.etree.ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert {"a", "b", "g/loss", "held_out/psnr_y", "step"} <= set(texts) and "d/real" not in texts
    (loss_a, psnr_a), (loss_b, psnr_b) = (places_in(svg, colour) for colour in drawing.COLOURS[:2])
    assert len(loss_a) == 40 and len(psnr_a) == 3
    assert [y for _, y in loss_a] == sorted(y for _, y in loss_a)  # it falls, and SVG counts downwards
    assert all(y_b < y_a for (_, y_a), (_, y_b) in zip(loss_a, loss_b, strict=True))
    assert psnr_a[-1][0] - drawing.PANEL_WIDTH == pytest.approx(loss_a[-1][0])  # both panels have the same steps
    assert psnr_b[0][1] < psnr_a[0][1]


def test_the_curves_of_few_metrics_fill_one_row():
    curve = Curve([(0, 1.0), (1, 2.0)])
    sizes = []
    for count in (1, 3, 4):
        svg = panels({f"m{n}": {"run": curve} for n in range(count)}, title="", x_label="step")
        sizes.append(tuple(map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())))
    (one, low), (three, also_low), (four, high) = sizes
    assert 3 * one == three == four and low == also_low and high - low == drawing.PANEL_HEIGHT


@pytest.mark.parametrize(("value", "text"), [(200_000, "200k"), (1.5e6, "1.5M"), (2.5e-5, "2.5e-5"), (0.0, "0")])
def test_ticks_are_short(value, text):
    assert drawing._short(value, "0") == text


@pytest.mark.parametrize("values", [[1e-4] * 3, [0.5, 0.5 + 1e-16], [0.0], [3e5]])
def test_a_constant_has_an_axis(values):
    axis = drawing.axis(values, 0, 100)
    texts = [text for _, text in axis.ticks()]
    assert 0 < axis(values[0]) < 100 and len(set(texts)) == len(texts) >= 5
    assert max(map(len, texts)) < 10


@pytest.fixture
def runs(tmp_path):
    """Two runs with configs, of which the first has samples of three steps."""
    a = write_run(tmp_path / "a", config={"batch_size": 16, "data": {"path": "<photos>"}})
    write_run(tmp_path / "b", config={"batch_size": 8, "data": {"path": "<photos>"}, "new": None})
    for step in (10, 20, 40):
        folder = a / "samples" / "held_out" / "cat"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (700, 20), (step, 0, 0)).save(folder / f"{step:08d}.png")
    return [str(tmp_path / "a"), str(tmp_path / "b")]


def test_a_page_has_curves_samples_and_differences_and_loads_nothing(tmp_path, runs):
    command.main([str(tmp_path / "page.html"), *runs])
    text = (tmp_path / "page.html").read_text()
    assert "http" not in text and "<polyline" in text
    assert text.count('src="data:image/webp') == 3 and text.count(" hidden>") == 2
    assert 'data-steps="10 20 40"' in text and "held_out/cat" in text
    assert "<td>batch_size</td><td>16</td><td>8</td>" in text and "<td>new</td><td>–</td><td>null</td>" in text
    assert "data.path" not in text  # the configs agree in it


def test_names_are_escaped_on_the_page(tmp_path, runs):
    command.main([str(tmp_path / "page.html"), f"<b>={runs[0]}"])
    text = (tmp_path / "page.html").read_text()
    assert "<b>" not in text and "&lt;b&gt;" in text


def test_samples_of_many_steps_are_spread():
    assert curves.spread([1, 2, 3], 24) == [1, 2, 3]
    chosen = curves.spread(list(range(1000)), 24)
    assert len(chosen) == 24 and (chosen[0], chosen[-1]) == (0, 999)
    assert set(np.diff(chosen)) <= {43, 44}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["curves.png", "{run}"], "expected a name that ends in .svg"),
        (["curves.svg", "{run}/metrics.json"], "no such file"),
        (["curves.svg", "{run}", "--smooth", "1"], "smooth: 1.0 is no number from 0 to below 1"),
    ],
)
def test_wrong_arguments_end_in_a_sentence(tmp_path, runs, capsys, arguments, message):
    out, *others = (argument.format(run=runs[0]) for argument in arguments)
    with pytest.raises(SystemExit) as stop:
        command.main([str(tmp_path / out), *others])
    assert stop.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / out).exists()


def test_words_between_backticks_are_code():
    template = pages.environment().from_string("{{ text|code }}")
    assert template.render(text="`scale` < 4") == "<code>scale</code> &lt; 4"
