"""Contrasts between arms: published, measured, and whether the runs resolve them."""

from __future__ import annotations

from collections.abc import Iterable

from cmmanet.evaluation.comparison import Comparison
from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.uncertainty import Gain
from cmmanet.reporting.document import Table, table
from cmmanet.reporting.formats import DASH, percent, signed
from cmmanet.reporting.inputs import ReportInputs, is_partial, title
from cmmanet.reporting.published import Column
from cmmanet.reporting.published import Table as Published
from cmmanet.reporting.settings import difference

INCONCLUSIVE = (
    "*Inconclusive*: too few runs or identities to judge (one run, fewer than 3 degrees of "
    "freedom, or runs without any spread)"
)


def published_contrasts(published: Published, plan: ReportInputs) -> Table:
    """Return the differences that a table of the paper supports, published and measured.

    It is a detail if none of its datasets was run.
    """
    rows = [
        [
            contrast(before, after),
            f"{title(column.dataset)} {METRICS[column.metric]}",
            signed(difference),
            *_measured(plan, column, before, after, difference),
        ]
        for before, after in published.steps
        for place, column in enumerate(published.columns)
        if (difference := published_difference(published, before, after, place)) is not None
    ]
    return table(
        f"Table {published.number}: contrasts",
        ["contrast", "metric", "the paper", "measured", "verdict"],
        rows,
        texts=2,
        alignment="llrrl",
        detail=not plan.results.keys() & set(published.datasets),
    )


def contrast(before: str, after: str) -> str:
    """Return the two arms as a table's first cell."""
    return f"`{before}` → `{after}`"


def published_difference(published: Published, before: str, after: str, place: int) -> float | None:
    """Return a contrast in a column of the paper, in points; None where a number is missing."""
    values = {row.arm: row.values[place] for row in published.rows if row.arm is not None}
    low, high = values[before], values[after]
    return None if low is None or high is None else high - low


def own_contrasts(
    plan: ReportInputs, dataset: str, steps: Iterable[tuple[str, str]]
) -> Table | None:
    """Return a table of contrasts without published numbers; None if none was run."""
    metrics = ("rank1", "map")
    rows = []
    for before, after in dict.fromkeys(steps):
        gains = [plan.gain(dataset, before, after, metric) for metric in metrics]
        if gains[0] is not None:
            cells = [cell for g in gains if g for cell in (with_half_width(g), verdict(g))]
            rows.append([contrast(before, after), *cells])
    if not rows:
        return None
    header = ["contrast", "R1", "verdict on R1", "mAP", "verdict on mAP"]
    return table(f"{title(dataset)}: contrasts", header, rows, texts=1, alignment="lrlrl")


def with_half_width(gain: Gain) -> str:
    """Return a gain in points with half of its interval, where that is known."""
    points = signed(100 * gain.gain)
    return points if gain.half_width is None else f"{points} ± {percent(gain.half_width)}"


def verdict(gain: Gain, published: float | None = None) -> str:
    """Return whether the data resolve a gain, and whether they contradict the published one."""
    if gain.half_width is None:
        return "inconclusive"
    words = "resolved" if gain.resolved else "not resolved"
    if published is not None:
        if gain.resolved and gain.gain * published < 0:
            words += ", the other way"
        elif abs(100 * gain.gain - published) > 100 * gain.half_width:
            words += ", published value outside"
    return words


def uncertainty(comparison: Comparison) -> str:
    """Describe the basis of the intervals of a dataset's contrasts, in one line."""
    spread, trials = comparison.training["rank1"], comparison.trials
    asked = f"{comparison.queries:,} queries from {comparison.people:,} identities"
    known = (
        f"runs of one arm differ by {percent(spread.std)} points of R1 (standard deviation pooled "
        f"over arms, {spread.degrees} degrees of freedom)"
    )
    if trials == 1:
        return f"{asked}; with one run per arm, the variation between runs is unknown"
    if spread.std is None:
        return f"{asked}; the variation between runs needs several arms, and there is one"
    if comparison.test_to_train is not None:
        return (
            f"{trials} overlapping splits of the same identities (Nadeau and Bengio's corrected "
            f"t); {known}"
        )
    return f"{asked}; {known}"


def _measured(
    plan: ReportInputs, column: Column, before: str, after: str, published: float
) -> tuple[str, str]:
    gain = plan.gain(column.dataset, before, after, column.metric)
    if gain is None:
        return "not run", DASH
    arms = [plan.results[column.dataset][arm] for arm in (before, after)]
    comparable = not is_partial(arms) and not any(difference(result.config) for result in arms)
    return with_half_width(gain), verdict(gain, published if comparable else None)
