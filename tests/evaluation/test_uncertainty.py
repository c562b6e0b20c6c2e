import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cmmanet.evaluation import uncertainty
from cmmanet.evaluation.uncertainty import (
    Floats,
    Gain,
    Variance,
    fixed_variance,
    gain_in_these_trainings,
    gain_on_one_split,
    gain_over_splits,
    identity_bootstrap,
    identity_variance,
    own_variance,
    percentile_interval,
    training_variance,
)

SOME = Variance(1e-4, 12)

Integers = npt.NDArray[np.int64]


def clustered(seed: int, arms_or_trials: int, people: int) -> tuple[Floats, Integers]:
    """Values that people share in part, with one to five queries of each, in no order."""
    rng = np.random.default_rng(seed)
    pid = np.repeat(rng.permutation(people * 3)[:people] + 1, rng.integers(1, 6, people))
    pid = rng.permutation(pid)
    taste = rng.normal(size=(arms_or_trials, people * 3 + 1))[:, pid]
    return taste + rng.normal(size=(arms_or_trials, len(pid))), pid


def naive_training_variance(means: Floats) -> float:
    arms, trials = means.shape
    total = 0.0
    for a in range(arms):
        for t in range(trials):
            of_arm = sum(means[a, s] for s in range(trials)) / trials
            of_trial = sum(means[b, t] for b in range(arms)) / arms
            of_all = sum(means[b, s] for b in range(arms) for s in range(trials)) / arms / trials
            total += (means[a, t] - of_arm - of_trial + of_all) ** 2
    return total / ((arms - 1) * (trials - 1))


def naive_identity_variance(gains: Floats, pid: Integers) -> float:
    """The mean over pairs of trials of the two mean gains' linearised covariance over people."""
    trials, queries = gains.shape
    people = sorted(set(pid.tolist()))
    covariances = []
    for s in range(trials):
        for t in range(s):
            total = 0.0
            for person in people:
                his = [q for q in range(queries) if pid[q] == person]
                one = sum(gains[s, q] - gains[s].mean() for q in his)
                other = sum(gains[t, q] - gains[t].mean() for q in his)
                total += one * other
            covariances.append(total / queries**2 * len(people) / (len(people) - 1))
    return max(0.0, sum(covariances) / len(covariances))


# ---- The bootstrap.


def test_bootstrap_is_the_explicit_one() -> None:
    values, pid = clustered(0, 3, 7)
    draws = identity_bootstrap(values, pid, draws=40, seed=5)
    assert draws.shape == (40, 3)
    rng = np.random.default_rng(5)
    people = sorted(set(pid.tolist()))
    for draw in draws:
        drawn: list[int] = []  # queries
        for person, times in zip(people, rng.multinomial(7, [1 / 7] * 7), strict=True):
            for _ in range(times):
                drawn += [q for q in range(len(pid)) if pid[q] == person]
        expected = [sum(values[a, q] for q in drawn) / len(drawn) for a in range(3)]
        np.testing.assert_allclose(draw, expected, atol=1e-12)


def test_first_draws_depend_neither_on_how_many_nor_on_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, pid = clustered(1, 2, 9)
    many = identity_bootstrap(values, pid, draws=50, seed=0)
    monkeypatch.setattr(uncertainty, "CHUNK_CELLS", 4 * 9 + 1)
    np.testing.assert_allclose(identity_bootstrap(values, pid, draws=50, seed=0), many, rtol=1e-13)
    np.testing.assert_allclose(
        identity_bootstrap(values, pid, draws=11, seed=0), many[:11], rtol=1e-13
    )
    monkeypatch.setattr(uncertainty, "CHUNK_CELLS", 1)  # less than a row
    np.testing.assert_allclose(identity_bootstrap(values, pid, draws=50, seed=0), many, rtol=1e-13)
    assert not np.allclose(identity_bootstrap(values, pid, draws=50, seed=1), many)


