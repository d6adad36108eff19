import numpy as np
import pytest
from scipy.stats import mannwhitneyu, multinomial, trim_mean

from lightning_skills.errors import InputError
from lightning_skills.evaluation.statistics import (
    bootstrap_interval,
    describe,
    describe_curves,
    iqm,
    probability_of_improvement,
)


@pytest.mark.parametrize("number", [1, 3, 4, 5, 8, 11, 50])
def test_iqm_is_the_quarter_trimmed_mean(number):
    values = np.random.default_rng(number).normal(size=number)
    assert iqm(values) == pytest.approx(trim_mean(values, 0.25), abs=1e-12)


def test_iqm_by_hand():
    assert iqm([100.0, 1.0, 2.0, 3.0, -50.0]) == 2.0
    assert iqm([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1000.0]) == (4 + 5 + 6 + 7) / 4


def test_iqm_of_seeds_and_tasks_trims_all_values_together():
    values = np.random.default_rng(0).normal(size=(5, 7)) + np.arange(7)
    assert iqm(values) == pytest.approx(trim_mean(values, 0.25, axis=None), abs=1e-12)


def test_interval_of_equal_values_is_a_point():
    assert bootstrap_interval([0.5] * 6) == (0.5, 0.5)


def test_interval_by_enumeration():
    values = np.array([0.0, 1.0, 3.0, 10.0])
    picks = np.stack(np.meshgrid(*[values] * 4), axis=-1).reshape(-1, 4)  # all 4^4 equally likely resamples
    expected = np.percentile(np.sort(picks, axis=1)[:, 1:3].mean(axis=1), [2.5, 97.5])
    assert bootstrap_interval(values) == pytest.approx(tuple(expected))


def test_interval_is_seeded_and_does_not_touch_the_global_stream():
    values = np.random.default_rng(0).normal(size=10)
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    assert bootstrap_interval(values, 500) == bootstrap_interval(values, 500)
    assert bootstrap_interval(values, 500) != bootstrap_interval(values, 500, seed=1)
    assert (np.random.get_state()[1] == before).all()


def test_interval_is_stratified_by_task():
    """Tasks of very different level: resampling within a task leaves nothing to vary, resampling across would."""
    values = np.tile([0.0, 5.0, 6.0, 100.0], (6, 1))
    assert bootstrap_interval(values) == (5.5, 5.5)


def test_tasks_are_resampled_independently():
    """Opposite tasks cancel if whole seeds are drawn, and do not if each task is drawn on its own."""
    column = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    low, high = bootstrap_interval(np.stack([column, 5.0 - column], axis=1), 5_000)
    assert high - low > 0.5


def test_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(3)
    intervals = [bootstrap_interval(rng.normal(size=20), 400, seed) for seed in range(300)]
    covered = np.mean([low <= 0.0 <= high for low, high in intervals])
    assert 0.88 <= covered <= 0.99


def test_describe_changes_at_five_seeds():
    few, many = describe([0.0, 0.0, 3.0, 1.0]), describe([0.0, 0.0, 3.0, 1.0, 1.0])
    assert (few.centre, few.interval, few.values) == (1.0, None, (0.0, 0.0, 3.0, 1.0))
    assert str(few) == "1 (0, 0, 3, 1)"
    assert many.centre == pytest.approx(2 / 3)
    assert many.interval is not None
    assert many.interval[0] < many.centre < many.interval[1]
    assert str(many) == f"0.667 [{many.interval[0]:.3g}, {many.interval[1]:.3g}]"
    assert str(describe([0.25])) == "0.25"


def test_describe_averages_tasks_per_seed():
    assert describe(np.array([[0.0, 1.0], [2.0, 4.0]])).values == (0.5, 3.0)


@pytest.mark.parametrize(("values", "named"), [([], "no results"), ([1.0, float("nan")], "seed number 1")])
def test_describe_refuses(values, named):
    with pytest.raises(InputError, match=named):
        describe(values)


def test_curves_of_few_seeds_are_a_mean():
    centre, interval = describe_curves(np.array([[0.0, 4.0], [2.0, 4.0], [7.0, 1.0]]))
    np.testing.assert_allclose(centre, [3, 3])
    assert interval is None


def test_curves_of_five_seeds_are_described_point_by_point():
    curves = np.random.default_rng(0).normal([0, 10, 20], size=(5, 3))
    centre, interval = describe_curves(curves, resamples=4_000)
    assert interval is not None
    assert interval.shape == (2, 3)
    for point, values in enumerate(curves.T):
        assert centre[point] == pytest.approx(iqm(values))
        np.testing.assert_allclose(interval[:, point], bootstrap_interval(values, resamples=4_000))


