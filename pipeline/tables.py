"""Stage tables: the paper's tables with our numbers, and the headline for DVC."""

from __future__ import annotations

from cmmanet.evaluation.comparison import Comparison
from cmmanet.evaluation.metrics import Scoring
from cmmanet.params import ReportPlan
from cmmanet.reporting.document import markdown
from cmmanet.reporting.figures.entry import FigureList
from cmmanet.reporting.inputs import ReportInputs
from cmmanet.reporting.report import build_report, headline_metrics
from pipeline.parts import workspace
from pipeline.parts.command import run
from pipeline.parts.results import read_result
from pipeline.parts.tracking import Tracker


def main() -> None:
    """Write reports/tables.md and reports/metrics.json from exactly the planned arms."""
    plan = workspace.read_plan(ReportPlan, "report.json")
    report = read_inputs(plan)
    tracker = Tracker()
    tables = workspace.REPORTS / "tables.md"
    workspace.write_text(tables, markdown(build_report(report)))
    headline = {
        name: metrics.model_dump(mode="json") for name, metrics in headline_metrics(report).items()
    }
    workspace.write_json(workspace.REPORTS / "metrics.json", headline)
    for arms in report.results.values():
        for result in arms.values():
            tracker.artifact(result.mlflow_run, tables)
    print(f"{tables} and {workspace.REPORTS / 'metrics.json'}: headline {plan.headline}")


def read_inputs(plan: ReportPlan) -> ReportInputs:
    """Read what the report shows of exactly the planned arms.

    Raises:
        FileNotFoundError, ValueError: as `workspace.read_record`.
    """
    return ReportInputs(
        headline=plan.headline,
        sampler=plan.sampler,
        scoring=Scoring(plan.distance, plan.test_frames),
        results={on: {arm: read_result(on, arm) for arm in plan.arms} for on in plan.datasets},
        comparisons={
            on: workspace.read_record(Comparison, workspace.comparison_file(on), f"compare@{on}")
            for on in plan.datasets
        },
        claims={
            on: workspace.read_json(workspace.claims_file(on), f"claims {on}")
            for on in plan.datasets
        },
        figures={
            on: workspace.read_record(FigureList, workspace.figure_list(on), f"figures@{on}").root
            for on in plan.datasets
        },
    )


if __name__ == "__main__":
    run(main)
