"""Differences between arms: published, measured, and whether the runs resolve them."""

from collections.abc import Iterable

from cmmanet.evaluation.comparison import Comparison
from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.uncertainty import Gain
from cmmanet.reporting.inputs import ReportInputs, is_partial, title
from cmmanet.reporting.markdown import DASH, paragraph, percent, signed, table
from cmmanet.reporting.published import Column, Table
from cmmanet.reporting.settings import deviation_mark

NO_TELLING = (
    "No telling: there are too few trainings or people to judge by (one trial, or a spread with "
    "fewer than 3 degrees of freedom), or the trainings show no spread at all."
)


def published_steps(published: Table, plan: ReportInputs) -> str:
    """Return every difference that a table of the paper supports, published and measured."""
    rows = [
        [
            f"`{before}` → `{after}`",
            f"{title(column.dataset)} {METRICS[column.metric]}",
            signed(difference),
            *_measured(plan, column, before, after, difference),
        ]
        for before, after in published.steps
        for place, column in enumerate(published.columns)
        if (difference := published_difference(published, before, after, place)) is not None
    ]
    header = ["step", "metric", "the paper", "measured", "by our data"]
    return table(header, rows, texts=2, last_text=True)


def published_difference(published: Table, before: str, after: str, place: int) -> float | None:
    """Return a step's gain in a column of the paper, in points; None where a number is missing."""
    values = {row.arm: row.values[place] for row in published.rows if row.arm is not None}
    low, high = values[before], values[after]
    return None if low is None or high is None else high - low


def own_steps(plan: ReportInputs, dataset: str, steps: Iterable[tuple[str, str]]) -> str:
    """Return a table of steps without published numbers; empty if none was run."""
    rows = []
    for before, after in steps:
        for metric in ("rank1", "map"):
            gain = plan.gain(dataset, before, after, metric)
            if gain is not None:
                step = f"`{before}` → `{after}`"
                rows.append([step, METRICS[metric], with_half_width(gain), verdict(gain)])
    if not rows:
        return ""
    return table(["step", "metric", "gain", "by our data"], rows, texts=2, last_text=True)


def with_half_width(gain: Gain) -> str:
    """Return a gain in points with half of its interval, where that is known."""
    points = signed(100 * gain.gain)
    return points if gain.half_width is None else f"{points} ± {percent(gain.half_width)}"


def verdict(gain: Gain, published: float | None = None) -> str:
    """Return whether the data resolve a gain, and whether they contradict the published one."""
    if gain.half_width is None:
        return "no telling"
    words = "resolved" if gain.resolved else "not resolved"
    if published is not None:
        if gain.resolved and gain.gain * published < 0:
            words += ", the other way"
        elif abs(100 * gain.gain - published) > 100 * gain.half_width:
            words += "; the paper's lies outside"
    return words


def sureness(dataset: str, comparison: Comparison) -> str:
    """Describe the basis of the intervals of a dataset's steps."""
    spread, trials = comparison.training["rank1"], comparison.trials
    asked = f"{comparison.queries:,} queries are of {comparison.people:,} people"
    known = (
        f"trainings of one arm differ by {percent(spread.std)} points of R1 (standard "
        f"deviation, pooled over arms, {spread.degrees} degrees of freedom)"
    )
    if trials == 1:
        words = (
            f"{asked}; there is one trial, so that nobody knows what another training would give"
        )
    elif spread.std is None:
        words = f"{asked}; the spread of trainings is taken from several arms, and there is one"
    elif comparison.test_to_train is not None:
        words = (
            f"{trials} splits of the same people overlap, which the intervals of gains make up for "
            f"(Nadeau and Bengio's corrected t); {known}"
        )
    else:
        words = f"{asked}; {known}. The intervals of gains cover other trainings and other people"
    return paragraph(f"How sure on {title(dataset)}: {words}.")


def _measured(
    plan: ReportInputs, column: Column, before: str, after: str, difference: float
) -> tuple[str, str]:
    gain = plan.gain(column.dataset, before, after, column.metric)
    if gain is None:
        return "not run", DASH
    arms = [plan.results[column.dataset][arm] for arm in (before, after)]
    comparable = not is_partial(arms) and not any(map(deviation_mark, arms))
    return with_half_width(gain), verdict(gain, difference if comparable else None)
