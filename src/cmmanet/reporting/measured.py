"""Every measured number as CSV, for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.records import ArmResult
from cmmanet.reporting.document import write_csv

Row = tuple[str, str, str, str, str, str]


def measured_csv(results: Iterable[ArmResult]) -> str:
    """Return every measured number, one per row, as a fraction with all its digits.

    The trial is its number, or "mean" or "std" over runs.
    """
    header = ("dataset", "arm", "trial", "scoring", "metric", "value")
    return write_csv([header, *(row for result in results for row in _measured(result))])


def _measured(result: ArmResult) -> Iterator[Row]:
    summaries = [("mean", result.mean)]
    if result.std is not None:
        summaries.append(("std", result.std))
    each = [(str(run.trial), run.metrics) for run in result.trials]
    for trial, scorings in (*summaries, *each):
        for scoring, metrics in scorings.items():
            for metric in METRICS:
                yield result.dataset, result.arm, trial, scoring, metric, repr(metrics[metric])
