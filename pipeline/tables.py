"""Stage tables: the paper's tables beside our numbers, and the headline for DVC."""

from __future__ import annotations

from typing import Any

from cmmanet.params import ReportPlan
from cmmanet.reporting.tables import headline_metrics, render_tables
from pipeline import workspace
from pipeline.command import run
from pipeline.tracking import Tracker


def main() -> None:
    """Write reports/tables.md and reports/metrics.json from exactly the planned arms."""
    plan = workspace.read_plan(ReportPlan, "report.json")
    results: dict[tuple[str, str], Any] = {
        (dataset, arm): workspace.read_json(
            workspace.result_file(dataset, arm), f"evaluate {dataset} {arm}"
        )
        for dataset in plan.datasets
        for arm in plan.arms
    }
    comparisons: dict[str, Any] = {
        dataset: workspace.read_json(workspace.comparison_file(dataset), f"compare {dataset}")
        for dataset in plan.datasets
    }
    tracker = Tracker()
    report = plan.model_dump(mode="json")
    tables = workspace.REPORTS / "tables.md"
    workspace.write_text(tables, render_tables(report, results, comparisons))
    headline = headline_metrics(report, results, comparisons)
    workspace.write_json(workspace.REPORTS / "metrics.json", headline)
    for result in results.values():
        tracker.artifact(result["mlflow_run"], tables)
    print(f"{tables} and {workspace.REPORTS / 'metrics.json'}: headline {plan.headline}")


if __name__ == "__main__":
    run(main)
