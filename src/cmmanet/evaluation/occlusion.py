"""What occlusion takes from each arm, and whether it takes less than from the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.uncertainty import (
    Gain,
    Variance,
    gain_on_one_split,
    identity_bootstrap,
    percentile_interval,
    training_variance,
)

MEASURED = ("rank1", "map")

Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """A mean over queries and trials, with the 95 % interval over the choice of people."""

    value: float
    low: float
    high: float


class Robustness(NamedTuple):
    """What the levels of occlusion say of arms that were tested on the same people at each.

    Attributes:
        queries: with a right answer, the same at every level.
        people: behind them.
        trials: of every arm.
        levels: by arm and metric, the number at each level.
        change: by arm and metric, the number at the last level less that at the first.
        training: by metric, the variance of one training's change about its arm's.
        over_baseline: by arm and metric, its change less the baseline's: positive where the arm
            loses less; empty without a baseline.
    """

    queries: int
    people: int
    trials: int
    levels: dict[str, dict[str, list[Interval]]]
    change: dict[str, dict[str, Interval]]
    training: dict[str, Variance]
    over_baseline: dict[str, dict[str, Gain]]


def robustness(arms: Mapping[str, Sequence[pd.DataFrame]], baseline: str) -> Robustness:
    """Judge what the last level takes of what the first leaves.

    A network is tested at both levels and every query is answered at both, so that all differences
    are taken query by query within a trial. A change differs between trainings by what
    `training_variance` finds in the changes themselves.

    Args:
        arms: by arm and level, a row for each query of each trial: trial, query, pid,
            first_right_rank and ap_trapezoid. All have the same queries in the same trials.
        baseline: the arm that the others are held against; it may be missing.

    Raises:
        ValueError: no queries; an arm, named, that was not scored on the same queries everywhere.
    """
    tables = {
        arm: [table.sort_values(["trial", "query"]) for table in levels]
        for arm, levels in arms.items()
    }
    first = next(iter(tables))
    keys = tables[first][0][["trial", "query", "pid"]].to_numpy()
    if not len(keys):
        raise ValueError(f"arm {first} has no query so scored: run the stage occlusion again")
    for arm, levels in tables.items():
        for table in levels:
            if not np.array_equal(table[["trial", "query", "pid"]].to_numpy(), keys):
                raise ValueError(
                    f"arm {arm} was not scored on the same queries at every level and in the same "
                    "trials as the other arms: run the study's stage occlusion again"
                )
    trials = len(np.unique(keys[:, 0]))
    pid = keys[: len(keys) // trials, 2]
    found = Robustness(len(pid), len(np.unique(pid)), trials, {}, {}, {}, {})
    for metric in MEASURED:
        # [L, T, Q] of each arm.
        values = {
            arm: np.array([_values(table, metric).reshape(trials, -1) for table in levels])
            for arm, levels in tables.items()
        }
        changes = {arm: of_levels[-1] - of_levels[0] for arm, of_levels in values.items()}
        for arm, of_levels in values.items():
            intervals = _over_people(np.array([*of_levels, changes[arm]]), pid)
            found.levels.setdefault(arm, {})[metric] = intervals[:-1]
            found.change.setdefault(arm, {})[metric] = intervals[-1]
        means = np.array([change.mean(1) for change in changes.values()])
        training = found.training[metric] = training_variance(means)
        for arm in changes if baseline in changes else ():
            if arm != baseline:
                gain = gain_on_one_split(changes[arm] - changes[baseline], pid, training)
                found.over_baseline.setdefault(arm, {})[metric] = gain
    return found


def _values(table: pd.DataFrame, metric: str) -> Floats:
    hits = table["first_right_rank"] == 1
    return np.asarray(hits if metric == "rank1" else table["ap_trapezoid"], np.float64)


def _over_people(values: Floats, pid: npt.NDArray[np.integer]) -> list[Interval]:
    """The mean over trials and queries of each row of [R, T, Q]; all share the draws of people."""
    means = values.mean(1)
    low, high = percentile_interval(identity_bootstrap(means, pid, draws=DRAWS, seed=SEED))
    return [
        Interval(float(mean), float(below), float(above))
        for mean, below, above in zip(means.mean(1), low, high, strict=True)
    ]
