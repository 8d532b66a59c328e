"""The script of the small experiments: what it trains, and the page that it makes of what was measured."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from scripts import beyond, experiments, scenes
from srgan_jax.configs import base
from srgan_jax.errors import InputError
from srgan_jax.images.montage import side_by_side

MEANS = {"matlab": {"psnr": 30.123, "ssim": 0.8765}, "lpips_alex": 0.1234, "contrast": 0.98}


def field_of(config, name):
    for part in name.split("."):
        config = config[part]
    return config


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_every_run_changes_fields_that_its_config_has(name):
    experiment = experiments.EXPERIMENTS[name]
    assert len({experiments.slug(run.label) for run in experiment.runs}) == len(experiment.runs) > 1
    for run in experiment.runs:
        assert bool(run.method) != bool(run.updates)
        if run.method:
            continue
        file, _, recipe = run.config.partition(":")
        scope = {}
        path = pathlib.Path(__file__).parents[1] / "configs" / file
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), scope)
        config = scope["get_config"](*filter(None, [recipe]))
        for field, value in run.fields.items():
            assert type(field_of(config, field)) in (type(value), int, float), field
        assert set(base.get_config().losses) <= set(config.losses)
        assert run.scaled(0.01).updates == max(2, round(0.01 * run.updates)) and run.scaled(1) is run


def test_the_page_is_made_of_what_was_measured(tmp_path):
    rows = [
        {"label": "ecbsr", "scores": {"Set5": MEANS}, "updates": 3000, "hours": 0.2, "cost": cost}
        for cost in [{"parameters": 107_600, "gflop": 12.3, "seconds": 0.25}]
    ]
    record = {"light": {"rows": rows, "machine": "two cores"}}
    (tmp_path / "beyond.json").write_text(json.dumps(record))
    beyond.main(["--page", "--docs", str(tmp_path), "--record", str(tmp_path / "beyond.json")])
    page = (tmp_path / "beyond.md").read_text(encoding="utf-8")
    assert "| ecbsr | 3,000 | 12 | 30.123 | 0.8765 | 0.1234 | 0.980 |" in page and "on two cores." in page
    assert "| ecbsr | 107,600 | 12.3 | 0.25 |" in page and "(beyond_light.png)" in page
    assert "## Adversarial losses" not in page


def test_long_labels_of_a_strip_have_several_lines():
    picture = np.full((30, 60, 3), 128, np.uint8)
    assert side_by_side([{"short": picture, "other": picture}]).shape == (50, 126, 3)
    strip = side_by_side([{"a label of several words": picture, "b": picture}])
    assert strip.shape[1] == 126 and strip.shape[0] > 70
    np.testing.assert_array_equal(strip[-30:, :60], picture)
    assert (strip[:-30, 60:66] == 255).all()  # no label reaches over its picture


def test_what_is_missing_is_said_at_once(tmp_path):
    with pytest.raises(InputError, match="--machine is needed for experiments"):
        beyond.main(["--only", "light", "--record", str(tmp_path / "none.json")])
    arguments = beyond.parse_arguments(["--machine", "m", "--photos", "p", "--data", "Set5=s"])
    with pytest.raises(InputError, match=r"--domains None: expected a folder with the folder thermal/"):
        experiments.thermal_sets(tmp_path, arguments)


def test_sets_that_are_made(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "domains" / "thermal").mkdir(parents=True)
    (tmp_path / "set" / "HR").mkdir(parents=True)
    for number in range(6):
        picture = Image.fromarray(rng.integers(0, 256, (64, 72), np.uint8))
        picture.save(tmp_path / "domains" / "thermal" / f"{number}.jpg")
    Image.fromarray(rng.integers(0, 256, (66, 81, 3), np.uint8)).save(tmp_path / "set" / "HR" / "a.png")
    words = ["--machine", "m", "--photos", "p", "--data", f"Set5={tmp_path / 'set'}"]
    arguments = beyond.parse_arguments([*words, "--domains", str(tmp_path / "domains")])
    assert experiments.thermal_sets(tmp_path / "out", arguments) == [f"thermal={tmp_path / 'out/sets/thermal'}"]
    assert sorted(p.name for p in (tmp_path / "out/sets/thermal/HR").iterdir()) == ["0.png", "5.png"]
    assert len(list((tmp_path / "out/sets/thermal_train").iterdir())) == 4
    experiments.degraded_sets(tmp_path / "out", arguments)
    with (
        Image.open(tmp_path / "out/sets/degraded/HR/a.png") as hr,
        Image.open(tmp_path / "out/sets/degraded/LRx4/a.png") as lr,
    ):
        assert hr.size == (48, 48) and lr.size == (12, 12)


def test_rendered_scenes_are_always_the_same_and_scored_in_metres(tmp_path):
    for folder in ("once", "again"):
        scenes.write_scenes(tmp_path / folder, range(2))
    depth, again = (np.load(tmp_path / folder / "depth" / "scene001.npy") for folder in ("once", "again"))
    np.testing.assert_array_equal(depth, again)
    assert depth.min() >= scenes.NEAREST and depth.max() <= scenes.FURTHEST and depth.std() > 0.5
    means, result, original = scenes.score("bicubic", tmp_path / "once", 4)
    assert 0 < means["mae"] < means["rmse"] < 1 and means["valid"] == 1
    assert result.shape == original.shape == (scenes.SIDE, scenes.SIDE, 3)


def test_only_those_students_are_taught_that_say_so():
    taught = {run.label: "teacher" not in run.fields for run in experiments.EXPERIMENTS["light"].runs if run.updates}
    assert taught == {label: "SRResNet" in label for label in taught} and sum(taught.values()) == 1
