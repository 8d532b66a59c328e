"""What `create` writes says nothing about methods, and bad input ends in a sentence."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from small_study import make_study, write_folders

from srgan_jax.commands.study import main
from srgan_jax.errors import InputError
from srgan_jax.study.creating import create, read_scores
from srgan_jax.study.design import read_design
from srgan_jax.study.store import Store
from srgan_jax.study.texts import LABELS, accepted, choose_language

SCORES = {
    "method": {"name": "SRGAN"},
    "datasets": {
        "Set": {
            "images": {str(i): {"paper": {"psnr": 20.0 + i, "ssim": 0.8}, "niqe": None, "grid": 1} for i in range(3)}
        }
    },
}


def test_files_say_nothing_about_methods(tmp_path):
    study = make_study(tmp_path)
    design = read_design(study)
    assert design.methods == ("bicubic", "SRGAN", "HR") and design.reference == "HR"
    names = set()
    for picture, versions in design.pictures.items():
        files = {method: study / "pictures" / shown.file for method, shown in versions.items()}
        assert len({path.stat().st_size for path in files.values()}) == 1
        assert {path.stat().st_mtime for path in files.values()} == {0}
        for method, path in files.items():
            names.add(path.name)
            with Image.open(path) as image:
                assert image.mode == "RGB" and not image.info
                assert image.size == (versions[method].width, versions[method].height)
                source = tmp_path / ("HR/HR" if method == "HR" else f"{method}/Set") / f"{picture[4:]}.png"
                width, height = image.size
                assert np.array_equal(np.array(image), np.array(Image.open(source))[:height, :width])
    assert len(names) == 9 == len(list((study / "pictures").iterdir()))
    other = tmp_path / "other"
    other.mkdir()
    assert not names & {path.name for path in (make_study(other) / "pictures").iterdir()}  # names cannot be computed


def test_grey_pictures_are_no_smaller(tmp_path):
    for method, mode in (("a", "L"), ("b", "RGB")):
        (tmp_path / method).mkdir()
        for i in range(2):
            Image.new(mode, (20, 16)).save(tmp_path / method / f"{i}.png", optimize=True)
    design = create(tmp_path / "study", [f"{tmp_path}/a", f"{tmp_path}/b"])
    assert design.reference == "" and set(design.pictures) == {"0", "1"}
    assert len({path.stat().st_size for path in (tmp_path / "study/pictures").iterdir()}) == 1


def test_calibration_shows_nearest_and_hr(tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "calibration").mkdir()
    levels = np.repeat(np.repeat(rng.integers(0, 256, (5, 6, 3), np.uint8), 4, 0), 4, 1)
    Image.fromarray(np.pad(levels, ((0, 3), (0, 1), (0, 0)))).save(tmp_path / "calibration/a.png")
    design = read_design(make_study(tmp_path, calibration=tmp_path / "calibration"))
    assert [(shown.width, shown.height, grade) for shown, grade in design.calibration] == [(24, 20, 1), (24, 20, 5)]
    worst, best = (np.array(Image.open(tmp_path / "study/pictures" / shown.file)) for shown, _ in design.calibration)
    assert np.array_equal(best, levels)
    assert np.array_equal(worst[::4, ::4].repeat(4, 0).repeat(4, 1), worst) and not np.array_equal(worst, best)


def test_a_calibration_picture_of_the_test_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"0.png: expected a picture that is not in the test"):
        make_study(tmp_path, calibration=tmp_path / "HR")
    assert not (tmp_path / "study").exists() and not list(tmp_path.glob(".*"))  # nothing half-written


def test_scores_of_eval_are_taken_along(tmp_path):
    originals, folders = write_folders(tmp_path)
    (folders[1] / "results.json").write_text(json.dumps(SCORES))
    design = create(tmp_path / "study", [f"ours={folders[1]}", str(folders[0])], data=[f"Set={originals}"])
    assert design.scores == {"ours": read_scores(folders[1])}
    assert design.scores["ours"]["Set/1"] == {"paper psnr": 21.0, "paper ssim": 0.8, "grid": 1.0}
    (folders[1] / "results.json").write_text("[]")
    with pytest.raises(InputError, match=r"results.json: expected what eval.py writes"):
        read_scores(folders[1])


def test_a_sample_of_pictures_and_pairs(tmp_path):
    study = make_study(tmp_path, pictures=2, kind="pairs", per_rater=4)
    assert len(read_design(study).pictures) == 2 and list(read_design(study).answers) == [1, 2]
    with Store(study / "answers.sqlite") as store:
        assert store.plan(1) == (0, 4) and store.item(1, 0).other and store.item(5, 0) is None


def break_size(root):
    Image.new("RGB", (8, 8)).save(root / "SRGAN/Set/1.png")


def break_mode(root):
    Image.new("RGBA", (8, 8)).save(root / "SRGAN/Set/1.png")


def break_file(root):
    (root / "SRGAN/Set/1.png").write_bytes(b"no picture")


def remove(root):
    (root / "SRGAN/Set/1.png").unlink()


@pytest.mark.parametrize(
    "damage, message",
    [
        (break_size, r"1.png: expected 8x8 pixels, as another method has, got 40x32"),
        (break_mode, r"SRGAN/Set/1.png: expected 8-bit greyscale or RGB without transparency, got mode RGBA"),
        (break_file, r"SRGAN/Set/1.png: cannot be read"),
        (remove, r"SRGAN: expected a picture Set/1.png"),
    ],
)
def test_wrong_pictures(tmp_path, damage, message):
    originals, folders = write_folders(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        create(tmp_path / "study", list(map(str, folders)), data=[f"Set={originals}"])
    assert not (tmp_path / "study").exists() and not list(tmp_path.glob(".*"))


def test_folders_without_originals_must_have_equal_names(tmp_path):
    _, folders = write_folders(tmp_path)
    remove(tmp_path)
    with pytest.raises(InputError, match=r"SRGAN: expected a picture Set/1, as .*bicubic has it"):
        create(tmp_path / "study", list(map(str, folders)))


def test_the_command_line(tmp_path, capsys):
    originals, (first, second) = write_folders(tmp_path)
    out = tmp_path / "study"
    for flags, message in (
        ([str(first)], "a study needs at least two methods"),
        ([str(first), f"bicubic={second}"], "two methods are called bicubic"),
        ([str(first), f"{tmp_path}/none"], "none: expected a folder of pictures"),
        ([str(first), str(second), "--pictures", "9"], "pictures: expected 2 to 3"),
        ([str(first), str(second), "--data", "Set"], "expected NAME=DIR for a set of original pictures"),
        ([str(first), str(second), "--magnification", "9"], "a magnification of 0 to 8"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(["create", str(out), "--methods", *flags])
        assert exit_.value.code == 2 and message in capsys.readouterr().err
    main(["create", str(out), "--methods", str(first), str(second), "--data", f"Set={originals}", "--title", "T"])
    assert "3 pictures by 3 methods (bicubic, SRGAN, HR)" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["create", str(out), "--methods", str(first), str(second)])
    assert "exists and is not empty" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["serve", str(tmp_path)])
    assert "expected a folder that the command `create` has written" in capsys.readouterr().err
    (out / "design.json").write_text('{"title": 1}')
    with pytest.raises(InputError, match=r"design.json: expected a design as `create` writes it"):
        read_design(out)


def test_jax_is_never_imported(tmp_path):
    _, folders = write_folders(tmp_path)
    program = f"""
import sys
from srgan_jax.commands.study import main
main(["create", r"{tmp_path}/study", "--methods", r"{folders[0]}", r"{folders[1]}", "--raters", "3"])
main(["simulate", r"{tmp_path}/study", "--raters", "3"])
main(["analyse", r"{tmp_path}/study", "-o", r"{tmp_path}/report"])
import srgan_jax.study.serving
found = sorted({{name.partition(".")[0] for name in sys.modules}} & {{"jax", "jaxlib", "flax", "torch"}})
assert not found, found
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_every_language_has_every_label():
    assert all(labels.keys() == LABELS["en"].keys() and len(labels["grades"]) == 5 for labels in LABELS.values())


@pytest.mark.parametrize(
    "header, language",
    [("de-AT,de;q=0.9,en;q=0.5", "de"), ("fr, ko;q=0.3, en;q=0.2", "ko"), ("", "en"), ("fr;q=x, de", "de")],
)
def test_the_browser_chooses_the_language(header, language):
    assert choose_language(accepted(header)) == language
