"""Tables I–V: every published row, and the measured rows under the paper's own."""

from dataclasses import replace

from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.records import ArmResult
from cmmanet.params import PAPER_SAMPLER
from cmmanet.reporting.inputs import ReportInputs, is_partial, title
from cmmanet.reporting.markdown import DASH, against, escape, measured, paragraph, table
from cmmanet.reporting.published import HEADLINE, Paper, Row, Table, own_arms, steps_to_own
from cmmanet.reporting.settings import deviation_mark
from cmmanet.reporting.steps import own_steps, published_steps, sureness

PARTIAL = (
    "only a part of the dataset was there. Other queries against another gallery make another "
    "task, so no difference to a published value is given."
)


def paper_table(published: Table, plan: ReportInputs, paper: Paper) -> str:
    """Return one table of the paper with the measured rows and their notes."""
    own = own_arms(plan.arms) if _has_components(published) else []
    parts = [
        f"## Table {published.number}. {published.title}",
        paragraph(escape(published.legend)),
        table(_header(published), _rows(published, plan, own), texts=2),
    ]
    if HEADLINE in published.arms and plan.sampler != PAPER_SAMPLER:
        parts.append(
            paragraph(
                f"The measured row is the headline arm `{plan.headline}`, trained with the "
                f"sampler {plan.sampler}; the published row is random interval sampling."
            )
        )
    if published.steps:
        parts += ["The differences that the paper draws from it:", published_steps(published, plan)]
    for dataset in published.datasets:
        if dataset in plan.results:
            parts += _notes(published, plan, dataset, own)
            parts.append(paragraph(paper.notes.get(dataset, "")))
        else:
            parts.append(f"{title(dataset)} was not run: it is not in `datasets` of params.yaml.")
    return "\n\n".join(part for part in parts if part)


def _has_components(published: Table) -> bool:
    return "baseline" in published.arms


def _header(published: Table) -> list[str]:
    prefixes = [
        f"{title(column.dataset)} " if len(published.datasets) > 1 else ""
        for column in published.columns
    ]
    metrics = [METRICS[column.metric] for column in published.columns]
    return ["method", "source", *map("".join, zip(prefixes, metrics, strict=True))]


def _rows(published: Table, plan: ReportInputs, own: list[str]) -> list[list[str]]:
    rows = []
    for row in published.rows:
        cells = [DASH if value is None else f"{value:.1f}" for value in row.values]
        rows.append([*_names(row), *cells])
        if row.arm is not None:
            arm = plan.headline if row.arm == HEADLINE else row.arm
            rows.append(_measured_row(published, plan, arm, plan.scoring, row.values))
            if not published.steps:
                rows += _reranked_row(published, plan, arm)
    if plan.results.keys() & set(published.datasets):
        nothing = (None,) * len(published.columns)
        for arm in own:
            name, source, *cells = _measured_row(published, plan, arm, plan.scoring, nothing)
            rows.append([name, f"{source}; not in the paper", *cells])
    return rows


def _names(row: Row) -> tuple[str, str]:
    method = escape(row.method + "*" * row.optical_flow)
    if row.reference is None:
        return method, "the paper"
    if row.arm is not None:
        return f"{method} [{row.reference.number}]", "the paper"
    return method, f"[{row.reference.number}] {row.reference.short}"


def _reranked_row(published: Table, plan: ReportInputs, arm: str) -> list[list[str]]:
    """Return the arm's re-ranked row, in tables that compare methods."""
    reranked = replace(plan.scoring, reranked=True)
    ran = [plan.results[d][arm] for d in published.datasets if arm in plan.results.get(d, {})]
    if not any(str(reranked) in result.mean for result in ran):
        return []
    nothing = (None,) * len(published.columns)
    name, source, *cells = _measured_row(published, plan, arm, reranked, nothing)
    return [[f"{name}, re-ranked [42]", f"{source}; not in the paper", *cells]]


def _measured_row(
    published: Table,
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


def _labels(published: Table, plan: ReportInputs, arm: str) -> str:
    """Label numbers that do not come from a full run with the paper's settings."""
    labels = []
    for dataset in published.datasets:
        result = plan.results.get(dataset, {}).get(arm)
        if result is not None and (marks := _marks(result)):
            prefix = f"{title(dataset)} " if len(published.datasets) > 1 else ""
            labels.append(prefix + ", ".join(marks))
    return escape("".join(f"; {label}" for label in labels))


def _marks(result: ArmResult) -> list[str]:
    marks = ["partial data" if result.partial else "", deviation_mark(result)]
    return [mark for mark in marks if mark]


def _notes(published: Table, plan: ReportInputs, dataset: str, own: list[str]) -> list[str]:
    reproducing = [plan.headline if arm == HEADLINE else arm for arm in published.arms]
    ran = plan.results[dataset]
    shown = [ran[arm] for arm in dict.fromkeys([*reproducing, *own]) if arm in ran]
    if not shown:
        return [f"None of this table's arms was run on {title(dataset)}."]
    name = title(dataset)
    notes = [
        own_steps(plan, dataset, steps_to_own(own, plan.headline)),
        sureness(dataset, plan.comparisons[dataset]) if published.steps else "",
        f"For the conditions of the numbers on {name}, see *{name}: every metric*.",
    ]
    if is_partial(shown):
        notes.append(paragraph(f"**Partial data:** {PARTIAL}"))
    return notes
