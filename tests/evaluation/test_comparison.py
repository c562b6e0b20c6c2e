from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
import pytest

from cmmanet.evaluation import comparison
from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.uncertainty import (
    gain_on_one_split,
    gain_over_splits,
    identity_bootstrap,
    percentile_interval,
    training_variance,
)

PID = [3, 3, 8, 8, 8, 11, 14, 14, 20, 21]
compare = partial(comparison.compare, scoring="cosine.dense")
STEPS = [("base", "better"), ("base", "other"), ("other", "better")]


def made_up(
    seed: int, *, trials: int = 4, lift: float = 0.0, pids: Mapping[int, list[int]] | None = None
) -> pd.DataFrame:
    """A row for each query of each trial, in no order."""
    rng = np.random.default_rng(seed)
    rows = []
    for trial in range(trials):
        for place, pid in enumerate(PID if pids is None else pids[trial]):
            step = float(np.clip(rng.uniform(0.2, 0.8) + lift, 0, 1))
            rows.append(
                {
                    "trial": trial,
                    "query": 100 + 7 * place,
                    "pid": pid,
                    "first_right_rank": int(rng.integers(1, 30)),
                    "ap_trapezoid": step**1.1,
                    "ap_step": step,
                }
            )
    return pd.DataFrame(rows).sample(frac=1, random_state=seed)


@pytest.fixture
def arms() -> dict[str, pd.DataFrame]:
    return {"base": made_up(0), "better": made_up(1, lift=0.2), "other": made_up(2)}


def values_of(table: pd.DataFrame, metric: str) -> list[list[float]]:
    """Each trial's queries, in their order."""
    rows = sorted(table.to_dict("records"), key=lambda row: (row["trial"], row["query"]))
    found: dict[int, list[float]] = {}
    for row in rows:
        if metric.startswith("rank"):
            value = 1.0 if row["first_right_rank"] <= int(metric[4:]) else 0.0
        else:
            value = row[{"map": "ap_trapezoid", "map_step": "ap_step"}[metric]]
        found.setdefault(row["trial"], []).append(value)
    return [found[trial] for trial in sorted(found)]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_one_split_is_judged_over_trainings_and_people(arms: dict[str, pd.DataFrame]) -> None:
    compared = compare(arms, STEPS, test_to_train=None)
    assert (compared.queries, compared.people, compared.trials) == (10, 6, 4)
    assert [(step.before, step.after) for step in compared.steps] == STEPS
    assert compared.scoring == "cosine.dense" and set(compared.intervals) == set(arms)
    for metric in METRICS:
        values = {arm: values_of(table, metric) for arm, table in arms.items()}
        training = training_variance([[mean(trial) for trial in v] for v in values.values()])
        assert compared.training[metric].std == pytest.approx(training.value**0.5, rel=1e-9)
        assert compared.training[metric].degrees == 2 * 3
        for before, after in STEPS:
            gains = [
                [b - a for a, b in zip(one, other, strict=True)]
                for one, other in zip(values[before], values[after], strict=True)
            ]
            gain = compared.gains(before, after)[metric]
            assert gain.gain == pytest.approx(mean([mean(trial) for trial in gains]), abs=1e-12)
            assert gain == pytest.approx(gain_on_one_split(gains, PID, training), rel=1e-9)
        for arm, trials in values.items():
            averaged = [mean([trial[query] for trial in trials]) for query in range(len(PID))]
            draws = identity_bootstrap([averaged], PID, draws=DRAWS, seed=SEED)
            low, high = percentile_interval(draws)
            assert compared.intervals[arm][metric] == pytest.approx((low[0], high[0]), rel=1e-9)
            assert low[0] <= mean(averaged) <= high[0]


def test_splits_of_their_own_are_judged_by_their_means() -> None:
    # Nobody is tested in the same trials as anybody else, nor as often.
    pids = {0: [1, 2, 3, 4], 1: [2, 3, 5], 2: [4, 5, 6, 7, 8], 3: [1, 8]}
    arms = {
        arm: made_up(seed, pids=pids) for seed, arm in enumerate(("base", "better", "other"), 5)
    }
    compared = compare(arms, STEPS, test_to_train=0.5)
    assert (compared.queries, compared.people, compared.trials) == (4, 4, 4)
    assert compared.intervals == {}
    for metric in METRICS:
        means = {
            arm: [mean(trial) for trial in values_of(table, metric)] for arm, table in arms.items()
        }
        training = training_variance(list(means.values()))
        for before, after in STEPS:
            gains = [b - a for a, b in zip(means[before], means[after], strict=True)]
            expected = gain_over_splits(gains, training, test_to_train=0.5)
            assert compared.gains(before, after)[metric] == pytest.approx(expected, rel=1e-9)
    surer = compare(arms, STEPS, test_to_train=0.1).gains("base", "better")["map"]
    wider = compare(arms, STEPS, test_to_train=1.0).gains("base", "better")["map"]
    # 2·s²·(1/T + ratio), at the same s² and degrees of freedom.
    assert surer.half_width is not None and wider.half_width is not None
    assert wider.half_width / surer.half_width == pytest.approx((1.25 / 0.35) ** 0.5)


def test_order_of_rows_does_not_matter(arms: dict[str, pd.DataFrame]) -> None:
    in_order = {arm: table.sort_values(["query", "trial"]) for arm, table in arms.items()}
    assert compare(in_order, STEPS, test_to_train=None) == compare(arms, STEPS, test_to_train=None)


def test_one_trial_gives_numbers_and_no_verdict() -> None:
    arms = {"base": made_up(0, trials=1), "better": made_up(1, trials=1)}
    compared = compare(arms, [("base", "better")], test_to_train=None)
    assert compared.trials == 1 and compared.training["map"].degrees == 0
    for gain in compared.gains("base", "better").values():
        assert (gain.half_width, gain.degrees, gain.resolved) == (None, None, None)
    assert compared.intervals["better"]["map"][0] > 0


def test_arms_without_steps_have_intervals(arms: dict[str, pd.DataFrame]) -> None:
    compared = compare({"base": arms["base"]}, [], test_to_train=None)
    assert compared.steps == () and list(compared.intervals) == ["base"]


def other_query(table: pd.DataFrame) -> pd.DataFrame:
    return table.replace({"query": {107: 108}})


def other_person(table: pd.DataFrame) -> pd.DataFrame:
    return table.replace({"pid": {20: 22}})


def fewer_trials(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["trial"] < 3]


@pytest.mark.parametrize("change", [other_query, other_person, fewer_trials])
@pytest.mark.parametrize("ratio", [None, 0.5])
def test_arms_with_other_queries_are_refused_by_name(
    arms: dict[str, pd.DataFrame], change: object, ratio: float | None
) -> None:
    assert callable(change)
    arms["other"] = change(arms["other"])
    with pytest.raises(ValueError, match=r"^arms base and other were not scored on the same .*$"):
        compare(arms, STEPS, test_to_train=ratio)
