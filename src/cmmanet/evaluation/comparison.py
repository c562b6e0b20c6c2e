"""Arms beside each other: how sure each number is, and which gains are real.

Works on what evaluation wrote of each query, and knows no network: no torch here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.uncertainty import (
    Gain,
    Variance,
    gain_on_one_split,
    gain_over_splits,
    identity_bootstrap,
    percentile_interval,
    training_variance,
)

DRAWS = 10_000
SEED = 0  # of the draws: the same results give the same report

Floats = npt.NDArray[np.float64]


class Comparison(NamedTuple):
    """What arms that were run in the same trials say about each other.

    Attributes:
        queries: with a right answer, of the first trial.
        people: behind them.
        trials: of every arm.
        intervals: by arm and metric, the 95 % interval over the choice of people; empty where
            every trial has its own people.
        training: by metric, the variance of one training's number about its arm's.
        gains: by step and metric.
    """

    queries: int
    people: int
    trials: int
    intervals: dict[str, dict[str, tuple[float, float]]]
    training: dict[str, Variance]
    gains: dict[tuple[str, str], dict[str, Gain]]


def compare(
    arms: Mapping[str, pd.DataFrame],
    steps: Iterable[tuple[str, str]],
    *,
    test_to_train: float | None,
) -> Comparison:
    """Judge the gain of each step's second arm over its first.

    Args:
        arms: by arm, a row for each query of each trial: trial, query, pid, first_right_rank,
            ap_trapezoid and ap_step. All arms have the same queries in the same trials.
        steps: pairs of arms.
        test_to_train: people to test on for each to train on where every trial is a random split
            of its own; None where all trials answer the same queries.

    Raises:
        ValueError: no queries; arms that were not scored on the same queries, named.
    """
    first, *others = arms
    tables = {arm: table.sort_values(["trial", "query"]) for arm, table in arms.items()}
    keys = tables[first][["trial", "query", "pid"]].to_numpy()
    if not len(keys):
        raise ValueError(f"arm {first} has no query so scored: run the stage evaluate again")
    for arm in others:
        if not np.array_equal(tables[arm][["trial", "query", "pid"]].to_numpy(), keys):
            raise ValueError(
                f"arms {first} and {arm} were not scored on the same queries in the same trials: "
                "run the stage evaluate of both again"
            )
    trial = keys[:, 0]
    pid = keys[trial == trial[0], 2]
    trials = len(np.unique(trial))
    steps = list(steps)
    comparison = Comparison(len(pid), len(np.unique(pid)), trials, {}, {}, {})
    by_metric = {
        metric: {arm: _values(table, metric) for arm, table in tables.items()} for metric in METRICS
    }
    if test_to_train is None:
        comparison.intervals.update(_over_people(by_metric, pid, trials))
    for metric, values in by_metric.items():
        means = np.array(
            [[v[trial == t].mean() for t in np.unique(trial)] for v in values.values()]
        )
        training = training_variance(means)
        comparison.training[metric] = training
        if test_to_train is None:
            shaped = {arm: v.reshape(trials, -1) for arm, v in values.items()}
            gains = {
                (before, after): gain_on_one_split(shaped[after] - shaped[before], pid, training)
                for before, after in steps
            }
        else:
            of = dict(zip(values, means, strict=True))
            gains = {
                (before, after): gain_over_splits(
                    of[after] - of[before], training, test_to_train=test_to_train
                )
                for before, after in steps
            }
        for step, gain in gains.items():
            comparison.gains.setdefault(step, {})[metric] = gain
    return comparison


def _values(table: pd.DataFrame, metric: str) -> Floats:
    """Each query's share of a metric's mean."""
    if metric.startswith("rank"):
        hits = table["first_right_rank"] <= int(metric.removeprefix("rank"))
        return np.asarray(hits, np.float64)
    return np.asarray(table["ap_step" if metric == "map_step" else "ap_trapezoid"], np.float64)


def _over_people(
    by_metric: Mapping[str, Mapping[str, Floats]], pid: npt.NDArray[np.integer], trials: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """The interval of each arm's mean over its trials; all arms and metrics share the draws."""
    cells = [(arm, metric) for metric, values in by_metric.items() for arm in values]
    means = [by_metric[metric][arm].reshape(trials, -1).mean(0) for arm, metric in cells]
    draws = identity_bootstrap(np.array(means), pid, draws=DRAWS, seed=SEED)
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    for (arm, metric), low, high in zip(cells, *percentile_interval(draws), strict=True):
        intervals.setdefault(arm, {})[metric] = (float(low), float(high))
    return intervals
