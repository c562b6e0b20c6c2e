"""Numbers and lists of arms as text."""

from collections.abc import Iterable, Mapping, Sequence

from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.records import ArmResult

DASH = "–"


def percent(fraction: float | None) -> str:
    """Return a fraction as percent with one decimal, without the sign of a rounded-away negative.

    >>> percent(0.8812), percent(None)
    ('88.1', '–')
    """
    return DASH if fraction is None else f"{_tenths(100 * fraction):.1f}"


def signed(points: float) -> str:
    """Return a difference in percentage points, with a real minus sign; zero has no sign.

    >>> signed(-0.6), signed(0.25), signed(-0.01)
    ('−0.6', '+0.2', '0.0')
    """
    rounded = _tenths(points)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded):.1f}"


def measured(result: ArmResult, scoring: Scoring, metric: str) -> str:
    """Return mean ± sample standard deviation over runs; a single run has no ±."""
    mean = percent(result.mean[str(scoring)][metric])
    return mean if result.std is None else f"{mean} ± {percent(result.std[str(scoring)][metric])}"


def against(
    result: ArmResult,
    scoring: Scoring,
    metric: str,
    published: float,
    interval: Sequence[float] | None,
) -> str:
    """Return the measured cell with its difference to a published percentage.

    The difference is taken from the mean as printed, so the page's own arithmetic holds. A tilde
    marks a published value within the measured one's `interval`. On partial data there is no
    difference: the queries and the gallery are others.
    """
    cell = measured(result, scoring, metric)
    if result.partial:
        return cell
    within = interval is not None and interval[0] <= published / 100 <= interval[1]
    difference = _tenths(100 * result.mean[str(scoring)][metric]) - published
    return f"{cell} ({'~' * within}{signed(difference)})"


def distinct(values: Iterable[str]) -> str:
    """Return the different values in the order of their first appearance."""
    return " / ".join(dict.fromkeys(values))


def by_arm(values: Mapping[str, str]) -> str:
    """Return the value of most arms, and the other arms with theirs.

    >>> by_arm({"a": "0.1", "b": "0", "c": "0.1"})
    '0.1 (0 for `b`)'
    """
    arms = _arms_of(values)
    usual = max(arms, key=lambda value: len(arms[value]))
    others = [f"{value} for {names(arms[value])}" for value in arms if value != usual]
    return f"{usual} ({'; '.join(others)})" if others else usual


def where(values: Mapping[str, str]) -> list[str]:
    """Return each text that is not empty, after the names of its arms unless it holds for all.

    >>> where({"a": "", "b": "with bf16"})
    ['`b` with bf16']
    """
    arms = _arms_of(values)
    return [
        text if len(arms) == 1 else f"{names(having)} {text}"
        for text, having in arms.items()
        if text
    ]


def names(arms: Iterable[str]) -> str:
    """Return the arms' names as code."""
    return ", ".join(f"`{arm}`" for arm in arms)


def span(values: Iterable[int]) -> str:
    """Return a whole number, or the range that several cover.

    >>> span([12180]), span([3, 10, 3])
    ('12,180', '3–10')
    """
    ordered = sorted(values)
    ends = dict.fromkeys((ordered[0], ordered[-1]))
    return "–".join(f"{value:,}" for value in ends)


def _arms_of(values: Mapping[str, str]) -> dict[str, list[str]]:
    arms: dict[str, list[str]] = {}
    for arm, value in values.items():
        arms.setdefault(value, []).append(arm)
    return arms


def _tenths(value: float) -> float:
    # Adding 0.0 turns the −0.0 that rounding leaves into 0.0.
    return round(value, 1) + 0.0
