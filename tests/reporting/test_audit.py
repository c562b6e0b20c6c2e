"""The audit's findings against the transcription of the paper."""

from __future__ import annotations

import re

from cmmanet.evaluation.metrics import METRICS
from cmmanet.reporting.audit import (
    GRADES,
    consequences,
    corrected_gains,
    findings_table,
    load_audit,
    marks,
    missing_table,
)
from cmmanet.reporting.published import load_published

TABLES = load_published().tables


def published(number: str, method: str) -> dict[str, float | None]:
    (row,) = (row for row in TABLES[number].rows if row.method == method)
    metrics = (column.metric for column in TABLES[number].columns)
    return dict(zip(metrics, row.values, strict=True))


def test_findings_are_of_rows_that_exist_and_correct_what_they_have() -> None:
    for finding in load_audit().findings:
        assert finding.grade in GRADES and finding.rows
        for number, method in finding.rows:
            printed = published(number, method)
            for metric, right in finding.right.items():
                assert metric in printed and printed[metric] != right
        assert all(0 < value <= 100 for value in finding.right.values() if value is not None)


def test_misquoted_rows_of_scan_are_its_rows_on_mars() -> None:
    for method in ("SCAN", "SCAN+OF"):
        first, second = published("I", method), published("II", method)
        assert [first[m] for m in ("rank1", "rank5")] == [second[m] for m in ("rank1", "rank5")]


def test_the_attribute_row_is_that_of_vrstc() -> None:
    (vrstc,) = (m for m in load_audit().missing if (m.method, m.table) == ("VRSTC", "I"))
    assert published("I", "Attribute") == vrstc.values


def test_ten_split_means_are_multiples_of_a_query_of_ten_splits() -> None:
    tenths = {round(n / 15, 1) for n in range(1501)}
    singles = {round(n / 1.5, 1) for n in range(151)}
    (finding,) = (f for f in load_audit().findings if "ten splits" in f.what)
    values = {v for number, method in finding.rows for v in published(number, method).values()}
    assert values <= tenths and not values & singles


def test_corrected_gains() -> None:
    gains = {
        (g.over, g.metric): (g.printed, g.corrected) for g in corrected_gains(load_published())
    }
    rounded = {
        key: tuple(None if value is None else round(value, 1) for value in pair)
        for key, pair in gains.items()
    }
    assert rounded == {
        ("SCAN+OF (Table I)", "rank1"): (2.1, 1.3),
        ("SCAN (Table I)", "rank1"): (2.7, 8.0),
        ("VRSTC (not in Table II)", "rank1"): (None, 0.2),
        ("VRSTC (not in Table II)", "rank5"): (None, -0.3),
        ("VRSTC (not in Table II)", "rank10"): (None, 0.0),
        ("VRSTC (not in Table II)", "map"): (None, 0.9),
        ("NVAN (not in Table II)", "rank1"): (None, -1.3),
        ("NVAN (not in Table II)", "map"): (None, 0.4),
    }
    table = consequences(load_published())
    assert table.rows[0][:2] == ["SCAN+OF (Table I)", "+1.3 (printed +2.1)"]


def test_marks_refer_to_rows_of_the_table() -> None:
    numbered = [row[0] for row in findings_table().rows]
    assert numbered == [f"§{n}" for n in range(1, len(numbered) + 1)]
    for number in ("I", "II"):
        for row in TABLES[number].rows:
            assert set(re.findall(r"§\d+", marks(number, row.method))) <= set(numbered)
    assert marks("I", "Attribute") == "§1" and marks("II", "SCAN") == ""
    assert set(METRICS) >= {m for missing in load_audit().missing for m in missing.values}
    assert len(missing_table().rows) == len(load_audit().missing)
