"""Screening and the recovery of scores, against sureal and raters of known bias and noise."""

import contextlib
import io
import json
import math
import pathlib

import numpy as np
import pytest

from srgan_jax.study import raters
from srgan_jax.study.ratings import Grades, sureal_json

GOLDEN = json.loads((pathlib.Path(__file__).parent / "goldens/study.json").read_text())  # goldens/make_study.py
TABLE = np.array(GOLDEN["table"], float)


def test_recovery_equals_sureal():
    found = raters.recover_p910(TABLE)
    assert found.scores == pytest.approx(GOLDEN["quality"], abs=1e-6)
    assert found.bias == pytest.approx(GOLDEN["bias"], abs=1e-6)
    assert found.inconsistency == pytest.approx(GOLDEN["inconsistency"], abs=1e-6)
    assert found.deviations == pytest.approx(GOLDEN["deviation"], abs=1e-6)
    assert found.bias.sum() == pytest.approx(0, abs=1e-12) and 1 < found.iterations < raters.ITERATIONS


def test_recovery_is_a_maximum_of_the_likelihood():
    found = raters.recover_p910(TABLE)

    def likelihood(scores, bias, inconsistency):
        z = (TABLE - scores - bias[:, None]) / inconsistency[:, None]
        return np.nansum(-(z**2) / 2 - np.log(inconsistency)[:, None] + 0 * TABLE)

    best = likelihood(found.scores, found.bias, found.inconsistency)
    rng = np.random.default_rng(0)
    for _ in range(50):
        moved = [x + 0.01 * rng.normal(size=x.shape) for x in (found.scores, found.bias, found.inconsistency)]
        assert likelihood(*moved) < best


def test_recovery_finds_true_biases_and_noises():
    rng = np.random.default_rng(0)
    quality, bias, noise = rng.uniform(1, 5, 400), rng.normal(0, 0.5, 16), rng.uniform(0.2, 1.2, 16)
    table = quality + bias[:, None] + noise[:, None] * rng.normal(size=(16, 400))
    found = raters.recover_p910(table)
    assert found.bias == pytest.approx(bias - bias.mean(), abs=0.15)
    assert found.inconsistency == pytest.approx(noise, abs=0.1)
    errors = found.scores - quality - bias.mean()
    assert np.std(errors) < np.std(table.mean(0) - quality)  # better than plain means
    held = (np.abs(errors) < 1.96 * found.deviations).mean()
    assert 0.8 < held < 0.95  # the errors of the estimated inconsistencies are left out, as P.910 does


def test_a_careless_rater_hardly_counts():
    rng = np.random.default_rng(1)
    quality = rng.uniform(1, 5, 200)
    table = quality + 0.3 * rng.normal(size=(10, 200))
    careless = np.vstack([table, rng.uniform(1, 5, 200)])
    assert raters.recover_p910(careless).scores == pytest.approx(raters.recover_p910(table).scores, abs=0.25)
    assert np.abs(careless.mean(0) - table.mean(0)).max() > 0.25


def test_bt500_equals_sureal():
    found = raters.screen_bt500(TABLE, ddof=0)  # sureal takes the deviation of a population, and counts missing grades
    count = (~np.isnan(TABLE)).sum(1)
    assert found.outside * count / TABLE.shape[1] == pytest.approx(GOLDEN["outside"])
    for ours, theirs in zip(found.lopsided, GOLDEN["lopsided"], strict=True):
        assert ours == (0 if theirs is None else pytest.approx(theirs))
    assert found.rejected.tolist() == GOLDEN["rejected"]


def test_bt500_leaves_out_who_is_unreliable_and_not_who_is_kind():
    rng = np.random.default_rng(0)
    table = np.clip(rng.uniform(1.5, 4.5, 300) + 0.4 * rng.normal(size=(20, 300)), 1, 5)
    table[0] = rng.uniform(1, 5, 300)
    table[1] += 1.5
    found = raters.screen_bt500(table)
    assert np.flatnonzero(found.rejected).tolist() == [0]
    assert found.outside[1] > 0.05 and found.lopsided[1] > 0.9


def test_p913_correlations_are_numpys():
    rng = np.random.default_rng(0)
    scores = rng.uniform(1, 5, (1, 6, 4)) + 0.5 * rng.normal(size=(8, 6, 4))
    found = raters.screen_p913(scores)
    for i, own in enumerate(scores):
        assert found.pictures[i] == pytest.approx(np.corrcoef(own.ravel(), scores.mean(0).ravel())[0, 1])
        assert found.methods[i] == pytest.approx(np.corrcoef(own.mean(0), scores.mean((0, 1)))[0, 1])
    assert not found.rejected.any()


def test_p913_leaves_out_the_worst_first():
    rng = np.random.default_rng(0)
    scores = rng.uniform(1, 5, (1, 10, 5)) + 0.5 * rng.normal(size=(10, 10, 5))
    scores[3] = rng.uniform(1, 5, (10, 5))
    scores[7] = 6 - scores[7]
    scores[5] = 3  # always the same grade
    found = raters.screen_p913(scores)
    assert raters.names_of([f"{i}" for i in range(10)], found.rejected) == ["3", "5", "7"]
    assert found.pictures[7] < -0.5 and found.pictures[5] == 0 and found.pictures[0] > 0.9


def test_p913_with_missing_grades_and_few_raters():
    scores = np.full((2, 3, 2), np.nan)
    assert not raters.screen_p913(scores).rejected.any()
    scores = np.random.default_rng(0).uniform(1, 5, (4, 3, 2))
    scores[0] = np.nan
    scores[0, 0, 0] = 1
    found = raters.screen_p913(scores)
    assert math.isnan(found.pictures[0]) and not found.rejected[0]  # one grade says nothing


def test_sureal_reads_what_we_write(tmp_path):
    pytest.importorskip("sureal", exc_type=ImportError)
    from sureal.dataset_reader import RawDatasetReader
    from sureal.subjective_model import MosModel
    from sureal.tools.misc import import_json_file

    scores = TABLE.reshape(12, 6, 4)
    grades = Grades(*(tuple(f"{i:02}" for i in range(n)) for n in scores.shape), scores)
    (tmp_path / "study.json").write_text(sureal_json(grades))
    with contextlib.redirect_stdout(io.StringIO()):
        found = MosModel(RawDatasetReader(import_json_file(tmp_path / "study.json"))).run_modeling()
    assert found["quality_scores"] == pytest.approx(np.nanmean(TABLE, 0))
