"""Stage page: the report as one HTML file, and its tables as CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from cmmanet.evaluation.records import EvaluateResult
from cmmanet.params import ReportPlan
from cmmanet.reporting.document import Document, csv_table
from cmmanet.reporting.figures.entry import Figure
from cmmanet.reporting.latex import latex_table
from cmmanet.reporting.measured import measured_csv
from cmmanet.reporting.page.content import DatasetContent
from cmmanet.reporting.page.render import render_page
from cmmanet.reporting.report import build_report
from pipeline.parts import workspace
from pipeline.parts.command import run
from pipeline.tables import read_inputs


def main() -> None:
    """Write the report as reports/index.html, and its tables as CSV and LaTeX."""
    plan = workspace.read_plan(ReportPlan, "report.json")
    inputs = read_inputs(plan)
    document = build_report(inputs)
    results = [result for arms in inputs.results.values() for result in arms.values()]
    datasets = [_shown(dataset, inputs.figures[dataset]) for dataset in plan.datasets]
    page = workspace.REPORTS / "index.html"
    workspace.write_text(page, render_page(document, plan.arms, plan.headline, results, datasets))
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    _write_tables(document, results)


def _write_tables(document: Document, results: Iterable[EvaluateResult]) -> None:
    """Write the folder whole: a table that is gone leaves no file behind."""
    with workspace.whole_folder(workspace.REPORTS / "tables") as folder:
        for table in document.tables:
            (folder / f"{table.name}.csv").write_text(csv_table(table), encoding="utf-8")
            (folder / f"{table.name}.tex").write_text(latex_table(table), encoding="utf-8")
        (folder / "measured.csv").write_text(measured_csv(results), encoding="utf-8")
    print(f"{workspace.REPORTS / 'tables'}: {len(document.tables)} tables")


def _shown(dataset: str, figures: Iterable[Figure]) -> DatasetContent:
    """Read the curves and images of a dataset; stages that were not run leave theirs empty."""
    folder = workspace.figure_folder(dataset)
    names = [figure.file for figure in figures if figure.file is not None]
    retrievals = workspace.retrieval_file(dataset)
    return DatasetContent(
        dataset,
        {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()},
        _rows(workspace.curve_folder(dataset) / "cmc.csv"),
        _rows(workspace.curve_folder(dataset) / "training.csv"),
        workspace.read_json(retrievals, f"retrievals {dataset}") if retrievals.is_file() else None,
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    # An arm may be called what pandas takes for a missing number.
    table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    # Columns of numbers hold NaN where an arm has no such number; the page wants None.
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


if __name__ == "__main__":
    run(main)
