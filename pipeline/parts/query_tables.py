"""What became of each query, as the stage evaluate leaves it."""

from __future__ import annotations

import pandas as pd

from cmmanet.evaluation.metrics import Scoring
from pipeline.parts import workspace


def read_queries(dataset: str, arm: str, scoring: Scoring) -> pd.DataFrame:
    """A row a query of each trial, under one scoring.

    Raises:
        FileNotFoundError: says which stage to run.
    """
    path = workspace.ranking_file(dataset, arm)
    try:
        return pd.read_parquet(path, filters=[("scoring", "=", str(scoring))])
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: not there; run the stage evaluate {dataset} {arm} first"
        ) from None
