"""What occlusion leaves: derived once more, by loops over queries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.robustness import robustness
from cmmanet.evaluation.uncertainty import gain_on_one_split, identity_bootstrap, training_variance

ARMS = ("baseline", "a", "b", "c")
PID = [2, 2, 4, 4, 4, 6, 8, 8]
TRIALS = 2


def made(seed: int, levels: int = 3) -> dict[str, list[pd.DataFrame]]:
    rng = np.random.default_rng(seed)
    return {
        arm: [
            pd.concat(
                [
                    pd.DataFrame(
                        {
                            "trial": trial,
                            "query": np.arange(len(PID)) + 10,
                            "pid": PID,
                            "first_right_rank": rng.integers(1, 4, len(PID)),
                            "ap_trapezoid": rng.random(len(PID)),
                        }
                    )
                    for trial in range(TRIALS)
                ]
            )
            for _ in range(levels)
        ]
        for arm in ARMS
    }


def answers(table: pd.DataFrame, metric: str) -> list[list[float]]:
    """[T][Q], by a loop over rows."""
    found: list[list[float]] = [[0.0] * len(PID) for _ in range(TRIALS)]
    for _, row in table.iterrows():
        hit = float(row["first_right_rank"] == 1)
        value = hit if metric == "rank1" else float(row["ap_trapezoid"])
        found[int(row["trial"])][int(row["query"]) - 10] = value
    return found


def ratio(first: list[list[float]], last: list[list[float]]) -> list[float]:
    """What each trial keeps."""
    return [sum(after) / sum(before) for before, after in zip(first, last, strict=True)]


@pytest.mark.parametrize("metric", ["rank1", "map"])
def test_numbers_are_means_over_queries_and_trials(metric: str) -> None:
    tables = made(0)
    found = robustness(tables, "baseline")
    assert (found.queries, found.people, found.trials) == (8, 4, 2)
    for arm in ARMS:
        of_levels = [answers(table, metric) for table in tables[arm]]
        means = [np.mean(values) for values in of_levels]
        assert [level.value for level in found.levels[arm][metric]] == pytest.approx(means)
        assert found.overall[metric].arms[arm].value == pytest.approx(sum(means) / 3)
        # A mean of the trials' ratios, and no ratio of their means.
        kept = ratio(of_levels[0], of_levels[2])
        assert found.kept[metric].arms[arm].value == pytest.approx(sum(kept) / TRIALS)


def test_the_mean_over_all_levels_is_judged_query_by_query() -> None:
    tables = made(1)
    found = robustness(tables, "baseline").overall["map"]
    mean = {
        arm: sum(np.array(answers(table, "map")) for table in levels) / len(levels)
        for arm, levels in tables.items()
    }
    training = training_variance([values.mean(1) for values in mean.values()])
    assert found.training == pytest.approx(training)
    assert set(found.over_baseline) == {"a", "b", "c"}
    for arm, gain in found.over_baseline.items():
        expected = gain_on_one_split(mean[arm] - mean["baseline"], PID, training)
        assert gain == pytest.approx(expected)
    low, high = np.quantile(
        identity_bootstrap([mean["a"].mean(0)], PID, draws=DRAWS, seed=SEED), [0.025, 0.975]
    )
    assert found.arms["a"][1:] == pytest.approx((low, high))


def test_a_query_counts_for_the_share_kept_as_it_moves_the_ratio() -> None:
    """Weigh one query a little more, and see how far the ratio of sums moves."""
    tables = made(7)
    found = robustness(tables, "baseline").kept["map"]
    more = 1e-6
    linear = {}
    for arm, levels in tables.items():
        first, last = answers(levels[0], "map"), answers(levels[2], "map")
        linear[arm] = np.zeros((TRIALS, len(PID)))
        for trial in range(TRIALS):
            kept = sum(last[trial]) / sum(first[trial])
            for query in range(len(PID)):
                moved = (sum(last[trial]) + more * last[trial][query]) / (
                    sum(first[trial]) + more * first[trial][query]
                )
                linear[arm][trial, query] = kept + (moved - kept) / more * len(PID)
    training = training_variance(
        [ratio(answers(of[0], "map"), answers(of[2], "map")) for of in tables.values()]
    )
    assert found.training == pytest.approx(training)
    for arm, gain in found.over_baseline.items():
        expected = gain_on_one_split(linear[arm] - linear["baseline"], PID, training)
        assert gain == pytest.approx(expected, rel=1e-4)


def test_half_of_more_is_the_same_share_and_a_higher_mean() -> None:
    tables = made(8, levels=3)
    for arm, levels in tables.items():
        # Each level leaves half of the one before.
        start = 0.8 if arm == "a" else 0.4
        for place, table in enumerate(levels):
            table["ap_trapezoid"] = start / 2**place
    found = robustness(tables, "baseline")
    assert [of.value for of in found.kept["map"].arms.values()] == pytest.approx([0.25] * 4)
    assert found.kept["map"].over_baseline["a"].gain == pytest.approx(0)
    assert found.overall["map"].over_baseline["a"].gain == pytest.approx(0.4 * 1.75 / 3)


@pytest.mark.parametrize("arm", ["baseline", "b"])
def test_of_nothing_no_share_is_kept(arm: str) -> None:
    tables = made(9)
    nothing = tables[arm][0]
    nothing.loc[nothing["trial"] == 1, "first_right_rank"] = 2
    found = robustness(tables, "baseline")
    assert set(found.kept["rank1"].arms) == set(ARMS) - {arm}
    expected = set() if arm == "baseline" else {"a", "c"}
    assert set(found.kept["rank1"].over_baseline) == expected
    assert set(found.overall["rank1"].over_baseline) == {"a", "b", "c"}
    assert set(found.kept["map"].over_baseline) == {"a", "b", "c"}


def test_where_no_arm_finds_anything_no_share_is_judged() -> None:
    tables = made(10)
    for levels in tables.values():
        levels[0]["first_right_rank"] = 2
    found = robustness(tables, "baseline").kept["rank1"]
    assert (found.arms, found.training.degrees, found.over_baseline) == ({}, 0, {})


def test_rows_may_stand_in_any_order() -> None:
    tables = made(2)
    shuffled = {
        arm: [table.sample(frac=1, random_state=place) for place, table in enumerate(levels)]
        for arm, levels in tables.items()
    }
    assert robustness(shuffled, "baseline") == robustness(tables, "baseline")


def test_without_the_baseline_nothing_is_held_against_it() -> None:
    found = robustness(made(3), "another")
    for judged in (found.kept["map"], found.overall["map"]):
        assert judged.over_baseline == {}
        assert set(judged.arms) == set(ARMS)


def test_trainings_that_all_agree_tell_nothing_of_another() -> None:
    tables = made(4, levels=2)
    for arm, levels in tables.items():
        levels[0]["ap_trapezoid"] = 0.8
        levels[1]["ap_trapezoid"] = 0.6 if arm == "a" else 0.4
    found = robustness(tables, "baseline")
    for judged, gain in ((found.kept["map"], 0.25), (found.overall["map"], 0.1)):
        assert judged.over_baseline["a"].gain == pytest.approx(gain)
        assert judged.over_baseline["b"].gain == pytest.approx(0)
        assert judged.over_baseline["a"].resolved is None


@pytest.mark.parametrize("change", ["query", "pid", "trial"])
def test_other_queries_are_refused_with_the_arm(change: str) -> None:
    tables = made(5)
    tables["b"][1] = tables["b"][1].assign(**{change: tables["b"][1][change] + 1})
    with pytest.raises(ValueError, match="arm b was not scored on the same queries at every level"):
        robustness(tables, "baseline")


def test_no_queries_are_refused() -> None:
    tables = {arm: [table[:0] for table in levels] for arm, levels in made(6).items()}
    with pytest.raises(ValueError, match="arm baseline has no query so scored"):
        robustness(tables, "baseline")
