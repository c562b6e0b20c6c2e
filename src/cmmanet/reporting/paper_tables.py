"""Tables I–V: every published row, and the measured rows below the paper's own."""

from __future__ import annotations

from dataclasses import replace

from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.records import ArmResult
from cmmanet.reporting.audit import marks
from cmmanet.reporting.document import Table, escape, table
from cmmanet.reporting.formats import DASH, against, measured
from cmmanet.reporting.inputs import ReportInputs, title
from cmmanet.reporting.published import HEADLINE, Row
from cmmanet.reporting.published import Table as Published
from cmmanet.reporting.settings import difference


def paper_table(published: Published, plan: ReportInputs, own: list[str]) -> Table:
    """Return a table of the paper with the measured rows of the datasets that were run.

    `own` are the arms that reproduce no row of the paper.
    """
    run = [dataset for dataset in published.datasets if dataset in plan.results]
    rows = []
    for row in published.rows:
        cells = [DASH if value is None else f"{value:.1f}" for value in row.values]
        rows.append([*_names(published.number, row), *cells])
        if row.arm is not None and run:
            arm = plan.headline if row.arm == HEADLINE else row.arm
            rows.append(_measured_row(published, plan, arm, plan.scoring, row.values))
            if not published.steps:
                rows += _reranked_row(published, plan, arm)
    if run and "baseline" in published.arms:
        nothing = (None,) * len(published.columns)
        for arm in own:
            name, source, *cells = _measured_row(published, plan, arm, plan.scoring, nothing)
            rows.append([name, f"{source}; not in the paper", *cells])
    header, texts = _header(published), 2
    if {row[1] for row in rows} == {"the paper"}:
        header, rows, texts = header[:1] + header[2:], [row[:1] + row[2:] for row in rows], 1
    return table(
        f"Table {published.number}. {published.title}",
        header,
        rows,
        texts,
        name=f"table-{published.number.lower()}",
    )


def _header(published: Published) -> list[str]:
    several = len(published.datasets) > 1
    return ["method", "source"] + [
        f"{title(column.dataset)} {METRICS[column.metric]}" if several else METRICS[column.metric]
        for column in published.columns
    ]


def _names(number: str, row: Row) -> tuple[str, str]:
    method = escape(row.method + "*" * row.optical_flow)
    if row.reference is None:
        return method, "the paper"
    if row.arm is not None:
        return escape(f"{row.method} [{row.reference.number}]"), "the paper"
    return f"{method} {marks(number, row.method)}".strip(), escape(
        f"[{row.reference.number}] {row.reference.short}"
    )


def _reranked_row(published: Published, plan: ReportInputs, arm: str) -> list[list[str]]:
    """Return the arm's re-ranked row, in tables that compare methods."""
    reranked = replace(plan.scoring, reranked=True)
    ran = [plan.results[d][arm] for d in published.datasets if arm in plan.results.get(d, {})]
    if not any(str(reranked) in result.mean for result in ran):
        return []
    nothing = (None,) * len(published.columns)
    name, source, *cells = _measured_row(published, plan, arm, reranked, nothing)
    return [[f"{name}, re-ranked", f"{source}; not in the paper", *cells]]


def _measured_row(
    published: Published,
    plan: ReportInputs,
    arm: str,
    scoring: Scoring,
    values: tuple[float | None, ...],
) -> list[str]:
    cells = []
    for column, value in zip(published.columns, values, strict=True):
        result = plan.results.get(column.dataset, {}).get(arm)
        if result is None:
            cells.append("not run")
        elif value is None:
            cells.append(measured(result, scoring, column.metric))
        else:
            intervals = plan.comparisons[column.dataset].intervals
            interval = intervals.get(arm, {}).get(column.metric)
            cells.append(against(result, scoring, column.metric, value, interval))
    return [f"`{arm}`", f"measured{_labels(published, plan, arm)}", *cells]


def _labels(published: Published, plan: ReportInputs, arm: str) -> str:
    """Label numbers that do not come from a full run with the paper's settings."""
    labels = []
    for dataset in published.datasets:
        result = plan.results.get(dataset, {}).get(arm)
        if result is not None and (text := _label(result)):
            prefix = f"{title(dataset)} " if len(published.datasets) > 1 else ""
            labels.append(prefix + text)
    return escape("".join(f"; {label}" for label in labels))


def _label(result: ArmResult) -> str:
    labels = ["partial data"] if result.partial else []
    if difference(result.config):
        labels.append(f"recipe {result.recipe}, not the paper's settings")
    return ", ".join(labels)
