"""Whether what the paper says of its attention holds: measures of arms, and claims judged.

Works on the tables of the stage attention, and knows no network: no torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cmmanet.evaluation.attention.cells import Cell, Cells, Floats, Place, read_cells
from cmmanet.evaluation.attention.paper_claims import CLAIMS, Claim
from cmmanet.evaluation.attention.table import BOUND, MEASURES, OF_PARTS
from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.uncertainty import (
    Gain,
    Variance,
    gain_in_these_trainings,
    gain_on_one_split,
    gain_over_splits,
    identity_bootstrap,
    own_variance,
    percentile_interval,
    training_variance,
)
from cmmanet.training.diagnosis import COLLAPSED


def judge_claims(
    arms: Mapping[str, pd.DataFrame],
    steps: Sequence[tuple[str, str]],
    *,
    test_to_train: float | None,
) -> dict[str, Any]:
    """Measure the arms' attention and judge each claim of `CLAIMS`, as JSON.

    Args:
        arms: by arm, the table of the stage attention.
        steps: pairs of arms, without and with the concentration loss.
        test_to_train: people to test on for each to train on where every trial is a random split
            of its own; None where all trials answer the same queries.

    Raises:
        ValueError: arms that were not measured on the same queries, named.
    """
    cells = read_cells(arms)
    collapsed = [
        (arm, stage)
        for (arm, stage, measure), cell in cells.items()
        if measure == "entropy" and cell.mean < COLLAPSED
    ]
    return {
        "trials": max((len(cell.trials) for cell in cells.values()), default=0),
        "queries": _most(cells, lambda cell: len(cell.pid[0])),
        "people": _most(cells, lambda cell: len(np.unique(cell.pid[0]))),
        "occluded": _most(cells, lambda cell: len(cell.pid[0]), "occluder"),
        "compared": _most(cells, lambda cell: len(cell.pid[0]), "weight_ratio"),
        "masks": any(measure in OF_PARTS for *_, measure in cells),
        "test_to_train": test_to_train,
        "bootstrap": {"draws": DRAWS, "seed": SEED},
        "cells": {stage: int(cells) for stage, cells in _by_stage(arms, "cells").items()},
        "purity_bound": _by_stage(arms, BOUND),
        "collapsed": [{"arm": arm, "stage": stage} for arm, stage in collapsed],
        "measures": _measured(cells, test_to_train),
        "claims": [
            {
                **_judged(claim, before, after, cells, test_to_train),
                "collapsed": before in collapsed or after in collapsed,
            }
            for claim in CLAIMS
            for before, after in _pairs(claim, arms, steps)
        ],
    }


def _by_stage(arms: Mapping[str, pd.DataFrame], column: str) -> dict[str, float]:
    """What all arms share behind a stage; nothing where it is not known."""
    every = pd.concat(arms.values())
    every = every[every[column].notna()]
    return {
        str(int(stage)): float(every.loc[every["stage"] == stage, column].mean())
        for stage in np.unique(every["stage"])
    }


def _most(cells: Cells, count: Callable[[Cell], int], measure: str = "entropy") -> int:
    return max((count(cell) for (*_, name), cell in cells.items() if name == measure), default=0)


def _measured(cells: Cells, test_to_train: float | None) -> dict[str, Any]:
    """Each measure by arm and stage, with its interval over people where all share the queries."""
    measures: dict[str, Any] = {}
    for measure in MEASURES:
        mine = {(arm, stage): cell for (arm, stage, name), cell in cells.items() if name == measure}
        intervals: dict[tuple[str, int], list[float]] = {}
        if mine and test_to_train is None:
            values = np.array([np.mean(cell.trials, 0) for cell in mine.values()])
            pid = next(iter(mine.values())).pid[0]
            draws = identity_bootstrap(values, pid, draws=DRAWS, seed=SEED)
            for key, low, high in zip(mine, *percentile_interval(draws), strict=True):
                intervals[key] = [float(low), float(high)]
        for (arm, stage), cell in mine.items():
            measures.setdefault(arm, {}).setdefault(str(stage), {})[measure] = {
                "mean": cell.mean,
                "trials": cell.means,
                "interval": intervals.get((arm, stage)),
                "uniform": cell.uniform,
            }
    return measures


def _pairs(
    claim: Claim, arms: Mapping[str, pd.DataFrame], steps: Sequence[tuple[str, str]]
) -> list[tuple[Place | None, Place]]:
    """What a claim sets beside what, the deepest MAM first; nothing for what is judged alone."""
    stages = {arm: sorted({int(s) for s in table["stage"]}) for arm, table in arms.items()}
    places = sorted(((a, s) for a in arms for s in stages[a]), key=lambda place: -place[1])
    if claim.kind == "loss":
        return [
            ((before, stage), (after, stage))
            for stage in sorted({stage for _, stage in places}, reverse=True)
            for before, after in steps
            if stage in stages.get(before, []) and stage in stages.get(after, [])
        ]
    if claim.kind == "scales":
        return [((a, s[-1]), (a, s[0])) for a, s in stages.items() if len(s) > 1]
    return [(None, place) for place in places]


def _judged(
    claim: Claim, before: Place | None, after: Place, cells: Cells, test_to_train: float | None
) -> dict[str, Any]:
    """One comparison of a claim, as JSON."""
    own = cells.get((*after, claim.measure))
    other = cells.get((*before, claim.measure)) if before else None
    entry: dict[str, Any] = {
        "kind": claim.kind,
        "measure": claim.measure,
        "sign": claim.sign,
        "words": claim.words,
        "quote": claim.quote,
        "place": claim.place,
        "before": None if before is None else _side(before, other),
        "after": _side(after, own),
    }
    if own is None or (before is not None and other is None):
        nothing = dict.fromkeys([*Gain._fields, "over"])
        return {**entry, **nothing, "verdict": f"not measured: {_why(claim.measure, cells)}"}
    gains = own.trials if other is None else _less(own.trials, other.trials)
    gain, over = _gain(gains, own.pid[0], _training(claim, after[1], cells), test_to_train)
    told = {"over": over, "verdict": verdict(claim.sign, gain, over)}
    return {**entry, **gain._asdict(), **told}


def _why(measure: str, cells: Cells) -> str:
    """Why a measure is not defined."""
    if measure == "overlap":
        return "one submodule"
    masks = any(name in OF_PARTS for *_, name in cells)
    return "nothing is occluded" if masks else "no masks"


def _side(place: Place, cell: Cell | None) -> dict[str, Any]:
    arm, stage = place
    mean, uniform = (None, None) if cell is None else (cell.mean, cell.uniform)
    return {"arm": arm, "stage": stage, "mean": mean, "uniform": uniform}


def _less(values: Sequence[Floats], others: Sequence[Floats]) -> list[Floats]:
    return [mine - other for mine, other in zip(values, others, strict=True)]


def _training(claim: Claim, stage: int, cells: Cells) -> Variance:
    """The variance of one training's number in a difference of two, pooled over all such arms."""
    mine = {(a, s): cell for (a, s, measure), cell in cells.items() if measure == claim.measure}
    if claim.kind == "loss":
        return training_variance([cell.means for (_, s), cell in mine.items() if s == stage])
    if claim.kind == "scales":
        stages = {arm: sorted(s for a, s in mine if a == arm) for arm, _ in mine}
        means = [
            np.subtract(mine[arm, s[0]].means, mine[arm, s[-1]].means)
            for arm, s in stages.items()
            if len(s) > 1
        ]
    else:
        means = [np.array(cell.means) for (_, s), cell in mine.items() if s == stage]
    # A difference of two arms has twice a training's variance, an arm's own number has it once.
    own = own_variance(means)
    return own._replace(value=own.value / 2)


