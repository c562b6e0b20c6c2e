"""Tables as CSV: as a page prints them, and the measured numbers for a program."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from cmmanet.evaluation.metrics import METRICS
from cmmanet.reporting.cells import finite
from cmmanet.reporting.parsed import Table, plain
from cmmanet.reporting.results import ArmResult, Metrics

Row = tuple[str, str, str, str, str, str]


def csv_table(table: Table) -> str:
    """A table's cells as on the page, without Markdown's marks."""
    return _csv([plain(cell) for cell in row] for row in (table.header, *table.rows))


def measured_csv(results: Iterable[ArmResult]) -> str:
    """Every measured number, a row each, as a fraction with all its digits.

    The trial is its number, or "mean" or "std" for what is over them. A number that there is
    not is an empty field.
    """
    header = ("dataset", "arm", "trial", "scoring", "metric", "value")
    return _csv([header, *(row for result in results for row in _measured(result))])


def _measured(result: ArmResult) -> Iterator[Row]:
    summaries = [("mean", result["mean"])]
    if result["std"] is not None:
        summaries.append(("std", result["std"]))
    each = [(str(trial["trial"]), trial["metrics"]) for trial in result["trials"]]
    for trial, scorings in (*summaries, *each):
        for scoring, metrics in scorings.items():
            for metric in METRICS:
                value = _number(metrics, metric)
                yield result["dataset"], result["arm"], trial, scoring, metric, value


def _number(metrics: Metrics, metric: str) -> str:
    value = finite(metrics[metric])
    return "" if value is None else repr(value)


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
