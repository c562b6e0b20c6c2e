"""How robust each arm is to occlusion, and whether it is more so than the baseline.

What an arm loses goes with where it begins: one that begins higher has more to lose. Two other
quantities are judged, each of a trial: the share kept, which is the mean over queries at the last
level over that at the first; and the mean over all levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cmmanet.evaluation.comparison import DRAWS, SEED, query_values
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


class Quantity(NamedTuple):
    """A quantity of the arms, a mean over trials, and each arm's held against the baseline's.

    Attributes:
        arms: by arm; those of which the quantity is not defined are missing.
        training: the variance of one training's number about its arm's.
        over_baseline: by arm, what it has more than the baseline; empty where that is missing.
    """

    arms: dict[str, Interval]
    training: Variance
    over_baseline: dict[str, Gain]


class Robustness(NamedTuple):
    """What the levels of occlusion say of arms that were tested on the same people at each.

    Attributes:
        queries: with a right answer, the same at every level.
        people: behind them.
        trials: of every arm.
        levels: by arm and metric, the number at each level.
        kept: by metric, the share of the first level's number that the last one leaves; not
            defined of an arm with a trial that has 0 at the first level.
        overall: by metric, the mean over all levels, each counting alike.
    """

    queries: int
    people: int
    trials: int
    levels: dict[str, dict[str, list[Interval]]]
    kept: dict[str, Quantity]
    overall: dict[str, Quantity]


def robustness(arms: Mapping[str, Sequence[pd.DataFrame]], baseline: str) -> Robustness:
    """Judge what occlusion leaves of each arm's numbers.

    A network is tested at every level and every query is answered at each, so that all differences
    are taken query by query within a trial. How far a quantity differs between trainings is what
    `training_variance` finds in the quantity itself.

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
    found = Robustness(len(pid), len(np.unique(pid)), trials, {}, {}, {})
    for metric in MEASURED:
        # [L, T, Q] of each arm.
        values = {
            arm: np.array([query_values(table, metric).reshape(trials, -1) for table in levels])
            for arm, levels in tables.items()
        }
        for arm, of_levels in values.items():
            found.levels.setdefault(arm, {})[metric] = _over_people(of_levels, pid)
        kept = {
            arm: _kept(of_levels[0], of_levels[-1])
            for arm, of_levels in values.items()
            if of_levels[0].mean(1).all()
        }
        overall = {arm: of_levels.mean(0) for arm, of_levels in values.items()}
        found.kept[metric] = _judged(kept, pid, baseline)
        found.overall[metric] = _judged(overall, pid, baseline)
    return found


def _kept(first: Floats, last: Floats) -> Floats:
    """Each query's part [T, Q] in the ratio of the last level's mean to the first's.

    The mean over a trial's queries is the trial's ratio, and what people differ by is what they
    change in it, to first order (the linearised ratio: Cochran, Sampling Techniques, ch. 6).
    """
    whole = first.mean(1, keepdims=True)
    ratio = last.mean(1, keepdims=True) / whole
    return np.asarray(ratio + (last - ratio * first) / whole)


def _judged(values: Mapping[str, Floats], pid: npt.NDArray[np.integer], baseline: str) -> Quantity:
    """Judge a quantity by its values [T, Q] of each arm."""
    if not values:
        return Quantity({}, Variance(np.nan, 0), {})
    training = training_variance(np.array([of_arm.mean(1) for of_arm in values.values()]))
    intervals = _over_people(np.array(list(values.values())), pid)
    gains = {
        arm: gain_on_one_split(of_arm - values[baseline], pid, training)
        for arm, of_arm in values.items()
        if baseline in values and arm != baseline
    }
    return Quantity(dict(zip(values, intervals, strict=True)), training, gains)


def _over_people(values: Floats, pid: npt.NDArray[np.integer]) -> list[Interval]:
    """The mean over trials and queries of each row of [R, T, Q]; all share the draws of people."""
    means = values.mean(1)
    low, high = percentile_interval(identity_bootstrap(means, pid, draws=DRAWS, seed=SEED))
    return [
        Interval(float(mean), float(below), float(above))
        for mean, below, above in zip(means.mean(1), low, high, strict=True)
    ]
