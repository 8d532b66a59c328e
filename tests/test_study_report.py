"""From pictures to a report: simulated raters, tables and the page."""

import csv
import json
import pathlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from small_study import make_study

from srgan_jax.commands.study import main
from srgan_jax.errors import InputError
from srgan_jax.study import simulate
from srgan_jax.study.analysis import ALL, analyse_grades
from srgan_jax.study.design import read_design, write_design
from srgan_jax.study.ratings import Rating, csv_of, read_csv
from srgan_jax.study.report import FILES, analyse, number, p_value
from srgan_jax.study.store import Store

TRUTH = {"bicubic": 1.8, "SRGAN": 3.4, "HR": 4.4}


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """Counts tags, and checks that they are closed and that nothing is loaded from elsewhere."""

    VOID = ("meta", "circle", "rect", "path", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        assert not {name for name, _ in attributes} & {"src", "href", "onclick", "onerror"}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.seen.append(tag)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of three pictures by three methods, answered by 12 simulated raters."""
    folder = make_study(
        tmp_path_factory.mktemp("report"),
        raters=14,
        repeats=3,
        questions=["How old?"],
        title='<script>alert("x")</script>',
    )
    design = read_design(folder)
    psnr = {"bicubic": 24.0, "SRGAN": 22.0}
    scores = {m: {f"Set/{i}": {"paper psnr": psnr[m] + i} for i in range(3)} for m in psnr}
    write_design(folder, design.__class__(**(vars(design) | {"scores": scores})))
    assert simulate.fill(folder, 12, opinions=TRUTH, bias=0.2, noise=0.4) == 12 * 12
    return folder


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    said = analyse(study, out)
    return out, said


def test_the_truth_is_found(study, report):
    out, said = report
    assert "Simulated raters, not people" in said and str(out / "index.html") in said
    truth = simulate.true_scores(read_design(study), TRUTH)
    for row in table(out / "methods.csv"):
        true = np.mean([scores[row["method"]] for scores in truth.values()])
        assert abs(float(row["mean"]) - true) < 0.3
        assert float(row["interval low"]) < float(row["mean"]) < float(row["interval high"])
        assert (row["raters"], row["ratings"]) == ("12", "36")
    assert [row["best"] for row in table(out / "methods.csv")] == ["False", "True", "False"]  # HR is out of the contest
    assert all(float(row["p_holm"]) < 0.01 for row in table(out / "differences.csv"))
    assert len(table(out / "pictures.csv")) == 9
    assert [row["replies How old?"] for row in table(out / "raters.csv")] == ["simulated"] * 12


def test_the_page_is_self_contained_and_marked(report):
    text = (report[0] / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert {"svg", "table"} <= set(page.seen) and "script" not in page.seen
    assert "These answers are simulated." in text and "&lt;script&gt;" in text
    assert "asked twice" in text and "paper psnr" in text and "Krippendorff" in text
    assert not re.search(r"\bnan\b|\bNone\b", text)


def test_every_file_is_written(report):
    out, _ = report
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["simulated"] and results["answers"] == 144 and results["repeats"]["count"] == 36
    assert results["correlations"][0]["count"] == 6  # HR has no scores
    assert results["correlations"][0]["spearman"] < 0  # PSNR prefers what these raters do not


def test_a_table_gives_the_same_report(report, tmp_path):
    out, _ = report
    analyse(out / "answers.csv", tmp_path / "again")
    first, again = (json.loads((folder / "results.json").read_text()) for folder in (out, tmp_path / "again"))
    assert again["simulated"]  # the mark is in the raters' names
    ours = {row["method"]: row["mean"] for row in first["groups"][0]["methods"]}
    assert {row["method"]: row["mean"] for row in again["groups"][0]["methods"]} == ours
    with pytest.raises(InputError, match="is an input and would be overwritten"):
        analyse(out / "answers.csv", out)


def test_simulated_and_real_answers_do_not_mix(study, tmp_path):
    with pytest.raises(InputError, match=r"has 2 free places, but 3 raters"):
        simulate.fill(study, 3)
    with pytest.raises(InputError, match=r"no method 'SRGAM'; did you mean 'SRGAN'\?"):
        simulate.fill(study, 1, opinions={"SRGAM": 2})
    real = make_study(tmp_path)
    with Store(real / "answers.sqlite") as store:
        store.join("digest", language="en")
    with pytest.raises(InputError, match="has answers of people"):
        simulate.fill(real, 1)


def test_pairs(tmp_path, capsys):
    study = make_study(tmp_path, kind="pairs", raters=10, repeats=3)
    simulate.fill(study, 10, opinions=TRUTH, noise=1.0)
    main(["analyse", str(study), "-o", str(tmp_path / "out")])
    assert "| bicubic |" in capsys.readouterr().out
    rows = {row["method"]: float(row["strength"]) for row in table(tmp_path / "out/methods.csv")}
    assert rows["bicubic"] < rows["SRGAN"] < rows["HR"]
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["repeats"]["count"] == 30 and 0.3 < results["firsts"] < 0.7
    assert all(rating.other for rating in read_csv(tmp_path / "out/answers.csv"))
    Page((tmp_path / "out/index.html").read_text())


def test_the_command_line(study, tmp_path, capsys):
    (tmp_path / "few.csv").write_text("rater,image,method,score\nann,a,x,3\nann,b,x,4\nben,a,x,2\n")
    main(["analyse", str(tmp_path / "few.csv"), "-o", str(tmp_path / "few")])
    assert "| – | x | 2.75 |" in capsys.readouterr().out
    Page((tmp_path / "few/index.html").read_text())
    empty = make_study(tmp_path)
    (tmp_path / "scores").mkdir()
    for flags, message in (
        ([str(empty)], "there are no answers yet"),
        ([str(tmp_path / "none")], "no such file; expected a folder of a study, or a table"),
        ([str(study), "--without", "simulated-99"], "there is no rater 'simulated-99' to leave out"),
        ([str(study), "--scores", str(tmp_path / "scores")], "expected results.json of eval.py"),
        ([str(tmp_path)], "expected a folder that the command `create` has written"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(["analyse", *flags, "-o", str(tmp_path / "out")])
        assert exit_.value.code == 2 and message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["simulate", str(empty), "--opinions", "HR=good"])
    assert "--opinions: expected METHOD=NUMBER" in capsys.readouterr().err
    main(["analyse", str(study), "-o", str(tmp_path / "out"), "--without", "simulated-1", "simulated-2"])
    assert len(table(tmp_path / "out/raters.csv")) == 10
    assert "Left out by hand: simulated-1, simulated-2." in (tmp_path / "out/index.html").read_text()


def test_several_sets_are_analysed_alone_and_together():
    rng = np.random.default_rng(0)
    ratings = [
        Rating(f"{r}", f"{name}/{i}", method, float(np.clip(np.rint(level + 0.5 * rng.normal()), 1, 5)))
        for r in range(6)
        for name in ("Set5", "Set14")
        for i in range(3)
        for method, level in (("a", 2), ("b", 4))
    ]
    results = analyse_grades(ratings, methods=["b", "a"])
    assert [(group["name"], group["images"]) for group in results["groups"]] == [("Set14", 3), ("Set5", 3), (ALL, 6)]
    assert [row["method"] for row in results["groups"][0]["methods"]] == ["b", "a"]
    ones = [sum(row["shares"]) for group in results["groups"] for row in group["methods"]]
    assert ones == pytest.approx([1] * 6)
    assert 0.6 < results["alpha"]["interval"] < 1 and not results["simulated"]


def test_names_are_escaped(tmp_path):
    evil = '<img src=x onerror="alert(1)">'
    lines = [f"{rater},{image},{method},{3 + (rater != method)}" for rater in "ab" for image in "xy" for method in "ab"]
    text = "\n".join(["rater,image,method,score", *lines]).replace("b", '"' + evil.replace('"', '""') + '"')
    (tmp_path / "evil.csv").write_text(text)
    analyse(tmp_path / "evil.csv", tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    assert evil not in page and "&lt;img src=x" in page
    Page(page)


@pytest.mark.parametrize("seed", range(6))
def test_few_and_missing_answers_make_a_report(seed, tmp_path):
    rng = np.random.default_rng(seed)
    raters, images, methods = rng.integers(1, 5, 3)
    ratings = [
        Rating(f"{r}", f"{'AB'[i % 2]}/{i}", f"m{m}", float(rng.integers(1, 6)) if seed % 2 else 3.0)
        for r in range(raters)
        for i in range(images)
        for m in range(methods)
        if rng.random() < 0.7 or not r + i + m
    ]
    (tmp_path / "few.csv").write_text(csv_of(ratings))
    assert "| m0 |" in analyse(tmp_path / "few.csv", tmp_path / "out")
    Page((tmp_path / "out/index.html").read_text())
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["answers"] == len(ratings) and results["raters"] == len({rating.rater for rating in ratings})


def test_numbers_as_they_are_printed():
    assert (number(None), number(float("nan")), number(-1.234), number(0.5, 0)) == ("–", "–", "−1.23", "0")
    assert (p_value(None), p_value(0.2), p_value(0.004), p_value(1e-9)) == ("–", "0.20", "0.0040", "< 0.0001")


def test_the_documentation_names_every_file():
    text = (pathlib.Path(__file__).parents[1] / "docs/study.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in FILES)
