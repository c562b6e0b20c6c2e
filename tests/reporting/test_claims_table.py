"""The tables of claims have what the file has, and hide no collapse."""

from __future__ import annotations

from typing import Any

import pytest
from reporting.pages import rows_of

from cmmanet.evaluation.attention.table import MEASURES
from cmmanet.reporting.claims_table import (
    TITLES,
    collapsed_places,
    comparisons_table,
    count_optimised,
    count_verdicts,
    measures_tables,
    summary_table,
)

EACH = "yes in each of 2"


def claim(
    measure: str,
    before: tuple[str, int, float] | None,
    after: tuple[str, int, float],
    half_width: float | None,
    verdict: str,
    *,
    kind: str = "loss",
    collapsed: bool = False,
) -> dict[str, Any]:
    def side(place: tuple[str, int, float]) -> dict[str, Any]:
        arm, stage, mean = place
        return {"arm": arm, "stage": stage, "mean": mean, "uniform": 0.25}

    gain = after[2] - (before[2] if before else 0)
    return {
        "kind": kind,
        "measure": measure,
        "sign": -1,
        "words": f"words of {measure}",
        "quote": f"quote of {measure}",
        "place": "Sec. I",
        "before": before and side(before),
        "after": side(after),
        "gain": gain,
        "half_width": half_width,
        "trials": [gain - 0.01, gain + 0.01],
        "verdict": verdict,
        "collapsed": collapsed,
    }


def measured(mean: float, interval: list[float] | None) -> dict[str, Any]:
    return {
        "mean": mean, "trials": [mean], "interval": interval, "uniform": 0.25, "fixed": mean / 2
    }  # fmt: skip


@pytest.fixture
def content() -> dict[str, Any]:
    of_parts = claim("purity", ("", 3, 0.125), ("plain", 3, 0.25), 0.05, "holds", kind="parts")
    of_parts["before"] |= {"arm": None, "stage": None}
    return {
        "dataset": "synthetic",
        "trials": 2,
        "queries": 232,
        "people": 60,
        "occluded": 99,
        "compared": 98,
        "masks": True,
        "test_to_train": None,
        "cells": {"plain": {"3": 32, "4": 8}, "con": {"4": 8}},
        "purity_bound": {"plain": {"3": 0.75}, "con": {}},
        "collapsed": [{"arm": "con", "stage": 4}],
        "measures": {
            "plain": {
                "3": {"field": measured(0.0625, [0.05, 0.075])},
                "4": {"field": measured(0.1, None), "weight_change": measured(0.02, [-0.01, 0.05])},
            },
            "con": {"4": {"field": measured(0.125, [0.12, 0.13])}},
        },
        "claims": [
            claim(
                "entropy",
                ("plain", 4, 0.5),
                ("con", 4, 0.01),
                None,
                "not judged: collapsed",
                collapsed=True,
            ),
            claim("entropy", ("plain", 3, 0.5), ("con", 3, 0.4), None, EACH),
            claim("coverage", ("plain", 4, 2.5), ("con", 4, 2.25), 0.5, "not resolved"),
            claim(
                "field", ("plain", 4, 0.25), ("plain", 3, 0.0625), 0.0001, "holds", kind="scales"
            ),
            claim("weight_change", None, ("plain", 4, 0.02), None, EACH, kind="first"),
            of_parts,
        ],
    }


def test_each_comparison_is_a_row(content: dict[str, Any]) -> None:
    table = comparisons_table("synthetic", content)
    header, *rows = rows_of(table)
    assert header[:4] == ["claim", "measure", "MAM", "compared"] and table.detail
    assert [row[0] for row in rows] == [
        f"words of {measure}"
        for measure in ("entropy", "entropy", "coverage", "field", "weight_change", "purity")
    ]
    assert rows[0][2:9] == [
        "after 4", "`plain` → `con`", "50.0", "1.0", "25.0", "–", "not judged: collapsed",
    ]  # fmt: skip
    assert rows[0][9] == "“quote of entropy” (Sec. I)"
    assert rows[1][7:9] == ["−11.0, −9.0", EACH]
    assert rows[2][4:8] == ["2.50", "2.25", "0.25", "−0.25 ± 0.50"]
    assert rows[3][2:8] == ["after 4 → 3", "`plain`", "25.0", "6.2", "25.0", "−18.8 ± <0.1"]
    assert rows[4][3:9] == ["`plain`", "–", "+2.0", "+25.0", "+1.0, +3.0", EACH]
    assert rows[5][2:6] == ["after 3", "its mean map → `plain`", "12.5", "25.0"]
    (note,) = table.notes
    assert "`plain` 2.0 after stage 3, 2.0 after stage 4" in note


