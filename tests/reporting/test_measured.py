"""Measured numbers as CSV."""

import csv
import io

from reporting import made_up

from cmmanet.evaluation.metrics import METRICS
from cmmanet.reporting.measured import measured_csv


def test_measured_numbers_keep_all_their_digits() -> None:
    result = made_up.result("synthetic", "baseline", [0.1 + 0.2, 1 / 3], reranked=True)
    rows = list(csv.DictReader(io.StringIO(measured_csv([result]))))
    assert len(rows) == len({tuple(row.values())[:5] for row in rows})
    found = {(row["trial"], row["scoring"], row["metric"]): row["value"] for row in rows}
    for run in result.trials:
        for scoring, metrics in run.metrics.items():
            for metric in METRICS:
                assert float(found.pop((str(run.trial), scoring, metric))) == metrics[metric]
    for name in ("mean", "std"):
        for scoring, metrics in getattr(result, name).items():
            for metric, number in metrics.items():
                assert float(found.pop((name, scoring, metric))) == number
    assert not found


def test_one_trial_has_no_spread() -> None:
    result = made_up.result("synthetic", "baseline", [0.5])
    text = measured_csv([result])
    assert ",std," not in text and ",mean," in text
