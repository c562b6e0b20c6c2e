"""Numbers, Markdown tables and paragraphs as text."""

from collections.abc import Iterable, Sequence
from textwrap import wrap

from tabulate import tabulate

from cmmanet.reporting.results import ArmResult

DASH = "–"
WIDTH = 100


def percent(fraction: float) -> str:
    """A fraction as percent with one decimal, without the sign of a rounded-away negative.

    >>> percent(0.8812)
    '88.1'
    """
    return f"{_tenths(100 * fraction):.1f}"


def signed(points: float) -> str:
    """A difference in percentage points, with a real minus sign; zero has no sign.

    >>> signed(-0.6), signed(0.25), signed(-0.01)
    ('−0.6', '+0.2', '0.0')
    """
    rounded = _tenths(points)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded):.1f}"


def measured(result: ArmResult, frames: str, metric: str) -> str:
    """Mean ± sample standard deviation over the trials; one trial has no ±."""
    mean = percent(result["mean"][frames][metric])
    if result["std"] is None:
        return mean
    return f"{mean} ± {percent(result['std'][frames][metric])}"


def against(result: ArmResult, frames: str, metric: str, published: float) -> str:
    """The measured cell with its difference to a published percentage.

    The difference is taken from the mean as printed, so that the page's own arithmetic holds.
    On partial data there is none: other queries against another gallery cannot be subtracted.
    """
    cell = measured(result, frames, metric)
    if result["partial"]:
        return cell
    return f"{cell} ({signed(_tenths(100 * result['mean'][frames][metric]) - published)})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    """A GitHub-flavoured table: the first `texts` columns flush left, numbers flush right."""
    return tabulate(
        [list(row) for row in rows],
        headers=list(header),
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left"] * texts + ["right"] * (len(header) - texts),
    )


def escape(text: str) -> str:
    """Text with what Markdown would read as emphasis or as a cell border taken literally."""
    return text.replace("*", r"\*").replace("|", r"\|")


def paragraph(text: str, *, indent: str = "") -> str:
    """One paragraph, wrapped so that the raw file reads well too."""
    lines = wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def bullets(items: Iterable[str]) -> str:
    """A list, one wrapped item each."""
    return "\n".join(paragraph(item, indent="- ") for item in items)


def distinct(values: Iterable[str]) -> str:
    """The different values in the order of their first appearance."""
    return " / ".join(dict.fromkeys(values))


def span(values: Iterable[int]) -> str:
    """A whole number, or the range that several cover.

    >>> span([12180]), span([3, 10, 3])
    ('12,180', '3–10')
    """
    ordered = sorted(values)
    ends = dict.fromkeys((ordered[0], ordered[-1]))
    return "–".join(f"{value:,}" for value in ends)


def _tenths(value: float) -> float:
    # Adding 0.0 turns the −0.0 that rounding leaves into 0.0.
    return round(value, 1) + 0.0
