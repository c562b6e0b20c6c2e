"""Stage tables: the paper's tables with our numbers, and the headline for DVC."""

from __future__ import annotations

from typing import Any

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

CLAIMS_KEYS = frozenset({"claims", "collapsed", "measures"})
"""Keys that every file claims/<dataset>.json has."""


def main() -> None:
    """Write reports/tables.md and reports/metrics.json from exactly the planned arms."""
    plan = workspace.read_plan(ReportPlan, "report.json")
    report = read_inputs(plan)
    tracker = Tracker(required=False)
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
        comparisons={on: _read_comparison(on, plan) for on in plan.datasets},
        claims={on: _read_claims(on) for on in plan.datasets},
        figures={
            on: workspace.read_record(FigureList, workspace.figure_list(on), f"figures@{on}").root
            for on in plan.datasets
        },
    )


def _read_comparison(dataset: str, plan: ReportPlan) -> Comparison:
    path, target = workspace.comparison_file(dataset), f"compare@{dataset}"
    comparison = workspace.read_record(Comparison, path, target)
    # Where each run has its own split, no arm has an interval.
    missing = set(plan.arms) - comparison.intervals.keys() if comparison.intervals else ()
    if missing:
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}: run `dvc repro {target}`")
    return comparison


def _read_claims(dataset: str) -> dict[str, Any]:
    path = workspace.claims_file(dataset)
    claims: dict[str, Any] = workspace.read_json(path, f"claims {dataset}")
    if missing := CLAIMS_KEYS - claims.keys():
        raise ValueError(
            f"{path} lacks {', '.join(sorted(missing))}, so another version wrote it: "
            f"run `dvc repro claims@{dataset}`"
        )
    return claims


if __name__ == "__main__":
    run(main)
