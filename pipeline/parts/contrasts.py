"""Arms of a dataset, or scorings of one arm, compared query by query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from cmmanet.evaluation.comparison import Comparison, Step, compare
from cmmanet.evaluation.metrics import Scoring
from cmmanet.frames.index import load_tracklets
from pipeline.parts import workspace
from pipeline.parts.query_tables import read_queries


def compare_arms(
    dataset: str,
    arms: Sequence[str],
    steps: Iterable[tuple[str, str]],
    scoring: Scoring,
    test_to_train: float | None,
) -> Comparison:
    """Compare arms of a dataset under one scoring; see `identity_ratio` for `test_to_train`.

    Raises:
        FileNotFoundError: names the stage to run.
        ValueError: as `compare`.
    """
    queries = {arm: read_queries(dataset, arm, scoring) for arm in arms}
    return compare(queries, steps, scoring=str(scoring), test_to_train=test_to_train)


def compare_scorings(
    dataset: str, arm: str, scoring: Scoring, test_to_train: float | None
) -> list[Step]:
    """Compare each variation of a scoring with it, on the same runs of one arm.

    Each is compared by itself: the spread of one scoring says nothing of another's. Scorings that
    leave fewer queries with a true match are left out.
    """
    own = read_queries(dataset, arm, scoring)
    steps: list[Step] = []
    for other in scoring.variations():
        table = read_queries(dataset, arm, other)
        if len(table) == len(own):
            pair = (str(scoring), str(other))
            tables = dict(zip(pair, (own, table), strict=True))
            compared = compare(tables, [pair], scoring=str(scoring), test_to_train=test_to_train)
            steps += compared.steps
    return steps


def identity_ratio(dataset: str) -> float | None:
    """Return `Comparison.test_to_train` of a dataset.

    Raises:
        FileNotFoundError: names the stage to run.
    """
    data = workspace.data_folder(dataset)
    trials = workspace.read_json(data / "trials.json", f"split {dataset}")
    if trials["protocol"] != "two-camera":
        return None
    pid, split = load_tracklets(data).pid, trials["splits"][0]
    return len(np.unique(pid[split["query"]])) / len(np.unique(pid[split["train"]]))
