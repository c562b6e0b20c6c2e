"""Stage tables: the paper's tables beside our numbers, and the headline for DVC."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cmmanet.params import ReportPlan
from cmmanet.reporting.results import planned
from cmmanet.reporting.tables import headline_metrics, render_tables
from pipeline.parts import workspace
from pipeline.parts.command import run
from pipeline.parts.tracking import Tracker


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
    comparisons = _of_each(plan, "compare", workspace.comparison_file)
    claims = _of_each(plan, "claims", workspace.claims_file)
    figures = _of_each(plan, "figures", workspace.figure_list)
    tracker = Tracker()
    report = planned(plan.model_dump(mode="json"), results, comparisons, claims, figures)
    tables = workspace.REPORTS / "tables.md"
    workspace.write_text(tables, render_tables(report))
    workspace.write_json(workspace.REPORTS / "metrics.json", headline_metrics(report))
    for result in results.values():
        tracker.artifact(result["mlflow_run"], tables)
    print(f"{tables} and {workspace.REPORTS / 'metrics.json'}: headline {plan.headline}")


def _of_each(plan: ReportPlan, stage: str, file: Callable[[str], Path]) -> dict[str, Any]:
    """What a stage has found, by dataset."""
    return {name: workspace.read_json(file(name), f"{stage} {name}") for name in plan.datasets}


if __name__ == "__main__":
    run(main)
