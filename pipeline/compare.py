"""Stage compare: how sure the arms' numbers are, and which steps between them are real."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cmmanet.evaluation.comparison import DRAWS, SEED, Comparison, compare
from cmmanet.evaluation.metrics import Scoring
from cmmanet.frames.index import load_tracklets
from cmmanet.params import ReportPlan
from cmmanet.reporting.published import planned_steps
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run
from pipeline.parts.rankings import read_queries


def main(dataset: DatasetName) -> None:
    """Compare the arms of the report on DATASET, query by query, into comparisons/DATASET.json."""
    plan = workspace.read_plan(ReportPlan, "report.json")
    scoring = Scoring(plan.distance, plan.test_frames)
    compared = compare_arms(dataset, plan.arms, planned_steps(plan.arms, plan.headline), scoring)
    workspace.write_json(workspace.comparison_file(dataset), compared)
    print(f"{dataset}: {len(compared['steps'])} steps between {len(plan.arms)} arms ({scoring})")


def compare_arms(
    dataset: str, arms: Sequence[str], steps: Iterable[tuple[str, str]], scoring: Scoring
) -> dict[str, Any]:
    """What `compare` says of these arms, as reports read it."""
    queries = {arm: read_queries(dataset, arm, scoring) for arm in arms}
    ratio = people_ratio(dataset)
    return _content(compare(queries, steps, test_to_train=ratio), scoring, ratio)


def compare_scorings(dataset: str, arm: str, scoring: Scoring) -> dict[str, Any]:
    """The same of one arm's networks, each other scoring by itself beside this one, by name.

    Scorings are no trainings: the spread of one says nothing of another's. Those that leave fewer
    queries with a right answer are left out.
    """
    own = read_queries(dataset, arm, scoring)
    ratio = people_ratio(dataset)
    steps = []
    for other in scoring.variations():
        table = read_queries(dataset, arm, other)
        if len(table) == len(own):
            pair = {str(scoring): own, str(other): table}
            compared = compare(pair, [(str(scoring), str(other))], test_to_train=ratio)
            steps += _steps(compared)
    return {"scoring": str(scoring), "steps": steps}


def people_ratio(dataset: str) -> float | None:
    """People to test on for each to train on, where every trial has a random split of its own."""
    data = workspace.data_folder(dataset)
    trials = workspace.read_json(data / "trials.json", f"split {dataset}")
    if trials["protocol"] != "two-camera":
        return None
    pid, split = load_tracklets(data).pid, trials["splits"][0]
    return len(np.unique(pid[split["query"]])) / len(np.unique(pid[split["train"]]))


def _content(compared: Comparison, scoring: Scoring, ratio: float | None) -> dict[str, Any]:
    """A comparison as JSON."""
    return {
        "scoring": str(scoring),
        "queries": compared.queries,
        "people": compared.people,
        "trials": compared.trials,
        "test_to_train": ratio,
        "bootstrap": {"draws": DRAWS, "seed": SEED},
        "intervals": compared.intervals,
        "training": {
            metric: {
                "std": variance.value**0.5 if variance.degrees else None,
                "degrees": variance.degrees,
            }
            for metric, variance in compared.training.items()
        },
        "steps": _steps(compared),
    }


def _steps(compared: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "before": before,
            "after": after,
            "metrics": {metric: gain._asdict() for metric, gain in gains.items()},
        }
        for (before, after), gains in compared.gains.items()
    ]


if __name__ == "__main__":
    run(main)
