"""What occlusion takes: derived once more, person by person."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.occlusion import robustness
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


@pytest.mark.parametrize("metric", ["rank1", "map"])
def test_numbers_and_changes_are_means_over_queries_and_trials(metric: str) -> None:
    tables = made(0)
    found = robustness(tables, "baseline")
    assert (found.queries, found.people, found.trials) == (8, 4, 2)
    for arm in ARMS:
        means = [np.mean(answers(table, metric)) for table in tables[arm]]
        assert [level.value for level in found.levels[arm][metric]] == pytest.approx(means)
        assert found.change[arm][metric].value == pytest.approx(means[2] - means[0])


def test_gains_are_of_each_querys_change_in_the_same_trial() -> None:
    tables = made(1)
    found = robustness(tables, "baseline")
    change = {
        arm: np.array(answers(of[2], "map")) - np.array(answers(of[0], "map"))
        for arm, of in tables.items()
    }
    training = training_variance([values.mean(1) for values in change.values()])
    assert found.training["map"] == pytest.approx(training)
    assert set(found.over_baseline) == {"a", "b", "c"}
    for arm, gains in found.over_baseline.items():
        expected = gain_on_one_split(change[arm] - change["baseline"], PID, training)
        assert gains["map"] == pytest.approx(expected)
    low, high = np.quantile(
        identity_bootstrap([change["a"].mean(0)], PID, draws=DRAWS, seed=SEED), [0.025, 0.975]
    )
    assert found.change["a"]["map"][1:] == pytest.approx((low, high))


def test_rows_may_stand_in_any_order() -> None:
    tables = made(2)
    shuffled = {
        arm: [table.sample(frac=1, random_state=place) for place, table in enumerate(levels)]
        for arm, levels in tables.items()
    }
    assert robustness(shuffled, "baseline") == robustness(tables, "baseline")


def test_without_the_baseline_nothing_is_held_against_it() -> None:
    found = robustness(made(3), "another")
    assert found.over_baseline == {}
    assert set(found.change) == set(ARMS)


def test_an_arm_that_loses_less_gains() -> None:
    tables = made(4, levels=2)
    for arm, levels in tables.items():
        levels[0]["ap_trapezoid"] = 0.9
        levels[1]["ap_trapezoid"] = 0.8 if arm == "a" else 0.5
    found = robustness(tables, "baseline")
    assert found.over_baseline["a"]["map"].gain == pytest.approx(0.3)
    assert found.over_baseline["b"]["map"].gain == pytest.approx(0)
    # All trainings agree: nobody knows how far another would be.
    assert found.over_baseline["a"]["map"].resolved is None


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
