"""Tables as CSV: as a page prints them, and the measured numbers for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.records import ArmResult
from cmmanet.reporting.markdown_tables import Table, plain

Row = tuple[str, str, str, str, str, str]


def csv_table(table: Table) -> str:
    """Return a table's cells as on the page, without Markdown's marks."""
    return _csv([plain(cell) for cell in row] for row in (table.header, *table.rows))


def measured_csv(results: Iterable[ArmResult]) -> str:
    """Return every measured number, one per row, as a fraction with all its digits.

    The trial is its number, or "mean" or "std" over runs.
    """
    header = ("dataset", "arm", "trial", "scoring", "metric", "value")
    return _csv([header, *(row for result in results for row in _measured(result))])


def _measured(result: ArmResult) -> Iterator[Row]:
    summaries = [("mean", result.mean)]
    if result.std is not None:
        summaries.append(("std", result.std))
    each = [(str(run.trial), run.metrics) for run in result.trials]
    for trial, scorings in (*summaries, *each):
        for scoring, metrics in scorings.items():
            for metric in METRICS:
                yield result.dataset, result.arm, trial, scoring, metric, repr(metrics[metric])


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
