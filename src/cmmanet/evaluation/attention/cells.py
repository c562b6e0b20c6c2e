"""The tables of the stage attention, taken apart into what is compared: no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cmmanet.evaluation.attention.table import FIXED, MEASURES, UNIFORM

Floats = npt.NDArray[np.float64]

Place = tuple[str, int]
"""An arm, and the stage behind which one of its MAMs sits."""


class Cell(NamedTuple):
    """One measure of one arm behind one stage: of each trial, the queries where it is defined."""

    trials: list[Floats]  # T of [Q]
    uniform: list[Floats]  # T of [Q], of attention without any preference
    fixed: list[Floats]  # T of [Q], of the trial's mean map
    pid: list[npt.NDArray[np.int64]]  # T of [Q]
    query: list[npt.NDArray[np.int64]]  # T of [Q]
    size: int  # h·w of the maps

    @property
    def means(self) -> list[float]:
        """Of each trial."""
        return [float(values.mean()) for values in self.trials]

    @property
    def mean(self) -> float:
        """Over trials."""
        return float(np.mean(self.means))

    @property
    def others(self) -> dict[str, float]:
        """The means over trials of uniform attention, and of mean maps, in the same frames."""
        both = {"uniform": self.uniform, "fixed": self.fixed}
        return {
            name: float(np.mean([values.mean() for values in trials]))
            for name, trials in both.items()
        }


Cells = dict[tuple[str, int, str], Cell]
"""By arm, stage and measure; none where the measure is not defined."""


def read_cells(arms: Mapping[str, pd.DataFrame]) -> Cells:
    """Take apart each arm's table of the stage attention.

    Raises:
        ValueError: arms that were not measured on the same queries, named.
    """
    cells = {
        (arm, int(stage), measure): cell
        for arm, table in arms.items()
        for stage in np.unique(table["stage"])
        for measure in MEASURES
        if (cell := _cell(table[table["stage"] == stage], measure)) is not None
    }
    _check_queries(cells)
    return cells


def _cell(table: pd.DataFrame, measure: str) -> Cell | None:
    table = table[np.isfinite(table[measure])].sort_values(["trial", "query"])
    if table.empty:
        return None
    trials = [part for _, part in table.groupby("trial")]

    def of_trials(kind: str) -> list[Floats]:
        return [part[f"{kind}{measure}"].to_numpy(np.float64) for part in trials]

    return Cell(
        of_trials(""),
        of_trials(UNIFORM),
        of_trials(FIXED),
        [part["pid"].to_numpy() for part in trials],
        [part["query"].to_numpy() for part in trials],
        int(table["cells"].iloc[0]),
    )


def _check_queries(cells: Cells) -> None:
    """Refuse arms measured on other queries: what can be measured hangs on the frames alone."""
    first: dict[str, tuple[str, Cell]] = {}
    for (arm, _, measure), cell in cells.items():
        other, known = first.setdefault(measure, (arm, cell))
        same = len(cell.query) == len(known.query) and all(
            map(np.array_equal, cell.query, known.query)
        )
        if not same:
            raise ValueError(
                f"attention of the arms {other} and {arm} was not measured on the same queries: "
                "run the stage attention of both again"
            )