def test_curves_that_move_together_have_a_band_of_one_shape():
    level = np.random.default_rng(0).normal(size=6)
    _, interval = describe_curves(level[:, None] + np.linspace(0, 1, 9))
    assert interval is not None
    np.testing.assert_allclose(interval[1] - interval[0], interval[1, 0] - interval[0, 0])


@pytest.mark.parametrize("seeds", [2, 5])
def test_curves_without_a_common_point(seeds):
    centre, interval = describe_curves(np.empty((seeds, 0)))
    assert centre.shape == (0,)
    assert interval is None or interval.shape == (2, 0)


def test_probability_of_improvement_by_hand():
    # Six pairs: 3 beats 2 and 0, 1 beats 0; 2 ties with 2.
    assert probability_of_improvement([[3.0, 1.0]], [[2.0, 0.0, 3.0]])[0] == (1 + 1 + 0.5 + 0 + 1 + 0) / 6
    assert probability_of_improvement([[1.0]], [[0.0]]) == (1.0, None)
    assert probability_of_improvement([[0.0]], [[1.0]]) == (0.0, None)
    assert probability_of_improvement([[1.0, 1.0]], [[1.0]]) == (0.5, None)


def test_probability_of_improvement_is_the_mean_over_tasks_however_many_their_seeds():
    first, second = [[1.0], [5.0, 5.0, 0.0]], [[0.0], [5.0, 5.0]]
    assert probability_of_improvement(first, second)[0] == pytest.approx((1 + (4 * 0.5 + 0) / 6) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_probability_of_improvement_is_the_mann_whitney_statistic(seed):
    rng = np.random.default_rng(seed)
    first = [rng.integers(6, size=size).astype(float) for size in (4, 9, 6)]  # with ties
    second = [rng.integers(6, size=size).astype(float) for size in (7, 5, 6)]
    expected = [mannwhitneyu(x, y).statistic / (len(x) * len(y)) for x, y in zip(first, second, strict=True)]
    assert probability_of_improvement(first, second)[0] == pytest.approx(np.mean(expected), abs=1e-12)


def test_probability_of_improvement_has_an_interval_from_five_seeds_on():
    many, few = [0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, 3.0]
    assert probability_of_improvement([many], [many])[1] is not None
    for first, second in [([few], [many]), ([many], [few]), ([many, few], [many, many])]:
        assert probability_of_improvement(first, second)[1] is None


def test_interval_of_the_probability_of_improvement_by_enumeration():
    """Each of the equally likely resamples counts how often each seed was drawn: 126 ways on each side."""
    first, second = np.array([0.0, 3.0, 5.0, 6.0, 9.0]), np.array([1.0, 2.0, 4.0, 6.0, 8.0])
    counts = np.stack(np.meshgrid(*[np.arange(6)] * 5), axis=-1).reshape(-1, 5)
    counts = counts[counts.sum(axis=1) == 5]
    assert len(counts) == 126
    likely = multinomial.pmf(counts, 5, [0.2] * 5)
    values = [
        [np.mean([(a > b) + 0.5 * (a == b) for a in np.repeat(first, x) for b in np.repeat(second, y)]) for y in counts]
        for x in counts
    ]
    values, weights = np.ravel(values), np.outer(likely, likely).ravel()
    interval = probability_of_improvement([first], [second])[1]
    assert interval is not None
    for end, share in zip(interval, (0.025, 0.975), strict=True):
        assert weights[values < end - 0.011].sum() < share < weights[values < end + 0.011].sum()


def test_tasks_of_the_probability_of_improvement_are_resampled_on_their_own():
    """Of each seed that wins on one task, the same seed loses on the other: drawn together they would cancel."""
    first, second = [[0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0, 0.0]], [[2.0] * 5] * 2
    centre, interval = probability_of_improvement(first, second)
    assert centre == 0.5
    assert interval is not None
    assert interval[1] - interval[0] > 0.3


def test_interval_of_the_probability_of_improvement_is_seeded():
    rng = np.random.default_rng(0)
    results = [rng.normal(size=7)], [rng.normal(size=8)]
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    assert probability_of_improvement(*results, 500) == probability_of_improvement(*results, 500)
    assert probability_of_improvement(*results, 500) != probability_of_improvement(*results, 500, seed=1)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ([], [], "cannot compare 0 tasks with 0"),
        ([[1.0]], [[1.0], [2.0]], "cannot compare 1 tasks with 2"),
        ([[1.0], []], [[1.0], [2.0]], "no result or one that is not finite"),
        ([[1.0]], [[float("nan")]], "no result or one that is not finite"),
    ],
)
def test_probability_of_improvement_refuses(first, second, named):
    with pytest.raises(InputError, match=named):
        probability_of_improvement(first, second)
