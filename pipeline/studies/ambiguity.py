"""Stage ambiguity: what each reading of the paper's silences is worth."""

from __future__ import annotations

from typing import Any

from cmmanet.evaluation.metrics import Scoring
from cmmanet.params import READING, ReadingsPlan
from cmmanet.reporting.ambiguity import render_ambiguity
from cmmanet.reporting.settings import changes
from pipeline.compare import compare_arms, compare_scorings
from pipeline.parts import workspace
from pipeline.parts.command import run


def main() -> None:
    """Write reports/ambiguity.md, and its numbers beside it as JSON."""
    plan = workspace.read_plan(ReadingsPlan, "readings.json")
    scoring = Scoring(plan.distance, plan.test_frames)
    readings = [f"{READING}{name}" for name in plan.readings]
    results: dict[tuple[str, str], Any] = {}
    trained: dict[str, Any] = {}
    scored: dict[str, Any] = {}
    for dataset in plan.datasets:
        for arm in (plan.arm, *readings):
            path = workspace.result_file(dataset, arm)
            results[dataset, arm] = workspace.read_json(path, f"evaluate {dataset} {arm}")
        # What is the default itself under this recipe would pass for another training of it.
        own = results[dataset, plan.arm]["config"]
        others = [arm for arm in readings if changes(own, results[dataset, arm]["config"])]
        steps = [(plan.arm, reading) for reading in others]
        trained[dataset] = compare_arms(dataset, [plan.arm, *others], steps, scoring)
        scored[dataset] = compare_scorings(dataset, plan.arm, scoring)
    report = plan.model_dump(mode="json")
    page = workspace.REPORTS / "ambiguity.md"
    workspace.write_text(page, render_ambiguity(report, results, trained, scored))
    workspace.write_json(page.with_suffix(".json"), {"trained": trained, "scored": scored})
    print(f"{page}: {len(readings)} readings of {plan.arm}")


if __name__ == "__main__":
    run(main)
