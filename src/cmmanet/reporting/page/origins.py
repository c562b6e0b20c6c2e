"""Where every number comes from: one row for each training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cmmanet.reporting.provenance import commit_name
from cmmanet.reporting.results import ArmResult, title


class Origin(NamedTuple):
    """A training, and the code that embedded and evaluated its network."""

    dataset: str
    arm: str
    trial: int
    file: str
    seed: int
    iterations: int
    mlflow_run: str
    trained: str
    date: str
    device: str
    embedded: str
    evaluated: str


def origins(results: Iterable[ArmResult]) -> list[Origin]:
    """A row for each trial, in the order of the results."""
    return [
        Origin(
            title(result["dataset"]),
            result["arm"],
            trial["trial"],
            f"results/{result['dataset']}/{result['arm']}.json",
            trial["seed"],
            trial["iterations"],
            trial["mlflow_run"],
            commit_name(result["environment"]),
            result["environment"]["date"],
            result["environment"]["device"],
            commit_name(result["embedding"]),
            commit_name(result["evaluation"]),
        )
        for result in results
        for trial in result["trials"]
    ]
