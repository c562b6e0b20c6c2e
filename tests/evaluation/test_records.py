"""A record is the same after writing and reading, and no other file passes for one."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import ValidationError
from reporting import made_up

from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.records import EvaluateResult, over_runs

RESULT = made_up.result("mars", "multi_mam", [0.1 + 0.2, 1 / 3], reranked=True)


def test_a_record_survives_writing_and_reading() -> None:
    content = json.dumps(RESULT.model_dump(mode="json"))
    again = EvaluateResult.model_validate_json(content)
    assert again == RESULT and json.dumps(again.model_dump(mode="json")) == content
    queries = again.trials[0].metrics["cosine.dense"]["queries"]
    assert isinstance(queries, int), "counts stay whole numbers"


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"trials": []},
        {"unknown": 1},
        {"config/unknown": 1},
        {"mean/cosine.dense": {"rank1": 0.5}},
        {"mean/cosine.dense/map": math.nan},
        {"std/cosine.dense/map": None},
        {"trials/1/warnings": None},
    ],
)
def test_what_is_no_record_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made_up.changed(RESULT, changes)


@pytest.mark.parametrize("missing", ["version", "embedding", "trials"])
def test_an_older_file_is_refused(missing: str) -> None:
    content = RESULT.model_dump(mode="json")
    del content[missing]
    with pytest.raises(ValidationError):
        EvaluateResult.model_validate(content)


def test_metrics_are_reduced_one_by_one_for_each_scoring() -> None:
    runs = [
        {
            "a": dict.fromkeys(METRICS, value) | {"rank5": 2 * value, "queries": 7},
            "b": RESULT.mean["cosine.dense"],
        }
        for value in (1.0, 2.0, 6.0)
    ]
    means = over_runs(runs)
    assert means["a"] == dict.fromkeys(METRICS, 3.0) | {"rank5": 6.0}
    assert means["b"].keys() == METRICS.keys()
    assert over_runs(runs, max)["a"]["rank5"] == 12.0
