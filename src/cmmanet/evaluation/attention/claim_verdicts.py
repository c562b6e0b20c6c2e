"""Whether what the paper says of its attention holds: measures of arms, and claims judged.

Works on the tables of the stage attention, and knows no network: no torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cmmanet.evaluation.attention.cells import Cell, Cells, Place, read_cells
from cmmanet.evaluation.attention.judging import Judge, not_in_cells, verdict
from cmmanet.evaluation.attention.paper_claims import CLAIMS, Claim
from cmmanet.evaluation.attention.table import BOUND, MEASURES, OF_PARTS
from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.uncertainty import identity_bootstrap, percentile_interval
from cmmanet.training.diagnosis import COLLAPSED


def judge_claims(
    arms: Mapping[str, pd.DataFrame],
    steps: Sequence[tuple[str, str]],
    *,
    concentrated: Collection[str],
    test_to_train: float | None,
) -> dict[str, Any]:
    """Measure the arms' attention and judge each claim of `CLAIMS`, as JSON.

    Args:
        arms: by arm, the table of the stage attention.
        steps: pairs of arms, without and with the concentration loss.
        concentrated: all arms whose plan has that loss.
        test_to_train: people to test on for each to train on where every trial is a random split
            of its own; None where all trials answer the same queries.

    Raises:
        ValueError: arms that were not measured on the same queries, named.
    """
    cells = read_cells(arms)
    collapsed = [
        (arm, stage)
        for (arm, stage, measure), cell in cells.items()
        if measure == "entropy" and min(cell.means) < COLLAPSED
    ]
    judge = Judge(cells, concentrated, test_to_train)
    return {
        "trials": max((len(cell.trials) for cell in cells.values()), default=0),
        "queries": _most(cells, lambda cell: len(cell.pid[0])),
        "people": _most(cells, lambda cell: len(np.unique(cell.pid[0]))),
        "occluded": _most(cells, lambda cell: len(cell.pid[0]), "occluder"),
        "compared": _most(cells, lambda cell: len(cell.pid[0]), "weight_change"),
        "masks": any(measure in OF_PARTS for *_, measure in cells),
        "test_to_train": test_to_train,
        "bootstrap": {"draws": DRAWS, "seed": SEED},
        "cells": {name: _by_stage(table, "cells") for name, table in arms.items()},
        "purity_bound": {name: _by_stage(table, BOUND) for name, table in arms.items()},
        "collapsed": [{"arm": arm, "stage": stage} for arm, stage in collapsed],
        "measures": _measured(cells, test_to_train),
        "claims": [
            _judged(claim, before, after, cells, collapsed, judge)
            for claim in CLAIMS
            for before, after in _pairs(claim, arms, steps)
        ],
    }


def _by_stage(table: pd.DataFrame, column: str) -> dict[str, float]:
    """The mean of an arm's column behind each stage where it is known."""
    known = table[table[column].notna()]
    return {
        str(int(stage)): float(known.loc[known["stage"] == stage, column].mean())
        for stage in np.unique(known["stage"])
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
                **cell.others,
            }
    return measures


def _pairs(
    claim: Claim, arms: Mapping[str, pd.DataFrame], steps: Sequence[tuple[str, str]]
) -> list[tuple[Place | None, Place]]:
    """What a claim sets beside what, the deepest MAM first; nothing where that is no place."""
    stages = {arm: sorted({int(s) for s in table["stage"]}) for arm, table in arms.items()}
    both = {arm: of for arm, of in stages.items() if len(of) > 1}
    if claim.kind == "loss":
        return [
            ((before, stage), (after, stage))
            for stage in sorted({stage for of in stages.values() for stage in of}, reverse=True)
            for before, after in steps
            if stage in stages.get(before, []) and stage in stages.get(after, [])
        ]
    if claim.kind == "scales":
        return [((arm, of[-1]), (arm, of[0])) for arm, of in both.items()]
    if claim.kind == "first":
        return [(None, (arm, of[0])) for arm, of in both.items()]
    places = [(arm, stage) for arm, of in both.items() for stage in of]
    return [(None, place) for place in sorted(places, key=lambda place: -place[1])]


def _judged(
    claim: Claim,
    before: Place | None,
    after: Place,
    cells: Cells,
    collapsed: Collection[Place],
    judge: Judge,
) -> dict[str, Any]:
    """One comparison of a claim, as JSON."""
    own = cells.get((*after, claim.measure))
    other = cells.get((*before, claim.measure)) if before else None
    fallen = before in collapsed or after in collapsed
    judged, only_in_image = None, False
    if own is None or (before is not None and other is None):
        words = f"not measured: {_why(claim.measure, cells)}"
    else:
        judged = judge(claim, before, after)
        words = "not judged: collapsed" if fallen else verdict(claim.sign, judged)
        right = words.startswith(("holds", "yes"))
        if claim.kind == "scales" and other and right and not_in_cells(own, other):
            only_in_image, words = True, f"{words}, though not in cells"
    return {
        "kind": claim.kind,
        "measure": claim.measure,
        "sign": claim.sign,
        "words": claim.words,
        "quote": claim.quote,
        "place": claim.place,
        "before": _before(claim, before, other, own),
        "after": _side(after, own),
        "gain": judged and judged.gain.gain,
        "half_width": judged and judged.gain.half_width,
        "degrees": judged and judged.gain.degrees,
        "trials": [gain.gain for gain in judged.trials] if judged else [],
        "verdict": words,
        "only_in_image": only_in_image,
        "collapsed": fallen,
    }


def _before(
    claim: Claim, before: Place | None, other: Cell | None, own: Cell | None
) -> dict[str, Any] | None:
    """The side that a claim compares with; None for uniform attention."""
    if before is not None:
        return _side(before, other)
    if claim.kind != "parts":
        return None
    others = {"fixed": None, "uniform": None} if own is None else own.others
    return {"arm": None, "stage": None, "mean": others["fixed"], "uniform": others["uniform"]}


def _why(measure: str, cells: Cells) -> str:
    """Why a measure is not defined."""
    if measure == "overlap":
        return "one submodule"
    masks = any(name in OF_PARTS for *_, name in cells)
    return "nothing is occluded" if masks else "no masks"


def _side(place: Place, cell: Cell | None) -> dict[str, Any]:
    mean, uniform = (None, None) if cell is None else (cell.mean, cell.others["uniform"])
    return {"arm": place[0], "stage": place[1], "mean": mean, "uniform": uniform}