def _gain(
    gains: Sequence[Floats],
    pid: npt.NDArray[np.int64],
    training: Variance,
    test_to_train: float | None,
) -> tuple[Gain, str | None]:
    """The gain, and over what it is judged: `trainings` and people, or `people` alone."""
    if test_to_train is not None:
        means = [values.mean() for values in gains]
        gain = gain_over_splits(means, training, test_to_train=test_to_train)
        return gain, None if gain.half_width is None else "trainings"
    gain = gain_on_one_split(np.array(gains), pid, training)
    if gain.half_width is not None:
        return gain, "trainings"
    gain = gain_in_these_trainings(np.array(gains), pid)
    return gain, None if gain.half_width is None else "people"


def verdict(sign: int, gain: Gain, over: str | None) -> str:
    """What the data say of a claim that expects a difference of this sign.

    >>> verdict(-1, Gain(-0.2, 0.1, 5.0, True), "people")
    'in these trainings: yes; of other trainings no telling'
    """
    if over is None:
        return "no telling"
    right = gain.gain * sign > 0
    if over == "trainings":
        return ("holds" if right else "contradicted") if gain.resolved else "not resolved"
    word = ("yes" if right else "no") if gain.resolved else "undecided"
    return f"in these trainings: {word}; of other trainings no telling"
