"""Evaluation sets, scores, results.json, the table, and eval.py's answers to bad input."""

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image
from scipy import stats

import eval as eval_script
from srgan_jax import evaluation
from srgan_jax.commands.common import report_input_errors
from srgan_jax.errors import InputError
from srgan_jax.evaluation import command, pages
from srgan_jax.images.resize import imresize
from srgan_jax.metrics import METRICS, Metric


@pytest.fixture
def photos():
    """Two smooth random pictures, the second no multiple of 4, and one in greyscale."""
    rng = np.random.default_rng(0)
    shapes = {"a": (48, 64, 3), "b": (50, 67, 3), "grey": (48, 48, 1)}
    return {
        name: imresize(rng.integers(0, 256, (h // 4 + 1, w // 4 + 1, c), np.uint8), 4)[:h, :w]
        for name, (h, w, c) in shapes.items()
    }


@pytest.fixture
def folder(tmp_path, photos):
    (tmp_path / "photos").mkdir()
    for name, picture in photos.items():
        Image.fromarray(picture.squeeze()).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def test_plain_folder_makes_lr_and_crops_hr(folder):
    pairs = evaluation.read_set("x", folder, scale=4)
    assert pairs.stems == ("a", "b", "grey")
    lr, hr, cropped = pairs.pair(1)
    assert (lr.shape, hr.shape, cropped) == ((12, 16, 3), (48, 64, 3), True)
    assert pairs.pair(2)[1].shape == (48, 48, 1)


def test_lr_files_are_used_where_given(tmp_path, photos):
    for name in ("HR", "LRx4"):
        (tmp_path / name).mkdir()
    Image.fromarray(photos["a"]).save(tmp_path / "HR" / "a.png")
    Image.fromarray(np.full((12, 16, 3), 7, np.uint8)).save(tmp_path / "LRx4" / "a.png")
    pairs = evaluation.read_set("x", tmp_path, scale=4)
    assert (pairs.pair(0)[0] == 7).all() and "LRx4" in pairs.lr_about["origin"]
    Image.fromarray(np.zeros((12, 15, 3), np.uint8)).save(tmp_path / "LRx4" / "a.png")
    with pytest.raises(InputError, match="x/a: LR of 15x12 does not fit HR of 64x48 at scale 4"):
        evaluation.read_set("x", tmp_path, scale=4).pair(0)
    (tmp_path / "LRx4" / "a.png").rename(tmp_path / "LRx4" / "b.png")
    with pytest.raises(InputError, match=r"a\.png is in only one of HR/ and LRx4/"):
        evaluation.read_set("x", tmp_path, scale=4)


def test_run_writes_results_and_pictures(folder, tmp_path):
    out = tmp_path / "out"
    method = evaluation.create_method("bicubic", scale=4)
    pairs = evaluation.read_set("set", folder, scale=4)
    scorers = evaluation.make_scorers(("psnr", "ssim"), protocols=("matlab", "rgb"))
    scorers["vgg54"] = lambda samples: [0.25] * len(samples)
    results = evaluation.run(method, [pairs], out, metrics=scorers)
    assert json.loads((out / "results.json").read_text()) == results
    scores = results["datasets"]["set"]
    assert scores["count"] == 3 and scores["cropped"] == 1
    per_image = [scores["images"][stem]["matlab"]["psnr"] for stem in ("a", "b", "grey")]
    assert scores["mean"]["matlab"]["psnr"] == pytest.approx(np.mean(per_image))
    assert scores["mean"]["vgg54"] == 0.25
    assert results["versions"]["jax"] and results["protocols"].keys() == {"matlab", "rgb"}
    with Image.open(out / "set" / "b.png") as picture:
        assert picture.size == (64, 48)
    table = evaluation.table(results)
    assert "| set | 3 |" in table and "1 HR images cropped" in table and "MATLAB bicubic" in table


def test_identical_pictures_are_null_and_infinite(folder, tmp_path):
    pairs = evaluation.read_set("set", folder, scale=4)
    method = evaluation.Method(lambda pairs, i, lr: pairs.pair(i)[1], 4, {"name": "HR itself"})
    results = evaluation.run(method, [pairs], tmp_path / "out", metrics=evaluation.make_scorers(("psnr",)))
    assert results["datasets"]["set"]["mean"]["matlab"]["psnr"] is None
    assert "∞" in evaluation.table(results)


def test_a_method_is_not_compared_with_itself(folder, tmp_path):
    with pytest.raises(InputError, match="bicubic would be compared with itself"):
        evaluation.evaluate_and_report("bicubic", [f"set={folder}"], tmp_path / "out", metrics=["psnr"], vs="bicubic")


def test_a_new_metric_is_one_row(folder, tmp_path, monkeypatch, capsys):
    """It is computed by default, in batches, printed, compared and reported; small pictures may lack it."""
    sizes = []

    def make(path):
        def score(samples):
            sizes.append(len(samples))
            if any(sample.hr.shape[1] < 60 for sample in samples):
                raise InputError("toy: expected 60 columns.")
            return [float(sample.sr.mean() / sample.hr.mean()) for sample in samples]

        return score

    monkeypatch.setitem(METRICS, "toy", Metric("toy", "Toy", 2, "a toy", best=1, needs=("hr",), make=make))
    evaluation.evaluate_and_report("bicubic", [f"set={folder}"], tmp_path / "out", protocols=["rgb"], vs="nearest")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    images = results["datasets"]["set"]["images"]
    assert (
        images["grey"]["toy"] is None and images["a"]["toy"] == pytest.approx(1, abs=0.1) and sizes[:4] == [3, 1, 1, 1]
    )
    assert results["metrics"]["toy"] == "a toy; best at 1" and results["datasets"]["set"]["mean"]["toy"] is None
    printed = capsys.readouterr().out
    assert "Toy → 1" in printed and "Toy: a toy; best at 1." in printed and "Toy, distance from 1 ↓" in printed
    with pytest.raises(InputError, match=r"set/grey: toy: expected 60 columns\."):
        evaluation.evaluate_and_report("bicubic", [f"set={folder}"], tmp_path / "other", metrics=["toy"])


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [("psnr", 30, 29), ("psnr", math.inf, 30), ("vgg54", 0.1, 0.2), ("contrast", 0.95, 1.1), ("ssim", 0.1, math.nan)],
)
def test_which_of_two_values_is_better(name, good, bad):
    assert evaluation.better(name, good, bad) and not evaluation.better(name, bad, good)
    assert not evaluation.better(name, bad, bad)


def test_results_of_earlier_versions_are_still_read():
    mean = {"paper": {"psnr": None, "ssim": 0.8}, "vgg54": 0.125, "unknown": 3}
    scores = {"count": 1, "cropped": 0, "lr": {"origin": "files", "kernel": None, "border": None}, "mean": mean}
    table = evaluation.table({"protocols": {"paper": "the paper's"}, "vgg54": "eq. 5", "datasets": {"Set5": scores}})
    assert "| set | images | paper PSNR (dB) ↑ | paper SSIM ↑ | VGG54 ↓ |\n" in table
    assert "| Set5 | 1 | ∞ | 0.8000 | 0.1250 |\n" in table and "Set5: LR files." in table


def test_feature_distance_is_zero_for_one_picture_and_grows(photos):
    rng = np.random.default_rng(0)
    shapes = {"conv1_1": (3, 3, 3, 64), "conv1_2": (3, 3, 64, 64)}
    params = {
        k: {"kernel": rng.normal(0, 0.1, s).astype(np.float32), "bias": np.zeros(64, np.float32)}
        for k, s in shapes.items()
    }
    distance = evaluation.make_feature_distance(params, "torchvision", layer="vgg12")
    picture = photos["a"]
    noisy = [np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8) for sigma in (4, 16)]
    near, far = (distance(x, picture) for x in noisy)
    assert distance(picture, picture) == 0 and 0 < near < far and math.isfinite(far)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--data": "Set5"}, "expected NAME=DIR"),
        ({"--data": "Set5=missing"}, "missing does not exist"),
        ({"--protocol": "papr"}, "did you mean 'paper'"),
        ({"--ckpt": "nowhere"}, "nowhere: no such file or directory"),
        ({"--vgg": "vgg.npz"}, "vgg.npz: no such file. VGG19's weights are published by"),
        ({"--data": "x=CUT"}, "cut.png: cannot be read"),
    ],
)
def test_bad_input_is_one_sentence(change, message, folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "cut").mkdir()
    whole = (folder / "a.png").read_bytes()
    (tmp_path / "cut" / "cut.png").write_bytes(whole[: len(whole) // 2])
    flags = {
        "--ckpt": "bicubic",
        "--data": f"x={folder}",
        "--out": str(tmp_path / "out"),
        "--protocol": "matlab",
    } | change
    monkeypatch.setattr(
        "sys.argv",
        ["eval.py", *(word.replace("CUT", str(tmp_path / "cut")) for pair in flags.items() for word in pair)],
    )
    with pytest.raises(SystemExit) as stop, report_input_errors():
        eval_script.main()
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize(
    ("mode", "found"), [("RGBA", "RGBA"), ("LA", "LA"), ("I;16", "I;16"), ("F", "F"), ("P", "P with transparency")]
)
def test_pictures_that_would_be_converted_silently_are_refused(tmp_path, mode, found):
    levels = np.full((48, 48), 60, np.uint8)
    if mode == "P":
        Image.fromarray(levels, "L").convert("P").save(tmp_path / "odd.png", transparency=0)
    else:
        picture = Image.fromarray(levels.astype({"I;16": np.uint16, "F": np.float32}.get(mode, np.uint8)))
        picture = picture if mode in ("I;16", "F") else picture.convert(mode)
        picture.save(tmp_path / ("odd.tif" if mode == "F" else "odd.png"))
    with pytest.raises(InputError, match=rf"odd\.\w+: expected 8-bit greyscale or RGB, got mode {found}"):
        evaluation.read_set("x", tmp_path, scale=4).pair(0)


def fake_results(name, psnr, contrast):
    images = {
        str(i): {"matlab": {"psnr": p}, "contrast": c} for i, (p, c) in enumerate(zip(psnr, contrast, strict=True))
    }
    return {"method": {"name": name}, "datasets": {"set": {"images": images, "mean": images["0"]}}}


def test_comparison_pairs_pictures():
    rng = np.random.default_rng(0)
    psnr, gain = rng.normal(28, 2, 14), rng.normal(0.5, 0.2, 14)
    mine = fake_results("mine", [*(psnr + gain), None], np.full(15, 1.2))
    theirs = fake_results("theirs", [*psnr, None], np.full(15, 0.9))
    comparison = evaluation.compare(mine, theirs)
    assert comparison["method"] == {"name": "mine"} and comparison["other"] == {"name": "theirs"}
    compared = comparison["datasets"]["set"]["matlab"]["psnr"]
    assert compared["count"] == 14  # the identical picture has no difference to speak of
    assert compared["mean_difference"] == pytest.approx(gain.mean()) and compared["better"] == "mine"
    assert compared["wilcoxon_p"] == pytest.approx(stats.wilcoxon(psnr + gain, psnr).pvalue)
    # A percentile bootstrap of a mean is close to the normal interval.
    half = 1.96 * gain.std() / np.sqrt(14)
    assert compared["interval"] == pytest.approx([gain.mean() - half, gain.mean() + half], abs=0.02)
    # Contrast is best at 1: 1.2 is further from it than 0.9.
    contrast = comparison["datasets"]["set"]["contrast"]
    assert contrast["mean_difference"] == pytest.approx(0.1) and contrast["better"] == "theirs"
    table = evaluation.comparison_table(comparison)
    assert "mine minus theirs" in table and "| set | matlab PSNR (dB) ↑ | +0." in table
    assert "| set | contrast, distance from 1 ↓ | +0.100 | +0.100 … +0.100 |" in table


def test_no_difference_favours_nobody():
    results = fake_results("mine", [28.0, 29.0], [1.0, 1.0])
    compared = evaluation.compare(results, results | {"method": {"name": "theirs"}})["datasets"]["set"]
    expected = {"mean_difference": 0.0, "interval": [0.0, 0.0], "wilcoxon_p": None, "count": 2, "better": None}
    assert compared["matlab"]["psnr"] == compared["contrast"] == expected


def test_comparison_and_report_of_two_methods(folder, tmp_path, capsys, monkeypatch):
    out, page = tmp_path / "out", tmp_path / "page"
    row = dataclasses.replace(METRICS["vgg54"], make=lambda path: lambda samples: [0.125] * len(samples))
    monkeypatch.setitem(METRICS, "vgg54", row)
    evaluation.evaluate_and_report(
        "bicubic",
        [f"set={folder}"],
        out,
        protocols=["matlab"],
        metrics=["psnr", "ssim", "vgg54"],
        vs="nearest",
        report=page,
    )
    assert "bicubic minus nearest" in capsys.readouterr().out
    compared = json.loads((out / "comparison.json").read_text())
    assert compared["method"]["name"] == "bicubic" and compared["other"]["name"] == "nearest"
    psnr = [
        json.loads((d / "results.json").read_text())["datasets"]["set"]["mean"]["matlab"]["psnr"]
        for d in (out, out / "vs")
    ]
    compared = compared["datasets"]["set"]["matlab"]["psnr"]
    assert compared["mean_difference"] == pytest.approx(psnr[0] - psnr[1]) and psnr[0] > psnr[1]
    text = (page / "index.html").read_text()
    # Three pictures, each whole and as crops of both methods, HR and the difference; nothing is loaded from elsewhere.
    assert text.count('src="data:image/') == 3 * 5 and "http" not in text and "`" not in text
    assert text.count("matlab PSNR (dB)") > 6 and "<td>bicubic</td>" in text
    # The feature distance of each method: in the table, and below its crop of each picture.
    assert text.count("<td>0.1250</td>") == 2 and text.count("VGG54: 0.1250") == 2 * 3

    with pytest.raises(
        InputError, match=r"comparison\.json is of an earlier comparison, and this run compares nothing"
    ):
        evaluation.evaluate_and_report("bicubic", [f"set={folder}"], out, metrics=["psnr"])


@pytest.mark.parametrize(
    ("data", "out", "options"),
    [
        ("set={root}/set", "{root}", {}),
        ("link={root}/set", "{root}", {}),  # a folder of another name that leads to the same pictures
        ("set={root}/set", "{root}/hard", {}),  # other names of the same files
        ("vs_={root}/out/vs/vs_", "{root}/out", {"vs": "nearest"}),
        ("set={root}/report/nearest/set", "{root}/out", {"report": "{root}/report"}),
    ],
    ids=["the folder itself", "a link", "hard links", "of the other method", "of the report"],
)
def test_the_originals_are_never_overwritten(tmp_path, photos, data, out, options, monkeypatch):
    for place in ("set", "out/vs/vs_", "report/nearest/set"):
        (tmp_path / place).mkdir(parents=True)
        for name, picture in photos.items():
            Image.fromarray(picture.squeeze()).save(tmp_path / place / f"{name}.png")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    (tmp_path / "hard" / "set").mkdir(parents=True)
    for path in (tmp_path / "set").iterdir():
        (tmp_path / "hard" / "set" / path.name).hardlink_to(path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    data, out, *values = (text.format(root=tmp_path) for text in (data, out, *options.values()))
    with pytest.raises(InputError, match="is an input and would be overwritten"):
        options = dict(zip(options, values, strict=True))
        command.evaluate_and_report("bicubic", [data], out, protocols=["rgb"], **options)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before
    assert not list(tmp_path.rglob("results.json"))


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a\\b", "vs", ".hidden", "a\nb", "results.json"])
def test_a_set_has_a_name_that_stays_in_the_folder(folder, tmp_path, name):
    with pytest.raises(InputError, match="cannot name a set of pictures"):
        evaluation.parse_sets([f"{name}={folder}"], scale=4)


def test_names_of_pictures_are_text_alone_on_a_page():
    template = pages.environment().from_string("{{ name }} {{ drawing | safe }}")
    shown = template.render(name="a\x1b[31m<b>", drawing="<i>\x07</i>")
    assert shown == r"a\x1b[31m&lt;b&gt; <i>\x07</i>"
