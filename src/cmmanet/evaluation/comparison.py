"""Compare arms: uncertainty of each number, and which gains are resolved.

Works on tables with one row per query; no torch here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import PlainSerializer

from cmmanet.evaluation.metrics import METRICS, PRECISIONS, RANKS
from cmmanet.evaluation.uncertainty import (
    Gain,
    gain_on_one_split,
    gain_over_splits,
    identity_bootstrap,
    percentile_interval,
    training_variance,
)
from cmmanet.params.strict import Strict

DRAWS = 10_000
SEED = 0  # of the draws: the same results give the same report

Floats = npt.NDArray[np.float64]

# A tuple as an object with its keys.
JsonGain = Annotated[Gain, PlainSerializer(Gain._asdict)]


class Spread(Strict):
    """Spread of one run's number about its arm's; `std` is None for a single run or arm."""

    std: float | None
    degrees: int


class Step(Strict):
    """The gains from one arm to another, by metric."""

    before: str
    after: str
    metrics: dict[str, JsonGain]


class Bootstrap(Strict):
    """How the intervals were drawn."""

    draws: int
    seed: int


class Comparison(Strict):
    """Arms compared over the same trials: the file comparisons/<dataset>.json.

    Attributes:
        scoring: of every number, by name.
        queries: with a true match, in the first trial.
        people: identities of these queries.
        trials: of every arm.
        test_to_train: identities tested per identity trained on, where every trial is a random
            split of its own; None where all trials share their queries.
        bootstrap: of the intervals.
        intervals: by arm and metric, the 95 % interval over identities; empty where every trial
            has its own identities.
        training: by metric, the spread of runs.
        steps: the gains, in the order asked for.
    """

    scoring: str
    queries: int
    people: int
    trials: int
    test_to_train: float | None
    bootstrap: Bootstrap
    intervals: dict[str, dict[str, tuple[float, float]]]
    training: dict[str, Spread]
    steps: tuple[Step, ...]

    def gains(self, before: str, after: str) -> dict[str, Gain] | None:
        """Return the gains of a step by metric; None if it was not compared."""
        for step in self.steps:
            if (step.before, step.after) == (before, after):
                return step.metrics
        return None


def compare(
    arms: Mapping[str, pd.DataFrame],
    steps: Iterable[tuple[str, str]],
    *,
    scoring: str,
    test_to_train: float | None,
) -> Comparison:
    """Judge the gain of each step's second arm over its first.

    Args:
        arms: by arm, a row for each query of each trial: trial, query, pid, first_right_rank,
            ap_trapezoid and ap_step. All arms have the same queries in the same trials.
        steps: pairs of arms.
        scoring: the name of the scoring that all rows are of.
        test_to_train: as in `Comparison`.

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
    judged: dict[tuple[str, str], dict[str, Gain]] = {step: {} for step in steps}
    spreads = {}
    by_metric = {
        metric: {arm: query_values(table, metric) for arm, table in tables.items()}
        for metric in METRICS
    }
    for metric, values in by_metric.items():
        means = np.array(
            [[v[trial == t].mean() for t in np.unique(trial)] for v in values.values()]
        )
        training = training_variance(means)
        spreads[metric] = Spread(
            std=training.value**0.5 if training.degrees else None, degrees=int(training.degrees)
        )
        arm_means = dict(zip(values, means, strict=True))
        for (before, after), gains in judged.items():
            if test_to_train is None:
                each = (values[after] - values[before]).reshape(trials, -1)
                gains[metric] = gain_on_one_split(each, pid, training)
            else:
                gains[metric] = gain_over_splits(
                    arm_means[after] - arm_means[before], training, test_to_train=test_to_train
                )
    return Comparison(
        scoring=scoring,
        queries=len(pid),
        people=len(np.unique(pid)),
        trials=trials,
        test_to_train=test_to_train,
        bootstrap=Bootstrap(draws=DRAWS, seed=SEED),
        intervals=_over_people(by_metric, pid, trials) if test_to_train is None else {},
        training=spreads,
        steps=tuple(
            Step(before=before, after=after, metrics=gains)
            for (before, after), gains in judged.items()
        ),
    )


def query_values(table: pd.DataFrame, metric: str) -> Floats:
    """Return the values [Q] of a metric for each query: their mean is the metric."""
    if metric in RANKS:
        return np.asarray(table["first_right_rank"] <= RANKS[metric], np.float64)
    return np.asarray(table[PRECISIONS[metric]], np.float64)


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
