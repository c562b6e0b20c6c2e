"""Stage page: the report as one HTML file, and its tables as CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from cmmanet.evaluation.records import EvaluateResult
from cmmanet.params import ReportPlan
from cmmanet.reporting.figures.entry import FigureList
from cmmanet.reporting.forms import csv_table, measured_csv
from cmmanet.reporting.latex import latex_table
from cmmanet.reporting.markdown_tables import parser, tables_in
from cmmanet.reporting.page.content import DatasetContent
from cmmanet.reporting.page.render import render_page
from pipeline.parts import workspace
from pipeline.parts.command import run
from pipeline.parts.results import read_result


def main() -> None:
    """Write reports/index.html and reports/tables/ from reports/tables.md and what is behind it."""
    plan = workspace.read_plan(ReportPlan, "report.json")
    source = workspace.REPORTS / "tables.md"
    if not source.is_file():
        raise FileNotFoundError(f"{source}: not there; run the stage tables first")
    text = source.read_text(encoding="utf-8")
    results = [read_result(dataset, arm) for dataset in plan.datasets for arm in plan.arms]
    datasets = [_shown(dataset) for dataset in plan.datasets]
    page = workspace.REPORTS / "index.html"
    workspace.write_text(page, render_page(text, plan.arms, plan.headline, results, datasets))
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    _write_forms(text, results)


def _write_forms(text: str, results: Iterable[EvaluateResult]) -> None:
    """The folder is written whole: a table that is gone leaves no file behind."""
    tables = tables_in(parser().parse(text))
    with workspace.whole_folder(workspace.REPORTS / "tables") as folder:
        for table in tables:
            (folder / f"{table.name}.csv").write_text(csv_table(table), encoding="utf-8")
            (folder / f"{table.name}.tex").write_text(latex_table(table), encoding="utf-8")
        (folder / "measured.csv").write_text(measured_csv(results), encoding="utf-8")
    print(f"{workspace.REPORTS / 'tables'}: {len(tables)} tables")


def _shown(dataset: str) -> DatasetContent:
    """What there is to look at; stages that were not run leave their part empty."""
    folder = workspace.figure_folder(dataset)
    listed = folder / "figures.json"
    figures = FigureList(())
    if listed.is_file():
        figures = workspace.read_record(FigureList, listed, f"figures@{dataset}")
    names = [figure.file for figure in figures.root if figure.file is not None]
    retrievals = workspace.retrieval_file(dataset)
    return DatasetContent(
        dataset,
        figures.root,
        {name: (folder / name).read_bytes() for name in names},
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
