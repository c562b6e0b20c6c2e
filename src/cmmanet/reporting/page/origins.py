"""The origin of every number: one row per run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cmmanet.evaluation.records import EvaluateResult
from cmmanet.reporting.environments import commit_name
from cmmanet.reporting.inputs import title


class Origin(NamedTuple):
    """A run, and the code that embedded and evaluated its network."""

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


def origins(results: Iterable[EvaluateResult]) -> list[Origin]:
    """Return a row per run, in the order of the results."""
    return [
        Origin(
            title(result.dataset),
            result.arm,
            run.trial,
            f"results/{result.dataset}/{result.arm}.json",
            run.seed,
            run.iterations,
            run.mlflow_run,
            commit_name(result.environment),
            result.environment.date,
            result.environment.device,
            commit_name(result.embedding),
            commit_name(result.evaluation),
        )
        for result in results
        for run in result.trials
    ]
