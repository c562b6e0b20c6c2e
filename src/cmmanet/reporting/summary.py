"""First screen of the report: what was reproduced, the headline, and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.evaluation.comparison import Comparison
from cmmanet.evaluation.metrics import METRICS
from cmmanet.params import PAPER_SAMPLER
from cmmanet.reporting.formats import measured, percent
from cmmanet.reporting.inputs import ReportInputs, is_partial
from cmmanet.reporting.published import HEADLINE, Paper
from cmmanet.reporting.settings import difference

_METRICS = ("rank1", "map")


class Extent(NamedTuple):
    """Datasets by what was run: of the paper in full, in part, not at all; and others.

    Those in full are apart by whether all arms had the paper's settings.
    """

    full: Sequence[str]
    deviating: Sequence[str]
    partial: Sequence[str]
    absent: Sequence[str]
    beyond: Sequence[str]


class Number(NamedTuple):
    """A metric of the headline arm, as printed; None where there is no such value."""

    metric: str
    value: str
    interval: tuple[str, str] | None
    published: float | None


class Resolved(NamedTuple):
    """Number of contrasts, in R1 and in mAP, by verdict."""

    total: int
    up: int
    down: int
    inconclusive: int


def extent(plan: ReportInputs, paper: Paper) -> Extent:
    """Return which datasets were run."""
    in_paper = [dataset for dataset in DATASETS if paper.tables_on(dataset)]
    partial = [d for d in in_paper if d in plan.results and is_partial(plan.results[d].values())]
    absent = [dataset for dataset in in_paper if dataset not in plan.results]
    full = [dataset for dataset in in_paper if dataset not in {*absent, *partial}]
    deviating = [d for d in full if any(difference(r.config) for r in plan.results[d].values())]
    return Extent(
        full=[dataset for dataset in full if dataset not in deviating],
        deviating=deviating,
        partial=partial,
        absent=absent,
        beyond=[dataset for dataset in plan.results if dataset not in in_paper],
    )


def headline_numbers(dataset: str, plan: ReportInputs, paper: Paper) -> list[Number]:
    """Return R1 and mAP of the headline arm with their uncertainty."""
    result = plan.results[dataset][plan.headline]
    intervals: Mapping[str, Sequence[float]] = plan.comparisons[dataset].intervals.get(
        plan.headline, {}
    )
    return [
        Number(
            METRICS[metric],
            measured(result, plan.scoring, metric),
            (percent(intervals[metric][0]), percent(intervals[metric][1]))
            if metric in intervals
            else None,
            _published(dataset, metric, plan, paper),
        )
        for metric in _METRICS
    ]


def resolved(comparison: Comparison) -> Resolved:
    """Count the contrasts of a dataset by verdict."""
    gains = [step.metrics[metric] for step in comparison.steps for metric in _METRICS]
    up, down = (
        sum(gain.resolved is True and (gain.gain > 0) == positive for gain in gains)
        for positive in (True, False)
    )
    return Resolved(len(gains), up, down, sum(gain.resolved is None for gain in gains))


def _published(dataset: str, metric: str, plan: ReportInputs, paper: Paper) -> float | None:
    """Return the published headline; None where there is none, or the two do not compare."""
    result = plan.results[dataset][plan.headline]
    if is_partial([result]) or plan.sampler != PAPER_SAMPLER or difference(result.config):
        return None
    for table in paper.tables.values():
        for place, column in enumerate(table.columns):
            for row in table.rows:
                if row.arm == HEADLINE and (column.dataset, column.metric) == (dataset, metric):
                    return row.values[place]
    return None
