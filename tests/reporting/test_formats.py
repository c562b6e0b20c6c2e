"""Formatting: the printed arithmetic must hold for any number."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cmmanet.evaluation.metrics import Scoring
from cmmanet.reporting.document import escape
from cmmanet.reporting.formats import (
    against,
    by_arm,
    measured,
    percent,
    signed,
    span,
    where,
)

DENSE = Scoring("cosine", "dense")
fractions = st.floats(min_value=0, max_value=1)
published_values = st.integers(min_value=0, max_value=1000).map(lambda tenths: tenths / 10)


@given(mean=fractions, std=fractions, published=published_values)
def test_cell_arithmetic_holds(mean: float, std: float, published: float) -> None:
    result: Any = SimpleNamespace(
        partial=False,
        mean={"cosine.dense": {"rank1": mean}},
        std={"cosine.dense": {"rank1": std}},
    )
    cell = against(result, DENSE, "rank1", published, None)
    match = re.fullmatch(r"(\d+\.\d) ± (\d+\.\d) \(([+−]?)(\d+\.\d)\)", cell)
    assert match is not None
    shown, spread, sign, size = match.groups()
    assert abs(float(shown) - 100 * mean) < 0.0501
    assert abs(float(spread) - 100 * std) < 0.0501
    difference = float(size) * (-1 if sign == "−" else 1)
    assert round(float(shown) - published, 1) == difference
    assert (sign == "") == (difference == 0)
    result.partial = True
    assert against(result, DENSE, "rank1", published, None) == f"{shown} ± {spread}"
    result.std = None
    assert measured(result, DENSE, "rank1") == shown


@given(low=published_values, width=published_values, published=published_values)
def test_a_tilde_stands_where_the_published_value_is_in_the_interval(
    low: float, width: float, published: float
) -> None:
    result: Any = SimpleNamespace(partial=False, mean={"cosine.dense": {"map": 0.5}}, std=None)
    interval = [low / 100, (low + width) / 100]
    cell = against(result, DENSE, "map", published, interval)
    bare = against(result, DENSE, "map", published, None)
    assert cell.replace("~", "") == bare
    if abs(published - low) > 1e-6 and abs(published - low - width) > 1e-6:
        assert ("(~" in cell) == (low < published < low + width)
    result.partial = True
    assert against(result, DENSE, "map", published, interval) == "50.0"


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


def test_values_that_differ_name_their_arms() -> None:
    assert by_arm({"a": "1", "b": "1"}) == "1"
    assert by_arm({"a": "0", "b": "1", "c": "2", "d": "1", "e": "0", "f": "1"}) == (
        "1 (0 for `a`, `e`; 2 for `c`)"
    )
    assert where({"a": "x", "b": "x"}) == ["x"]
    assert where({"a": "", "b": ""}) == []
    assert where({"a": "x", "b": "", "c": "y", "d": "x"}) == ["`a`, `d` x", "`c` y"]