def test_arms_share_their_draws() -> None:
    values, pid = clustered(2, 1, 20)
    draws = identity_bootstrap(
        np.concatenate([values, values, values + 0.25]), pid, draws=9, seed=0
    )
    assert np.array_equal(draws[:, 0], draws[:, 1])
    np.testing.assert_allclose(draws[:, 2], draws[:, 0] + 0.25)


def test_bootstrap_of_one_query_each_has_the_textbook_variance() -> None:
    hits = np.random.default_rng(0).random((1, 50)) < 0.8
    draws = identity_bootstrap(hits, np.arange(50), draws=20_000, seed=0)
    # The bootstrap divides by Q, not Q - 1; 20,000 draws know a variance to 1 %.
    assert draws.var() == pytest.approx(hits.var(ddof=1) / 50 * 49 / 50, rel=0.04)
    assert draws.mean() == pytest.approx(hits.mean(), abs=0.002)


def test_repeating_a_persons_query_makes_nothing_surer() -> None:
    values = np.random.default_rng(0).normal(size=(2, 30))
    once = identity_bootstrap(values, np.arange(30), draws=20, seed=0)
    fourfold = identity_bootstrap(
        np.repeat(values, 4, axis=1), np.repeat(np.arange(30), 4), draws=20, seed=0
    )
    np.testing.assert_allclose(fourfold, once)


def test_percentile_interval_holds_the_middle() -> None:
    draws = np.random.default_rng(0).permutation(1001).astype(np.float64)
    low, high = percentile_interval(np.stack([draws, -2 * draws], axis=1))
    np.testing.assert_allclose(low, [25, -1950])
    np.testing.assert_allclose(high, [975, -50])


# ---- The trainings.


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_training_variance_is_the_residuals(arms: int, trials: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    means = rng.random((arms, trials))
    variance = training_variance(means)
    assert variance.degrees == (arms - 1) * (trials - 1)
    assert variance.value == pytest.approx(naive_training_variance(means), rel=1e-9)
    # What an arm has in all trials, and what a trial gives to all arms, is no spread.
    moved = means + rng.random((arms, 1)) + rng.random(trials)
    assert training_variance(moved).value == pytest.approx(variance.value, rel=1e-6)


def test_training_variance_of_two_arms_is_half_of_the_differences() -> None:
    means = np.random.default_rng(0).random((2, 5))
    expected = (means[1] - means[0]).var(ddof=1) / 2
    assert training_variance(means) == (pytest.approx(expected), 4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1)])
def test_training_variance_of_one_arm_or_trial_is_unknown(shape: tuple[int, int]) -> None:
    value, degrees = training_variance(np.ones(shape))
    assert math.isnan(value)
    assert degrees == 0


def test_rounding_is_no_spread() -> None:
    arms, trials = np.array([[0.1], [0.7], [0.2]]), np.array([0.1, 0.3, 1 / 3, 1e-3])
    assert training_variance(arms + trials) == (0.0, 6)
    one_query = 1e-6 * np.eye(3, 4)
    assert training_variance(arms + trials + one_query).value > 0


# ---- The people.


