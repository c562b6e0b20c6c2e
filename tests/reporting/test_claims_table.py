"""The section of claims says what the file says, and hides no collapse."""

from __future__ import annotations

from typing import Any

import pytest
from reporting.pages import tables_of

from cmmanet.evaluation.attention.table import MEASURES
from cmmanet.reporting.claims_table import TITLES, claims_section

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
    page = claims_section(content)
    header, *rows = next(iter(tables_of(page).values()))
    assert header[:4] == ["the paper says", "measure", "MAM", "compared"]
    assert [row[0] for row in rows] == [
        "words of entropy",
        "",
        "words of coverage",
        "words of field",
        "words of weight_change",
        "words of purity",
    ]
    assert rows[0][2:] == [
        "behind 4", "`plain` → `con`", "50.0", "1.0", "25.0", "–", "not judged: collapsed",
    ]  # fmt: skip
    assert rows[1][7:] == ["−11.0, −9.0", EACH]
    assert rows[2][4:8] == ["2.50", "2.25", "0.25", "−0.25 ± 0.50"]
    assert rows[3][2:8] == ["behind 4 → 3", "`plain`", "25.0", "6.2", "25.0", "−18.8 ± <0.1"]
    assert rows[5][2:6] == ["behind 3", "its mean map → `plain`", "12.5", "25.0"]
    assert rows[4][3:] == ["`plain`", "–", "+2.0", "+25.0", "+1.0, +3.0", EACH]


def test_counts_collapse_and_cells_are_told(content: dict[str, Any]) -> None:
    page = " ".join(claims_section(content).split())
    assert "232 queries of 60 people, in 2 trials an arm; 99 of these" in page
    assert (
        "Of 6 comparisons 1 are of attention that has collapsed, which says nothing; of the "
        "others: 2 × “yes in each of 2”, 2 × “holds”, 1 × “not resolved”." in page
    )
    assert "**Collapsed** (†): behind stage 4 of `con`, the entropy of a trial is below 2 %" in page
    assert "fields are 2.0 behind 3 and 2.0 behind 4 of `plain`" in page
    assert "words of field (field down): “quote of field” (Sec. I)" in page


def test_every_measure_stands_with_its_interval(content: dict[str, Any]) -> None:
    page = claims_section(content)
    assert (
        "#### The MAM behind stage 3" in page and "least 3.1 % and purity at most 75.0 %." in page
    )
    assert "Maps of 8 cells, a field is at least 12.5 %." in page
    _, third, fourth = tables_of(page).values()
    assert third == [
        ["arm", "field"],
        ["`plain`", "6.2 (5.0 to 7.5)"],
        ["`plain`, always its mean map", "3.1"],
        ["uniform attention", "25.0"],
    ]
    assert fourth[1] == ["`plain`", "10.0", "+2.0 (−1.0 to +5.0)"]
    assert fourth[2] == ["`con` †", "12.5 (12.0 to 13.0)", "–"]
    assert fourth[4] == ["`con`, always its mean map", "6.2", "–"]


def test_without_masks_or_collapse(content: dict[str, Any]) -> None:
    content |= {"masks": False, "collapsed": [], "trials": 1}
    content["claims"] = [
        {
            **claim("purity", ("plain", 4, 0.5), ("con", 4, 0.5), None, "not measured: no masks"),
            **dict.fromkeys(("gain", "half_width")),
            "trials": [],
        }
    ]
    for side in ("before", "after"):
        content["claims"][0][side] |= {"mean": None, "uniform": None}
    page = claims_section(content)
    rows = next(iter(tables_of(page).values()))
    assert rows[1][4:] == ["–", "–", "–", "–", "not measured: no masks"]
    assert "without label maps" in page and "Collapsed" not in page and "in 1 trial an" in page
    assert "Counted in cells" not in page


def test_no_mam_at_all(content: dict[str, Any]) -> None:
    assert "Not measured: no arm that was run has a MAM." in claims_section(
        content | {"claims": [], "measures": {}}
    )


def test_nothing_to_compare(content: dict[str, Any]) -> None:
    page = claims_section(content | {"claims": []})
    assert "#### The MAM behind stage 4" in page and "Of 0 comparisons" in page


def test_uniform_attention_of_other_maps_has_a_row_of_its_own(content: dict[str, Any]) -> None:
    content["measures"]["con"]["4"]["field"]["uniform"] = 0.5
    content["cells"]["con"]["4"] = 32
    page = claims_section(content)
    *_, fourth = tables_of(page).values()
    assert [row[:2] for row in fourth[-2:]] == [
        ["uniform attention, of `plain`", "25.0"],
        ["uniform attention, of `con`", "50.0"],
    ]
    assert "of 8 cells, a field is at least 12.5 %" in page and "(maps of 32 cells, a" in page


def test_every_measure_has_a_title() -> None:
    assert set(TITLES) == set(MEASURES)
