"""The perception-distortion plane: what is drawn, where, and that it can be read."""

import itertools
import json
import math
import re
import xml.etree.ElementTree

import jax
import numpy as np
import pytest
from PIL import Image
from tiny import initialise

from srgan_jax.commands import plane as command
from srgan_jax.errors import InputError
from srgan_jax.evaluation import create_method, drawing, make_scorers, plane, read_set, run
from srgan_jax.evaluation.drawing import Point, axis, scatter
from srgan_jax.evaluation.published import PUBLISHED
from srgan_jax.evaluation.tables import Column
from srgan_jax.metrics import METRICS
from srgan_jax.models import SRResNet, architecture_of
from srgan_jax.weights.release import write_release

PSNR, SSIM = (Column(METRICS[name], "matlab") for name in ("psnr", "ssim"))
LPIPS = Column(METRICS["lpips_alex"])


@pytest.fixture
def pictures(tmp_path):
    """A folder of two random pictures."""
    (tmp_path / "photos").mkdir()
    for i in range(2):
        levels = np.random.default_rng(i).integers(0, 256, (32, 40, 3), np.uint8)
        Image.fromarray(levels).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


TEXT = "{http://www.w3.org/2000/svg}text"


@pytest.mark.parametrize("seed", range(3))
def test_labels_do_not_overlap(seed):
    rng = np.random.default_rng(seed)
    near = [Point(f"method {i}", *rng.normal(0, 0.1, 2)) for i in range(6)]
    points = [*near, *(Point(f"a rather long name {i}", *rng.normal(0, 1, 2), faint=True) for i in range(6))]
    svg = scatter(
        points, [("a curve", [*map(tuple, rng.normal(0, 1, (4, 2)).tolist())])], title="", x_label="", y_label=""
    )
    known, boxes = {*(point.label for point in points), "a curve"}, {}
    for text in xml.etree.ElementTree.fromstring(svg).iter(TEXT):
        if text.text in known:
            width = drawing.LETTER * len(text.text)
            left = float(text.get("x")) - width * {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
            boxes[text.text] = left, left + width, float(text.get("y"))
    assert boxes.keys() == known
    for (a, (left, right, y)), (b, (other_left, other_right, other_y)) in itertools.combinations(boxes.items(), 2):
        assert right <= other_left or other_right <= left or abs(y - other_y) >= drawing.SIZE, (a, b)
    assert all(left >= drawing.LEFT and right <= drawing.WIDTH - drawing.RIGHT for left, right, _ in boxes.values())


@pytest.mark.parametrize("values", [(22.15, 32.2), (0.06, 0.34), (5, 5), (-3e-5, 4e-5), (1e6, 9e6)])
def test_an_axis_has_a_few_round_values(values):
    ticks = list(axis(values, 0, 100).ticks())
    assert 5 <= len(ticks) <= 13
    steps = np.diff([value for value, _ in ticks])
    assert np.allclose(steps, steps[0]) and f"{steps[0]:.0e}"[0] in "125"
    assert all(float(text) == pytest.approx(value, abs=1e-9) for value, text in ticks)


def result(name, psnr, lpips, **about):
    mean = {"matlab": {"psnr": psnr}, "lpips_alex": lpips}
    return {"method": {"name": name} | about, "datasets": {"Set5": {"mean": mean}}}


def test_methods_are_points_and_blends_a_curve():
    blends = [result(f"{share}", 30 - share, 0.2, blend=["first", "second", share]) for share in (1.0, 0.5, 0.0)]
    svg = plane.draw([result("a & b", 28.4, 0.34), *blends], "Set5", PSNR, LPIPS)
    found = [text.text for text in xml.etree.ElementTree.fromstring(svg).iter(TEXT)]
    assert {"a & b", "from first to second", "ESRGAN", "matlab PSNR (dB), higher is better"} <= set(found)
    assert any("Ma et al." in text for text in found) and "0.5" not in found
    x = [float(pair.split(",")[0]) for pair in re.search('points="(.*?)"', svg)[1].split()]
    assert len(x) == 3 and x == sorted(x, reverse=True)  # from the first to the second
    assert svg.count("<circle") == 1 + 3 + len(PUBLISHED["Set5"])
    alone = plane.draw([result("a", 28.4, 0.34)], "Set5", PSNR, LPIPS, published=False)
    assert alone.count("<circle") == 1 and "Grey" not in alone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "Set14"}, "the results of a have no set 'Set14'; they have Set5"),
        ({"y": Column(METRICS["niqe"])}, "the results of a have no NIQE of Set5; evaluate this metric too"),
        ({"x": SSIM}, "the results of a have no matlab SSIM of Set5"),
    ],
)
def test_what_results_lack_is_named(change, message):
    with pytest.raises(InputError, match=message):
        plane.draw([result("a", 28.4, 0.34)], **{"dataset": "Set5", "x": PSNR, "y": LPIPS} | change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file; expected results.json of eval.py"),
        ("{}", "expected what eval.py writes"),
        ("[", "expected"),
    ],
)
def test_files_that_are_no_results(tmp_path, text, message):
    path = tmp_path / "results.json"
    if text:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        plane.read_results(str(path))


def test_published_numbers_are_of_known_metrics():
    for methods in PUBLISHED.values():
        for scores, source in methods.values():
            assert source and set(scores) <= set(METRICS) and all(math.isfinite(value) for value in scores.values())


def test_the_command_draws_results_and_a_curve(pictures, tmp_path, capsys):
    pairs = read_set("set", pictures, scale=2)
    scorers = make_scorers(("psnr", "ssim"))
    run(create_method("bicubic", scale=2), [pairs], tmp_path / "bicubic", metrics=scorers)
    module, ends = SRResNet(scale=2, features=4, num_blocks=1), []
    for seed in range(2):
        ends.append(str(tmp_path / f"{seed}.safetensors"))
        variables = initialise(module, np.zeros((1, 8, 8, 3), np.float32), seed=seed)
        write_release(ends[-1], architecture_of(module), jax.tree.map(np.asarray, variables))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plane, "STEPS", 2)
        words = [tmp_path / "plane.svg", f"cubic={tmp_path / 'bicubic'}", "--y=ssim", "--blend", *ends]
        words += ["--data", f"set={pictures}", "--out", tmp_path / "blends"]
        command.main([str(word) for word in words])
    assert (tmp_path / "plane.svg").read_text().count("<circle") == 1 + 3
    printed = capsys.readouterr().out
    assert "| method | matlab PSNR (dB) ↑ | matlab SSIM ↑ |" in printed and "| cubic | " in printed
    # The ends of the curve are the two generators themselves.
    for share, end in zip(("0.0", "1.0"), ends, strict=True):
        expected = run(create_method(end), [pairs], tmp_path / "end", metrics=scorers)["datasets"]
        found = json.loads((tmp_path / "blends" / f"blend-{share}" / "results.json").read_text())["datasets"]
        assert found == expected
