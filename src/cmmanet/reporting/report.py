"""The report: one document for reports/tables.md and index.html, and the numbers for DVC.

Both are functions of the report's inputs and the packaged data on the paper alone. The prose is in
`templates/report.md.j2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.records import ArmResult
from cmmanet.params import PAPER_SAMPLER
from cmmanet.params.strict import Strict
from cmmanet.reporting import arm_tables, audit, claims_table, conditions, costs
from cmmanet.reporting.contrasts import (
    INCONCLUSIVE,
    own_contrasts,
    published_contrasts,
    uncertainty,
)
from cmmanet.reporting.document import Document, Figure, Table, render
from cmmanet.reporting.formats import signed
from cmmanet.reporting.inputs import ReportInputs, dataset_heading, is_partial, title
from cmmanet.reporting.paper_tables import paper_table
from cmmanet.reporting.published import HEADLINE, Paper, load_published, own_arms, steps_to_own
from cmmanet.reporting.settings import difference, settings_table
from cmmanet.reporting.summary import extent, headline_numbers, resolved
from cmmanet.reporting.training_warnings import list_warnings


def build_report(plan: ReportInputs) -> Document:
    """Return the report as a document."""
    paper = load_published()
    own = own_arms(plan.arms)
    return render(
        "report.md.j2",
        paper=paper,
        plan=plan,
        extent=extent(plan, paper),
        title=title,
        signed=signed,
        metrics=METRICS,
        listed=lambda datasets: " and ".join(map(title, datasets)),
        runs=conditions.runs_table(plan.results),
        settings=settings_table(plan.results),
        tables={number: _paper_part(number, plan, paper, own) for number in paper.tables},
        audit=_audit(paper),
        datasets=[_dataset(dataset, plan, paper, own) for dataset in plan.results],
        inconclusive=INCONCLUSIVE,
    )


class Headline(Strict):
    """The headline arm's numbers on a dataset, as fractions: an entry of reports/metrics.json.

    `rank1_low` and `rank1_high` are the ends of the 95 % interval over identities, where there is
    one.
    """

    arm: str
    scoring: str
    rank1: float
    rank5: float
    rank10: float
    rank20: float
    map: float
    map_step: float
    rank1_std: float | None
    rank1_low: float | None
    rank1_high: float | None
    trials: int
    partial: bool
    recipe: str
    papers_settings: bool


def headline_metrics(plan: ReportInputs) -> dict[str, Headline]:
    """Return the content of reports/metrics.json, by planned dataset."""
    return {dataset: _headline(arms[plan.headline], plan) for dataset, arms in plan.results.items()}


def _headline(result: ArmResult, plan: ReportInputs) -> Headline:
    scoring = str(plan.scoring)
    interval = plan.comparisons[result.dataset].intervals.get(plan.headline)
    low, high = (None, None) if interval is None else interval["rank1"]
    return Headline(
        arm=plan.headline,
        scoring=scoring,
        rank1_std=None if result.std is None else result.std[scoring]["rank1"],
        rank1_low=low,
        rank1_high=high,
        trials=len(result.trials),
        partial=result.partial,
        recipe=result.recipe,
        papers_settings=not difference(result.config),
        **{metric: result.mean[scoring][metric] for metric in METRICS},
    )


def _paper_part(number: str, plan: ReportInputs, paper: Paper, own: list[str]) -> dict[str, Any]:
    """Return a table of the paper with its contrasts, and what to know of each dataset."""
    published = paper.tables[number]
    run = [dataset for dataset in published.datasets if dataset in plan.results]
    arms = [plan.headline if arm == HEADLINE else arm for arm in published.arms]
    shown = {d: [plan.results[d][arm] for arm in arms if arm in plan.results[d]] for d in run}
    measured = [dataset for dataset in run if shown[dataset] or own]
    steps = steps_to_own(own, plan.headline)
    return {
        "title": f"Table {number}. {published.title}",
        "table": paper_table(published, plan, own),
        "contrasts": published_contrasts(published, plan) if published.steps else None,
        "own": [
            contrasts
            for dataset in measured
            if "baseline" in published.arms
            and (contrasts := own_contrasts(plan, dataset, steps)) is not None
        ],
        "conditions": [
            conditions.line(shown[dataset] or list(plan.results[dataset].values()), plan.scoring)
            for dataset in measured
        ],
        "uncertainty": [
            (title(dataset), uncertainty(plan.comparisons[dataset]))
            for dataset in measured
            if published.steps
        ],
        "partial": [title(d) for d in measured if is_partial(plan.results[d].values())],
        "not_run": [title(dataset) for dataset in published.datasets if dataset not in run],
        "no_arm": [title(dataset) for dataset in run if dataset not in measured],
        "other_sampler": HEADLINE in published.arms and bool(run) and plan.sampler != PAPER_SAMPLER,
        "notes": [paper.notes[d] for d in run if d in paper.notes],
    }


def _audit(paper: Paper) -> dict[str, Any]:
    found = audit.load_audit()
    rows = {row for finding in found.findings for row in finding.rows}
    wrong = {
        row
        for finding in found.findings
        if finding.problem in ("misquoted", "mislabelled")
        for row in finding.rows
    }
    return {
        "findings": audit.findings_table(),
        "missing": audit.missing_table(),
        "consequences": audit.consequences(paper),
        "rows": len(rows),
        "wrong": len(wrong),
        "total": sum(len(paper.tables[number].rows) - 1 for number in ("I", "II")),
        "first": next(audit.corrected_gains(paper)),
    }


def _dataset(dataset: str, plan: ReportInputs, paper: Paper, own: list[str]) -> dict[str, Any]:
    """Return everything that the template prints of a dataset."""
    arms, comparison = plan.results[dataset], plan.comparisons[dataset]
    claims = plan.claims[dataset]
    components, sampling = paper.tables["IV"], paper.tables["III"]
    published = paper.tables_on(dataset)
    contrasts = None
    if not published:
        # The paper's contrasts are judged below its own tables where it has the dataset.
        steps = [*components.steps, *sampling.steps, *steps_to_own(own, plan.headline)]
        contrasts = own_contrasts(plan, dataset, steps)
    every = list(arms.values())
    return {
        "name": title(dataset),
        "heading": dataset_heading(dataset),
        "folder": dataset,
        "note": DATASETS[dataset].note,
        "partial": conditions.missing_data(every),
        "headline": headline_numbers(dataset, plan, paper),
        "runs": conditions.count_runs([arms[plan.headline]]),
        "gains": resolved(comparison),
        "claims": claims,
        "verdicts": claims_table.count_verdicts(claims["claims"]),
        "optimised": claims_table.count_optimised(claims["claims"]),
        "conditions": conditions.line(every, plan.scoring),
        "protocol": conditions.protocol(every),
        "metrics": arm_tables.metrics_table(
            dataset, arms, sampling.arms | components.arms, plan.scoring, plan.headline
        ),
        "contrasts": contrasts,
        "uncertainty": uncertainty(comparison),
        "intervals": arm_tables.intervals_table(dataset, arms, plan.scoring, comparison),
        "identities": comparison.people,
        "scorings": arm_tables.scorings_tables(dataset, arms, plan.scoring),
        "reranking": conditions.reranking(every),
        "warnings": list_warnings(arms),
        "figures": figures(dataset, plan),
        "costs": costs.costs_table(f"{title(dataset)}: costs", arms),
        "noise": costs.noise(arms),
        "each": arm_tables.runs_tables(dataset, arms, plan.scoring),
        "attention": _attention(dataset, claims) if claims["measures"] else None,
    }


def _attention(dataset: str, claims: claims_table.Claims) -> dict[str, Any]:
    tables: list[Table] = claims_table.measures_tables(dataset, claims)
    if claims["claims"]:
        tables = [claims_table.comparisons_table(dataset, claims), *tables]
    return {
        "summary": claims_table.summary_table(dataset, claims) if claims["claims"] else None,
        "details": tables,
        "collapsed": claims_table.collapsed_places(claims),
    }


def figures(dataset: str, plan: ReportInputs) -> Sequence[Figure]:
    """Return the figures of a dataset, with their files relative to reports/."""
    return [
        Figure(
            figure.file and f"figures/{dataset}/{figure.file}",
            figure.title,
            figure.caption,
            figure.alt,
            f"the paper's {figure.paper}" if figure.paper else "",
        )
        for figure in plan.figures[dataset]
    ]