@given(st.integers(2, 4), st.integers(2, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_identity_variance_is_the_covariance_of_trials(trials: int, people: int, seed: int) -> None:
    gains, pid = clustered(seed, trials, people)
    gains += 2 * gains[:1]  # something that trials share
    expected = naive_identity_variance(gains, pid)
    assert identity_variance(gains, pid) == (pytest.approx(expected, abs=1e-12), people - 1)


def test_identity_variance_is_that_of_the_analysis_of_variance() -> None:
    # With one query each: (mean square of people - mean square of residuals) / (T·P), the form
    # that Dorfman, Berbaum and Metz gave it.
    rng = np.random.default_rng(0)
    gains = rng.normal(size=40) + rng.normal(size=(4, 1)) + rng.normal(size=(4, 40))
    of_people = sum(4 * (gains[:, i].mean() - gains.mean()) ** 2 for i in range(40)) / 39
    left = sum(
        (gains[t, i] - gains[:, i].mean() - gains[t].mean() + gains.mean()) ** 2
        for t in range(4)
        for i in range(40)
    ) / (39 * 3)
    expected = (of_people - left) / (4 * 40)
    assert identity_variance(gains, np.arange(40)).value == pytest.approx(expected)


def test_identity_variance_is_what_the_bootstrap_finds() -> None:
    gains, pid = clustered(3, 3, 300)
    gains += 2 * gains[:1]
    covariances = np.cov(identity_bootstrap(gains, pid, draws=10_000, seed=0).T)
    expected = covariances[np.triu_indices(3, 1)].mean()
    assert identity_variance(gains, pid).value == pytest.approx(expected, rel=0.05)


def test_identity_variance_of_equal_trainings_is_the_textbooks() -> None:
    gain = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 80)
    variance = identity_variance(np.tile(gain, (5, 1)), np.arange(80))
    assert variance == (pytest.approx(gain.var(ddof=1) / 80), 79)


def test_what_trainings_do_not_share_is_not_the_peoples() -> None:
    # Two trials that gain from opposite people: their covariance is below 0.
    gain = np.random.default_rng(0).normal(size=20)
    assert identity_variance(np.stack([gain, -gain]), np.arange(20)) == (0.0, 19)


@pytest.mark.parametrize(("trials", "people"), [(1, 5), (5, 1)])
def test_identity_variance_of_one_trial_or_person_is_unknown(trials: int, people: int) -> None:
    value, degrees = identity_variance(*clustered(0, trials, people))
    assert math.isnan(value)
    assert degrees == 0


# ---- The verdicts.


def test_gain_on_one_split_by_hand() -> None:
    gains, pid = clustered(4, 5, 12)
    gains += 2 * gains[:1]
    people = naive_identity_variance(gains, pid)
    judged = gain_on_one_split(gains, pid, Variance(0.3, 8))
    training = 2 * 0.3 / 5
    degrees = (people + training) ** 2 / (people**2 / 11 + training**2 / 8)
    assert people > 0
    assert judged.gain == pytest.approx(gains.mean())
    assert judged.degrees == pytest.approx(degrees)
    half_width = stats.t.ppf(0.975, degrees) * math.sqrt(people + training)
    assert judged.half_width == pytest.approx(half_width)
    assert judged.resolved is bool(abs(judged.gain) > half_width)


def test_fixed_variance_is_what_the_bootstrap_finds() -> None:
    gains, pid = clustered(6, 3, 200)
    draws = identity_bootstrap(gains.mean(0, keepdims=True), pid, draws=20_000, seed=1)
    fixed = fixed_variance(gains, pid)
    assert fixed.degrees == 199
    assert fixed.value == pytest.approx(draws.var(), rel=0.05)
    assert fixed_variance(gains[:, pid == pid[0]], pid[pid == pid[0]]).degrees == 0


@pytest.mark.parametrize("seed", range(20))
def test_other_trainings_make_no_gain_surer_than_people_alone(seed: int) -> None:
    gains, pid = clustered(seed, 2, 30)
    judged = gain_on_one_split(gains, pid, Variance(1e-6, 5))
    alone = stats.t.ppf(0.975, 29) * math.sqrt(fixed_variance(gains, pid).value)
    assert judged.half_width is not None and judged.half_width >= alone * (1 - 1e-12)
    # Where neither term says much, as two trials that disagree on everybody have it.
    opposite = np.stack([gains[0], -gains[0]]) + gains[1] / 2
    assert naive_identity_variance(opposite, pid) < fixed_variance(opposite, pid).value
    judged = gain_on_one_split(opposite, pid, Variance(1e-6, 5))
    alone = stats.t.ppf(0.975, 29) * math.sqrt(fixed_variance(opposite, pid).value)
    assert (judged.half_width, judged.degrees) == (pytest.approx(alone), 29)


@pytest.mark.parametrize("step", [-0.1, 0.3])
def test_without_people_two_arms_are_students_paired_t(step: float) -> None:
    # Every query gains the same in a trial, so that other people would change nothing.
    means = np.random.default_rng(0).random((2, 5)) * 0.2 + [[0], [step]]
    gains = np.repeat((means[1] - means[0])[:, None], 30, axis=1)
    judged = gain_on_one_split(gains, np.arange(30), training_variance(means))
    test = stats.ttest_rel(means[1], means[0])
    low, high = test.confidence_interval(0.95)
    assert judged == (
        pytest.approx((low + high) / 2),
        pytest.approx((high - low) / 2),
        pytest.approx(4),
        bool(test.pvalue < 0.05),
    )
    assert judged.resolved is (step > 0)


def test_over_splits_two_arms_are_students_paired_t_corrected() -> None:
    means = np.random.default_rng(0).random((2, 10))
    judged = gain_over_splits(means[1] - means[0], training_variance(means), test_to_train=0.5)
    low, high = stats.ttest_rel(means[1], means[0]).confidence_interval(0.95)
    assert judged.gain == pytest.approx((low + high) / 2)
    assert judged.degrees == pytest.approx(9)
    # Their variance is S²/T, and this S²·(1/T + 0.5): six times as much.
    assert judged.half_width == pytest.approx((high - low) / 2 * math.sqrt(6))


def test_a_gain_over_splits_is_resolved_beyond_its_interval() -> None:
    half_width = stats.t.ppf(0.975, 99) * math.sqrt(2 * 1e-4 * 1.1)
    for sign in (1, -1):
        for share, resolved in ((0.99, False), (1.01, True)):
            gains = np.full(10, sign * share * half_width)
            judged = gain_over_splits(gains, Variance(1e-4, 99), test_to_train=1)
            assert judged.half_width == pytest.approx(half_width)
            assert judged.resolved is resolved


def verdicts(training: Variance) -> list[Gain]:
    gains, pid = clustered(0, 4, 10)
    return [
        gain_on_one_split(gains, pid, training),
        gain_over_splits(gains.mean(1), training, test_to_train=1),
    ]


@pytest.mark.parametrize(
    "training", [Variance(math.nan, 0), Variance(1e-9, 1), Variance(1e-9, 2), Variance(0.0, 40)]
)
def test_no_verdict_from_trainings_that_show_too_little(training: Variance) -> None:
    mean = clustered(0, 4, 10)[0].mean()
    assert verdicts(training) == [(pytest.approx(mean), None, None, None)] * 2


def test_a_verdict_from_three_degrees_of_freedom() -> None:
    assert all(judged.resolved is not None for judged in verdicts(Variance(1e-9, 3)))


def test_no_verdict_from_three_people() -> None:
    assert gain_on_one_split(*clustered(0, 4, 3), SOME).resolved is None
    assert gain_on_one_split(*clustered(0, 4, 4), SOME).resolved is not None


def test_equal_arms_gain_nothing() -> None:
    _, pid = clustered(0, 4, 10)
    for judged in (
        gain_on_one_split(np.zeros((4, len(pid))), pid, SOME),
        gain_over_splits(np.zeros(4), SOME, test_to_train=1),
    ):
        assert judged.gain == 0
        assert judged.half_width
        assert judged.resolved is False


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_neither_queries_order_nor_peoples_numbers_nor_trials_order_count(seed: int) -> None:
    gains, pid = clustered(seed, 3, 8)
    rng = np.random.default_rng(seed)
    judged = gain_on_one_split(gains, pid, SOME)
    order = rng.permutation(len(pid))
    names = rng.permutation(30)
    again = gain_on_one_split(rng.permutation(gains)[:, order], names[pid[order]], SOME)
    reverse = gain_on_one_split(-gains, pid, SOME)
    np.testing.assert_allclose(
        np.array(again, np.float64), np.array(judged, np.float64), atol=1e-12
    )
    assert reverse == (-judged.gain, *judged[1:])
    np.testing.assert_allclose(
        identity_bootstrap(gains[:, order], pid[order], draws=5, seed=0),
        identity_bootstrap(gains, pid, draws=5, seed=0),
        atol=1e-12,
    )


# ---- How often the verdicts are right.


def share_resolved_on_one_split(step: float, *, taste: float, training: float) -> float:
    """How often a gain is resolved, of arms that people and trainings take differently."""
    rng = np.random.default_rng(0)
    arms, trials, people, times = 4, 5, 40, 1000
    pid = np.repeat(np.arange(people), rng.integers(1, 6, people))
    resolved = 0
    for _ in range(times):
        values = (
            rng.normal(size=people)[pid]
            + taste * rng.normal(size=(arms, 1, people))[:, :, pid]
            + 0.3 * rng.normal(size=(trials, 1))
            + training * rng.normal(size=(arms, trials, 1))
            + 0.3 * rng.normal(size=(arms, trials, people))[:, :, pid]
            + 0.3 * rng.normal(size=(arms, trials, len(pid)))
        )
        values[1] += step
        judged = gain_on_one_split(values[1] - values[0], pid, training_variance(values.mean(2)))
        resolved += bool(judged.resolved)
    return resolved / times


# What makes the difference: mostly people, mostly trainings, or neither more than the noise.
@pytest.mark.parametrize(("taste", "training"), [(0.5, 0.05), (0.1, 0.2), (0.0, 0.0)])
def test_one_in_twenty_empty_gains_is_resolved(taste: float, training: float) -> None:
    assert 0.03 < share_resolved_on_one_split(0, taste=taste, training=training) < 0.07


def test_a_large_gain_on_one_split_is_resolved() -> None:
    assert share_resolved_on_one_split(0.5, taste=0.5, training=0.1) > 0.9


def share_resolved_over_splits(step: float, *, taste: float, training: float) -> float:
    """As on one split, of ten random halves of 60 people, one query each."""
    rng = np.random.default_rng(0)
    arms, trials, people, times = 4, 10, 60, 600
    resolved = 0
    for _ in range(times):
        of_person = rng.normal(size=people) + taste * rng.normal(size=(arms, people))
        splits = rng.permuted(np.tile(np.arange(people), (trials, 1)), axis=1)[:, : people // 2]
        values = of_person[:, splits] + 0.3 * rng.normal(size=(arms, trials, people // 2))
        means = values.mean(2) + training * rng.normal(size=(arms, trials))
        means[1] += step
        judged = gain_over_splits(means[1] - means[0], training_variance(means), test_to_train=1)
        resolved += bool(judged.resolved)
    return resolved / times


def test_empty_gains_are_seldom_resolved_over_splits() -> None:
    # Where people make the difference, splits correlate as the correction has it.
    assert 0.03 < share_resolved_over_splits(0, taste=1.0, training=0.0) < 0.07
    assert share_resolved_over_splits(0, taste=0.3, training=0.1) < 0.05  # the long side


def test_a_large_gain_over_splits_is_resolved() -> None:
    assert share_resolved_over_splits(0.8, taste=1.0, training=0.1) > 0.9


# ---- What is refused.

VALUES, PID = clustered(0, 2, 3)
SPOILT = VALUES.copy()
SPOILT[1, 0] = math.nan


@pytest.mark.parametrize(
    ("values", "pid", "message"),
    [
        (VALUES[0], PID, r"must be \[[AT], Q\] and not empty"),
        (VALUES[:, :0], PID[:0], r"must be \[[AT], Q\] and not empty, not \[2, 0\]"),
        (VALUES[:0], PID, r"must be \[[AT], Q\] and not empty, not \[0, "),
        (SPOILT, PID, rf"1 of {VALUES.size} (values|gains) are NaN or infinite"),
        (VALUES, PID[1:], rf"pid must be \[{len(PID)}\], one a query"),
        (VALUES, PID[None], rf"pid must be \[{len(PID)}\], one a query"),
        (VALUES, PID * 1.0, "pid must be integers, not float64"),
    ],
)
def test_queries_that_make_no_sense_are_refused(
    values: Floats, pid: Integers, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        identity_bootstrap(values, pid, draws=1, seed=0)
    with pytest.raises(ValueError, match=message):
        identity_variance(values, pid)
    with pytest.raises(ValueError, match=message):
        gain_on_one_split(values, pid, SOME)


def test_means_and_draws_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="draws must be at least 1, not 0"):
        identity_bootstrap(VALUES, PID, draws=0, seed=0)
    with pytest.raises(ValueError, match=r"draws must be \[B, A\] and not empty, not \[0, 2\]"):
        percentile_interval(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="draws are NaN"):
        percentile_interval(SPOILT)
    with pytest.raises(ValueError, match=r"means must be \[A, T\] and not empty, not \[3\]"):
        training_variance(np.zeros(3))
    with pytest.raises(ValueError, match="means are NaN or infinite"):
        training_variance(np.full((2, 2), np.inf))
    with pytest.raises(ValueError, match=r"gains must be \[T\] and not empty, not \[1, 3\]"):
        gain_over_splits(np.zeros((1, 3)), SOME, test_to_train=1)
    with pytest.raises(ValueError, match="1 of 2 gains are NaN"):
        gain_over_splits([0.1, math.nan], SOME, test_to_train=1)


@pytest.mark.parametrize("ratio", [0, -1, math.inf, math.nan])
def test_a_ratio_that_makes_no_sense_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="test_to_train must be positive"):
        gain_over_splits([0.1, 0.2], SOME, test_to_train=ratio)


@given(arms=st.integers(1, 4), trials=st.integers(2, 4), seed=st.integers(0, 99))
def test_own_variance_is_the_pooled_textbook_one(arms: int, trials: int, seed: int) -> None:
    means = np.random.default_rng(seed).normal(size=(arms, trials))
    got = own_variance(means)
    assert got.degrees == arms * (trials - 1)
    assert got.value == pytest.approx(np.var(means, axis=1, ddof=1).mean())


def test_own_variance_keeps_what_arms_share_in_a_trial() -> None:
    means = np.array([[0.0, 1.0], [5.0, 6.0]])
    assert training_variance(means).value == 0 and own_variance(means).value == 0.5
    assert own_variance(means[:, :1]).degrees == 0
    assert own_variance(np.full((2, 2), 0.1)).value == 0


def test_in_these_trainings_people_alone_are_students_t() -> None:
    # One query a person: the textbook's interval of a mean.
    gains = np.random.default_rng(1).normal(0.3, 1.0, size=(1, 12))
    got = gain_in_these_trainings(gains, np.arange(12))
    low, high = stats.t.interval(0.95, 11, gains.mean(), stats.sem(gains[0]))
    assert got.gain == pytest.approx(gains.mean()) and got.degrees == pytest.approx(11)
    assert got.half_width == pytest.approx((high - low) / 2)
    assert gain_in_these_trainings(np.ones((2, 5)), np.arange(5)).half_width is None
    assert gain_in_these_trainings(gains[:, :3], np.arange(3)).resolved is None


def test_parts_of_a_variance_are_added_as_welch_does() -> None:
    one, other = Variance(4.0, 3), Variance(1.0, 5)
    whole = uncertainty.added(one, other)
    assert whole.value == 5 and whole.degrees == pytest.approx(25 / (16 / 3 + 1 / 5))
    assert min(one.degrees, other.degrees) <= whole.degrees <= one.degrees + other.degrees
    assert uncertainty.added(one) == one
    assert uncertainty.added(Variance(0.0, 4), Variance(0.0, 3)) == Variance(0.0, 7)


@pytest.mark.parametrize("part", [Variance(math.nan, 0), Variance(1e-9, 2)])
def test_a_part_that_may_be_small_by_chance_spoils_the_sum(part: Variance) -> None:
    assert uncertainty.added(Variance(1.0, 40), part).degrees == 0
