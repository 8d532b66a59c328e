"""What is evaluated: interpolations, networks, other programs' pictures, and how LR came about."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from srgan_jax import evaluation, generators
from srgan_jax.errors import InputError
from srgan_jax.evaluation.methods import of_generator
from srgan_jax.evaluation.sets import MADE
from srgan_jax.images import decode_image, save_image
from srgan_jax.images.resize import imresize


@pytest.fixture
def folder(tmp_path):
    """A folder of two smooth random pictures."""
    (tmp_path / "photos").mkdir()
    for seed, stem in enumerate("ab"):
        small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
        save_image(tmp_path / "photos" / f"{stem}.png", imresize(small, 4))
    return tmp_path / "photos"


@pytest.fixture(params=["clamp", "symmetric"])
def pairs(folder, tmp_path, request):
    """The pictures of `folder` with LR files, reduced by either border rule."""
    folder.rename(tmp_path / "HR")
    (tmp_path / "LRx4").mkdir()
    for path in (tmp_path / "HR").iterdir():
        save_image(tmp_path / "LRx4" / path.name, imresize(decode_image(path), 1 / 4, border=request.param))
    return evaluation.read_set("x", tmp_path, scale=4)


def test_the_border_rule_of_lr_files_is_found(pairs, request):
    border = request.node.callspec.params["pairs"]
    assert pairs.border == border and pairs.lr_about == MADE | {"origin": "files of LRx4/", "border": border}


def test_a_consistent_method_says_nothing_that_lr_contradicts(pairs):
    scores = {}
    for consistent in (None, True):
        method = evaluation.create_method("bicubic", consistent=consistent)
        mean = evaluation.score(method.enlarge, pairs, metrics=evaluation.make_scorers(["lr_psnr"]))["mean"]
        scores[method.name] = mean["lr_psnr"]
    assert scores["bicubic"] < 45 < 60 < scores["bicubic, consistent"]


@pytest.mark.parametrize("info", [{}, {"consistent": True}])
def test_a_network_is_as_consistent_as_it_was_made_for(pairs, info):
    """Also where the picture is grey and the network sees colours."""
    generator = dataclasses.replace(generators.load("srresnet-x4"), info=info)
    lr, _, _ = pairs.pair(0)
    for consistent in (None, False, True):
        method = of_generator(generator, consistent=consistent)
        sr = method.enlarge(pairs, 0, lr[..., :1])
        expected = np.repeat(lr[..., :1], 3, axis=2)
        same = np.array_equal(imresize(sr, 1 / 4, border=pairs.border), expected)
        assert same == bool(info if consistent is None else consistent)


def results_of_a_program(folder, tmp_path, place):
    """What nearest makes of a set, as pictures in another folder."""
    pairs = evaluation.read_set("set", folder, scale=4)
    method = evaluation.create_method("nearest")
    (tmp_path / place).mkdir(parents=True)
    for i, stem in enumerate(pairs.stems):
        save_image(tmp_path / place / f"{stem}.png", method.enlarge(pairs, i, pairs.pair(i)[0]))


@pytest.mark.parametrize("place", ["theirs", "theirs/set"])
def test_pictures_of_any_program_are_scored(folder, tmp_path, place, capsys):
    results_of_a_program(folder, tmp_path, place)
    theirs = str(tmp_path / "theirs")
    options = {"metrics": ["psnr", "ssim"], "protocols": ["rgb"]}
    evaluation.evaluate_and_report(None, [f"set={folder}"], tmp_path / "a", sr=theirs, vs="bicubic", **options)
    evaluation.evaluate_and_report("nearest", [f"set={folder}"], tmp_path / "b", vs_sr=theirs, **options)
    scored, nearest = (json.loads((tmp_path / name / "results.json").read_text()) for name in "ab")
    assert scored["datasets"] == nearest["datasets"] and scored["method"]["name"] == theirs
    assert f"nearest minus {theirs}" in capsys.readouterr().out
    place = tmp_path / place
    with pytest.raises(InputError, match="is an input and would be overwritten"):
        evaluation.evaluate_and_report(None, [f"{place.name}={folder}"], place.parent, sr=theirs, **options)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (None, r"set/b\.png: no such file, nor .*theirs/b\.png; give each result the name of its HR picture"),
        (
            np.zeros((48, 60, 3)),
            r"b\.png: expected 64x48 pixels, 4 times the LR picture, got 60x48; give the result as",
        ),
        (np.zeros((48, 64)), r"b\.png: expected RGB, as the LR picture is, got greyscale"),
        (np.zeros((48, 64, 4)), r"b\.png: expected 8-bit greyscale or RGB, got mode RGBA"),
    ],
    ids=["missing", "another size", "grey", "transparent"],
)
def test_results_that_cannot_be_scored(folder, tmp_path, picture, message):
    results_of_a_program(folder, tmp_path, "theirs")
    path = tmp_path / "theirs" / "b.png"
    path.unlink()
    if picture is not None:
        Image.fromarray(picture.astype(np.uint8)).save(path)
    with pytest.raises(InputError, match=message):
        evaluation.evaluate_and_report(
            None, [f"set={folder}"], tmp_path / "out", sr=str(tmp_path / "theirs"), metrics=["psnr"]
        )


@pytest.mark.parametrize("scale", [0, -4])
def test_a_scale_is_a_number_above_zero(scale, folder, tmp_path):
    for options in ({"ckpt": "bicubic"}, {"ckpt": None, "sr": str(folder)}):
        with pytest.raises(InputError, match=f"scale: expected a whole number of at least 1, got {scale}"):
            evaluation.evaluate_and_report(data=[f"x={folder}"], out=tmp_path, metrics=["psnr"], scale=scale, **options)


def test_a_network_keeps_its_scale():
    with pytest.raises(InputError, match="srresnet-x4 enlarges 4 times and no other factor, got a scale of 2"):
        evaluation.create_method("srresnet-x4", scale=2)
