"""The statistics of a study, proven against SciPy, statsmodels, published examples, and raters of known taste."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from srgan_jax.errors import InputError
from srgan_jax.study import opinions, pairs
from srgan_jax.study.correlation import correlate, correlate_all
from srgan_jax.study.ratings import Grades, Rating, csv_of, grades_of, read_csv


def make_grades(scores, repeats=()):
    """Name the raters, the images and the methods of an array."""
    names = [tuple(f"{axis}{i}" for i in range(n)) for axis, n in zip(("r", "Set/", "m"), scores.shape, strict=True)]
    return Grades(*names, scores, repeats)


def simulated(raters=26, images=10, methods=(1.5, 2.5, 3.4, 3.5), *, bias=0.3, noise=0.7, seed=0):
    """Grades of raters of known bias and noise, not rounded."""
    rng = np.random.default_rng(seed)
    scores = np.array(methods) + rng.normal(0, noise, (raters, images, len(methods)))
    return make_grades(scores + rng.normal(0, bias, (raters, 1, 1)))


def test_mean_opinions_equal_scipy():
    grades = simulated()
    for method, opinion in enumerate(opinions.mean_opinions(grades)):
        means = grades.scores[:, :, method].mean(1)
        assert opinion.mean == pytest.approx(grades.scores[:, :, method].mean(), abs=1e-12)
        expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
        assert opinion.interval == pytest.approx((expected.low, expected.high), abs=1e-12)
        sampled = stats.bootstrap((means,), np.mean, method="percentile", n_resamples=10_000, rng=1).confidence_interval
        assert opinion.bootstrap == pytest.approx((sampled.low, sampled.high), abs=0.01)
        assert (opinion.raters, opinion.ratings) == (26, 260)


def test_the_interval_holds_the_true_mean_in_19_studies_of_20():
    held = 0
    for seed in range(400):
        opinion = opinions.t_interval(simulated(12, 4, (3.0,), seed=seed).scores.mean((1, 2)))
        held += opinion.low <= 3 <= opinion.high
    assert abs(held / 400 - 0.95) < 0.033  # three standard errors


def test_raters_who_saw_a_part_count_by_their_means():
    scores = np.full((3, 2, 1), np.nan)
    scores[0, :, 0], scores[1, 0, 0] = (1, 3), 4
    (opinion,) = opinions.mean_opinions(make_grades(scores))
    assert (opinion.mean, opinion.raters, opinion.ratings) == (3, 2, 3)
    assert opinions.stimulus_opinions(scores).ravel().tolist() == [2.5, 3]


def signed_rank_p(differences):
    """The exact two-sided p-value, by counting all signs."""
    ranks = stats.rankdata(np.abs(differences))
    observed = ranks[differences > 0].sum()
    sums = [(np.array(signs) * ranks).sum() for signs in itertools.product((0, 1), repeat=len(ranks))]
    middle = ranks.sum() / 2
    return np.mean([abs(total - middle) >= abs(observed - middle) - 1e-9 for total in sums])


def test_comparisons_are_wilcoxons_over_raters_with_holms_correction():
    grades = simulated(10, 6)
    found = opinions.compare_methods(grades)
    assert [(row.first, row.second) for row in found[:3]] == [("m0", "m1"), ("m0", "m2"), ("m0", "m3")]
    means = grades.scores.mean(1)
    exact = []
    for row, (i, j) in zip(found, itertools.combinations(range(4), 2), strict=True):
        differences = means[:, i] - means[:, j]
        exact.append(signed_rank_p(differences))
        assert row.p == pytest.approx(exact[-1], rel=1e-9)
        expected = stats.ttest_rel(means[:, i], means[:, j]).confidence_interval(0.95)
        assert row.interval == pytest.approx((expected.low, expected.high), abs=1e-12)
        all_pairs = (grades.scores[:, :, i] - grades.scores[:, :, j]).ravel()
        assert row.p_ratings == stats.wilcoxon(all_pairs).pvalue
    order = np.argsort(exact)
    steps = np.minimum(1, np.maximum.accumulate(np.array(exact)[order] * np.arange(6, 0, -1)))  # Holm (1979)
    assert np.array([row.p_holm for row in found])[order] == pytest.approx(steps, rel=1e-9)
    assert multipletests(exact, method="holm")[1] == pytest.approx([row.p_holm for row in found], rel=1e-9)


def test_equal_methods_are_rarely_told_apart():
    false = sum(
        any(row.p_holm < 0.05 for row in opinions.compare_methods(simulated(15, 4, (3, 3, 3), seed=seed)))
        for seed in range(20)
    )
    assert false <= 4  # 5 % of 20, and three standard errors


def test_nothing_to_compare():
    scores = np.full((2, 2, 2), 3.0)
    (row,) = opinions.compare_methods(make_grades(scores))
    assert (row.mean, row.p, row.p_holm, row.needed) == (0, 1, 1, None)
    scores[:, :, 1] = np.nan
    (row,) = opinions.compare_methods(make_grades(scores))
    assert math.isnan(row.p) and math.isnan(row.p_holm) and math.isnan(row.mean) and row.raters == 0


@pytest.mark.parametrize("difference, deviation", [(0.5, 0.5), (0.1, 0.8), (0.3, 0.5), (1.0, 0.9), (0.02, 1.0)])
def test_raters_needed_equals_statsmodels(difference, deviation):
    raters = opinions.raters_needed(difference, deviation)
    power = TTestPower().power
    size = difference / deviation
    assert power(size, raters, 0.05) >= 0.8 - 1e-6 > power(size, raters - 1, 0.05)
    assert opinions.raters_needed(-difference, deviation) == raters


def test_raters_needed_find_the_difference_in_four_studies_of_five():
    raters = opinions.raters_needed(0.3, 0.5)
    rng = np.random.default_rng(0)
    found = [stats.ttest_1samp(rng.normal(0.3, 0.5, raters), 0).pvalue < 0.05 for _ in range(600)]
    assert abs(np.mean(found) - 0.8) < 0.05  # three standard errors


def test_raters_needed_at_the_ends():
    assert opinions.raters_needed(5, 0.1) == 2 and opinions.raters_needed(1, 0) == 2
    assert opinions.raters_needed(0, 1) is None and opinions.raters_needed(1e-6, 1) is None
    assert opinions.raters_needed(math.nan, 1) is None and opinions.raters_needed(1, math.nan) is None


def test_alpha_equals_krippendorffs_example():
    # Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section E: four observers, twelve units.
    rows = ("1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 .")
    table = np.array([[math.nan if x == "." else float(x) for x in row.split()] for row in rows])
    assert opinions.alpha(table, "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert opinions.alpha(table, "interval") == pytest.approx(0.849, abs=5e-4)
    assert math.isnan(opinions.alpha(np.full((3, 4), 2.0))) and math.isnan(opinions.alpha(table[:1]))


def test_repeats():
    grades = make_grades(np.full((1, 2, 2), 3.0), (("r0", 3, 3), ("r0", 3, 4), ("r0", 1, 4)))
    found = opinions.agreement_of_repeats(grades)
    assert (found.count, found.equal, found.near) == (3, pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert (found.distance, found.shift) == (pytest.approx(4 / 3), pytest.approx(4 / 3))
    assert found.p == stats.wilcoxon([0, 1, 3]).pvalue
    assert opinions.agreement_of_repeats(simulated()) is None


# Agresti, "Categorical Data Analysis": the American League's games of 1987, winners in rows. The fit is that of the
# R package BradleyTerry2 (Turner and Firth, 2012, section 2.2 of its vignette), where Baltimore has 0.
BASEBALL = """
Milwaukee 0 7 9 7 7 9 11
Detroit 6 0 7 5 11 9 9
Toronto 4 6 0 7 7 8 12
NewYork 6 8 6 0 6 7 10
Boston 6 2 6 7 0 7 12
Cleveland 4 4 5 6 6 0 6
Baltimore 2 4 1 3 1 7 0
"""
FITTED = (1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0)


def test_bradley_terry_equals_the_published_example():
    wins = np.array([[float(x) for x in row.split()[1:]] for row in BASEBALL.strip().splitlines()])
    fitted = pairs.bradley_terry(wins)
    assert fitted - fitted[-1] == pytest.approx(FITTED, abs=6e-5)
    assert fitted.mean() == pytest.approx(0, abs=1e-12)


def test_bradley_terry_of_two_is_the_log_odds():
    fitted = pairs.bradley_terry(np.array([[0.0, 30], [12, 0]]))
    assert fitted[0] - fitted[1] == pytest.approx(math.log(30 / 12), abs=1e-6)
    always = pairs.bradley_terry(np.array([[0.0, 30], [0, 0]]))
    assert always[0] - always[1] == pytest.approx(math.log(30.1 / 0.1), abs=1e-6)


def choose(seed, truth=(0.0, 1.0, 2.0), raters=12, images=15):
    """Choices by the Bradley–Terry model itself."""
    rng = np.random.default_rng(seed)
    for rater, image, (i, j) in itertools.product(range(raters), range(images), itertools.combinations(range(3), 2)):
        won = rng.random() < 1 / (1 + math.exp(truth[j] - truth[i]))
        yield Rating(f"{rater}", f"Set/{image}", f"m{i}", float(won), f"m{j}")


def test_choices_recover_true_strengths():
    choices = pairs.choices_of([*choose(0)], ["m2", "m0"])
    rows = pairs.strengths(choices)
    assert [row.method for row in rows] == ["m2", "m0", "m1"]
    for row, truth in zip(rows, (1, -1, 0), strict=True):
        assert row.interval.low <= truth <= row.interval.high and row.interval.high - row.interval.low < 1
        assert row.count == 360
    total = choices.wins.sum(0)
    won = int(total[0, 1])
    assert pairs.preference_p(total, 0, 1) == stats.binomtest(won, 180).pvalue
    assert math.isnan(pairs.preference_p(np.zeros((2, 2)), 0, 1))


def test_choices_count_sides_and_repeats():
    first = Rating("1", "a", "x", 1.0, "y")
    ratings = [first, Rating("1", "b", "y", 1.0, "x"), first._replace(method="y", other="x", score=0.0, repeat=1)]
    choices = pairs.choices_of(ratings)
    assert choices.firsts == (2, 3) and choices.repeats == (1, 1)
    assert choices.wins.tolist() == [[[0, 1], [1, 0]]]
    for wrong in (first._replace(score=2.0), first._replace(other=""), first._replace(other="x")):
        with pytest.raises(InputError, match=r"rater 1, a: expected two methods"):
            pairs.choices_of([wrong])


def test_correlations_equal_scipy():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=40)
    values = scores + rng.normal(size=40)
    row = correlate("psnr", scores, values)
    expected = stats.pearsonr(scores, values)
    assert row.pearson == pytest.approx(expected.statistic)
    assert row.pearson_interval == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-12)
    assert row.spearman == pytest.approx(stats.spearmanr(scores, values).statistic)
    assert row.spearman_interval.low < row.spearman < row.spearman_interval.high
    perfect = correlate("psnr", scores, 2 * scores)
    assert perfect.pearson_interval == pytest.approx((1, 1)) and perfect.spearman_interval == (1, 1)
    assert correlate("psnr", scores[:3], values[:3]) is None and correlate("psnr", 0 * scores, values) is None


def test_the_interval_of_a_rank_correlation_holds_the_truth():
    rng, rho, held = np.random.default_rng(0), 0.7, 0
    truth = 6 / math.pi * math.asin(rho / 2)  # of normal values
    for _ in range(400):
        x, y = rng.multivariate_normal((0, 0), ((1, rho), (rho, 1)), 40).T
        ends = correlate("psnr", x, y).spearman_interval
        held += ends.low <= truth <= ends.high
    assert held / 400 > 0.92


def test_metrics_are_compared_where_both_are_known():
    grades = simulated(5, 4, (2, 3))
    scores = {"m0": {f"Set/{i}": {"psnr": float(i), "niqe": 1.0} for i in range(4)}, "m1": {"Set/0": {"psnr": 9.0}}}
    (row,) = correlate_all(grades, scores | {"other": {"Set/0": {"psnr": 0.0}}})
    assert (row.metric, row.count) == ("psnr", 5)  # niqe is constant


def test_tables_go_out_and_in(tmp_path):
    ratings = [Rating("1", "Set/a", "x", 4.0, "", 0, 3, 1500, 1.5, 1, 390, 780), Rating("1", "Set/a", "x", 5.0, "", 1)]
    ratings += [Rating("2", 'Set/"ü, b"', "y", 1.0)]
    (tmp_path / "answers.csv").write_text(csv_of(ratings), encoding="utf-8")
    assert read_csv(tmp_path / "answers.csv") == ratings
    grades = grades_of(ratings, ["y"])
    assert grades.methods == ("y", "x") and grades.repeats == (("1", 4, 5),)
    assert grades.sets == ("Set",) and np.isnan(grades.scores).sum() == 6
    with pytest.raises(InputError, match="twice; mark the second grade"):
        grades_of([ratings[0], ratings[0]])
    with pytest.raises(InputError, match="no answers"):
        grades_of([])


@pytest.mark.parametrize(
    "text, message",
    [
        ("rater,image,score\n1,a,3\n", "expected the columns rater, image, method, score; method is missing"),
        (
            "rater,image,method,score\n1,a,x,3\n1,b,x,good\n",
            r"line 3: expected an answer, got \['1', 'b', .*'good'\]",
        ),
        ("rater,image,method,score\n1,a,x,nan\n", "line 2: expected an answer"),
        ("rater,image,method,score\n1,,x,3\n", "line 2: expected an answer"),
        ("rater,image,method,score\n1,a\n", "line 2: expected an answer"),
        ("", "expected the columns"),
    ],
)
def test_wrong_tables_are_named(tmp_path, text, message):
    (tmp_path / "answers.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_csv(tmp_path / "answers.csv")
