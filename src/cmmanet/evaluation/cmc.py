"""Curves over ranks. No torch here: a table of queries is all that is needed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd


def cmc_over_trials(queries: pd.DataFrame, ranks: int) -> npt.NDArray[np.float64]:
    """The CMC [ranks], a mean over trials: the share of queries that have a right answer by then.

    Args:
        queries: of one arm and one scoring, a row a query of a trial, with the columns `trial` and
            `first_right_rank`.
        ranks: how many, at least 1.

    Raises:
        ValueError: if there is no query.
    """
    if not len(queries):
        raise ValueError("there is no query to draw a CMC of")
    curves = []
    for _, trial in queries.groupby("trial"):
        first = trial["first_right_rank"].to_numpy()
        hits = np.bincount(np.minimum(first, ranks + 1), minlength=ranks + 2)
        curves.append(hits[1 : ranks + 1].cumsum() / len(first))
    mean: npt.NDArray[np.float64] = np.mean(curves, axis=0)
    return mean
