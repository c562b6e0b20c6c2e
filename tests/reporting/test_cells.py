"""Formatting: the printed arithmetic must hold for any number."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmmanet.reporting.cells import (
    against,
    by_arm,
    escape,
    measured,
    percent,
    signed,
    span,
    table,
    where,
)

fractions = st.floats(min_value=0, max_value=1)
published_values = st.integers(min_value=0, max_value=1000).map(lambda tenths: tenths / 10)


@given(mean=fractions, std=fractions, published=published_values)
def test_cell_arithmetic_holds(mean: float, std: float, published: float) -> None:
    result: Any = {
        "partial": False,
        "mean": {"dense": {"rank1": mean}},
        "std": {"dense": {"rank1": std}},
    }
    cell = against(result, "dense", "rank1", published)
    match = re.fullmatch(r"(\d+\.\d) ± (\d+\.\d) \(([+−]?)(\d+\.\d)\)", cell)
    assert match is not None
    shown, spread, sign, size = match.groups()
    assert abs(float(shown) - 100 * mean) < 0.0501
    assert abs(float(spread) - 100 * std) < 0.0501
    difference = float(size) * (-1 if sign == "−" else 1)
    assert round(float(shown) - published, 1) == difference
    assert (sign == "") == (difference == 0)
    without = {**result, "std": None}
    assert measured(without, "dense", "rank1") == shown
    assert (
        against({**result, "partial": True}, "dense", "rank1", published) == f"{shown} ± {spread}"
    )


@given(st.floats(min_value=-100, max_value=100))
def test_signs(points: float) -> None:
    text = signed(points)
    assert re.fullmatch(r"[+−]\d+\.\d|0\.0", text)
    assert abs(float(text.replace("−", "-")) - points) < 0.0501
    assert "-" not in text


def test_small_formats() -> None:
    assert percent(-0.0001) == "0.0"
    assert signed(-0.04) == signed(0.0) == "0.0"
    assert span([3, 3]) == "3"
    assert escape("CNN+RNN* | x") == r"CNN+RNN\* \| x"
    assert table(["a", "b"], [["x", "1"]], texts=1).splitlines()[1].endswith(":|")


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_what_is_no_number_is_not_printed_as_one(nothing: float | None) -> None:
    result: Any = {
        "partial": False,
        "mean": {"dense": {"rank1": nothing, "map": 0.5}},
        "std": {"dense": {"rank1": 0.1, "map": nothing}},
    }
    assert measured(result, "dense", "rank1") == "–"
    assert against(result, "dense", "rank1", 88.7) == "–"
    assert against(result, "dense", "map", 49.0) == "50.0 ± – (+1.0)"


def test_values_that_differ_name_their_arms() -> None:
    assert by_arm({"a": "1", "b": "1"}) == "1"
    assert by_arm({"a": "0", "b": "1", "c": "2", "d": "1", "e": "0", "f": "1"}) == (
        "1 (0 for `a`, `e`; 2 for `c`)"
    )
    assert where({"a": "x", "b": "x"}) == ["x"]
    assert where({"a": "", "b": ""}) == []
    assert where({"a": "x", "b": "", "c": "y", "d": "x"}) == ["`a`, `d` x", "`c` y"]