def test_the_summary_counts_each_claims_verdicts(content: dict[str, Any]) -> None:
    content["claims"].append(content["claims"][2] | {"verdict": "contradicted"})
    rows = {(row[0], row[1]): row[2:] for row in summary_table("synthetic", content).rows}
    assert rows == {
        ("words of entropy", "entropy down"): ["0", "0", "0", "2"],
        ("words of coverage", "coverage down"): ["0", "1", "1", "0"],
        ("words of field", "field down"): ["1", "0", "0", "0"],
        ("words of weight_change", "weight under occlusion down"): ["0", "0", "0", "1"],
        ("words of purity", "purity down"): ["1", "0", "0", "0"],
    }


@pytest.mark.parametrize(
    ("verdict", "collapsed", "counted"),
    [
        ("holds", False, "holds"),
        ("contradicted", False, "contradicted"),
        ("not resolved", False, "not resolved"),
        ("holds", True, "inconclusive"),
        ("holds, though not in cells", False, "inconclusive"),
        ("yes in each of 3", False, "inconclusive"),
        ("the trainings disagree", False, "inconclusive"),
        ("not measured: no masks", False, "inconclusive"),
    ],
)
def test_only_resolved_verdicts_count_as_such(verdict: str, collapsed: bool, counted: str) -> None:
    assert count_verdicts([{"verdict": verdict, "collapsed": collapsed}]) == {counted: 1}


def test_claims_that_the_loss_optimises_are_counted() -> None:
    held = {"verdict": "holds", "collapsed": False, "measure": "own_stripe"}
    others = [held | {"measure": "purity"}, held | {"collapsed": True}]
    assert count_optimised([held, *others, held | {"verdict": "not resolved"}]) == 1


def test_collapse_is_named_by_stage_and_arm(content: dict[str, Any]) -> None:
    assert collapsed_places(content) == "stage 4 of `con`"
    assert collapsed_places(content | {"collapsed": []}) == ""


def test_every_measure_has_its_interval_and_references(content: dict[str, Any]) -> None:
    third, fourth = measures_tables("synthetic", content)
    assert rows_of(third) == [
        ["arm", "field"],
        ["`plain`", "6.2 (5.0 to 7.5)"],
        ["`plain`, its mean map", "3.1"],
        ["uniform attention", "25.0"],
    ]
    assert fourth.rows[0] == ["`plain`", "10.0", "+2.0 (−1.0 to +5.0)"]
    assert fourth.rows[1] == ["`con` †", "12.5 (12.0 to 13.0)", "–"]
    assert fourth.rows[3] == ["`con`, its mean map", "6.2", "–"]
    assert "least 3.1 % and purity at most 75.0 %" in third.notes[0]
    assert fourth.notes[0].startswith("Maps of 8 cells, a field is at least 12.5 %.")


def test_uniform_attention_of_other_maps_has_a_row_of_its_own(content: dict[str, Any]) -> None:
    content["measures"]["con"]["4"]["field"]["uniform"] = 0.5
    content["cells"]["con"]["4"] = 32
    _, fourth = measures_tables("synthetic", content)
    assert [row[:2] for row in fourth.rows[-2:]] == [
        ["uniform attention, `plain`", "25.0"],
        ["uniform attention, `con`", "50.0"],
    ]
    assert "(maps of 32 cells, a" in fourth.notes[0]


def test_what_was_not_measured_is_a_dash(content: dict[str, Any]) -> None:
    one = claim("purity", ("plain", 4, 0.5), ("con", 4, 0.5), None, "not measured: no masks")
    one |= {"gain": None, "half_width": None, "trials": []}
    for side in ("before", "after"):
        one[side] |= {"mean": None, "uniform": None}
    (row,) = comparisons_table("synthetic", content | {"claims": [one]}).rows
    assert row[4:9] == ["–", "–", "–", "–", "not measured: no masks"]


def test_every_measure_has_a_title() -> None:
    assert set(TITLES) == set(MEASURES)
