"""Stage compare: uncertainty of the arms' numbers, and which steps between them are resolved."""

from __future__ import annotations

from cmmanet.evaluation.metrics import Scoring
from cmmanet.params import ReportPlan
from cmmanet.reporting.published import planned_steps
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run
from pipeline.parts.contrasts import compare_arms, identity_ratio


def main(dataset: DatasetName) -> None:
    """Compare the arms of the report on DATASET, query by query, into comparisons/DATASET.json."""
    plan = workspace.read_plan(ReportPlan, "report.json")
    scoring = Scoring(plan.distance, plan.test_frames)
    steps = planned_steps(plan.arms, plan.headline)
    compared = compare_arms(dataset, plan.arms, steps, scoring, identity_ratio(dataset))
    workspace.write_json(workspace.comparison_file(dataset), compared.model_dump(mode="json"))
    print(f"{dataset}: {len(compared.steps)} steps between {len(plan.arms)} arms ({scoring})")


if __name__ == "__main__":
    run(main)
