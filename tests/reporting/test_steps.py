"""Steps between arms."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from cmmanet.reporting.steps import half_width, judge_steps


def test_steps_are_judged_trial_by_trial(made_up: SimpleNamespace) -> None:
    # Trials differ much, but `better` beats `base` by the same in each: pairing sees it.
    arms: dict[str, Any] = {
        "base": made_up.result("mars", "base", [0.50, 0.60, 0.70]),
        "better": made_up.result("mars", "better", [0.52, 0.61, 0.73]),
        "worse": made_up.result("mars", "worse", [0.40, 0.52, 0.60]),
        "same": made_up.result("mars", "same", [0.53, 0.60, 0.67]),
    }
    pairs = [("base", "better"), ("base", "same"), ("base", "worse"), ("base", "absent")]
    assert " ".join(judge_steps(pairs, arms, "dense").split()) == (
        "Steps in R1 that 3 trials resolve: `base` → `worse` (−9.3 ± 2.9). Not resolved, so that "
        "the order of these arms means nothing: `base` → `better` (+2.0 ± 2.5), `base` → `same` "
        "(0.0 ± 7.5). (± here: the 95 % interval of the paired gain.)"
    )
    assert judge_steps([("base", "absent")], arms, "dense") == ""


def test_interval_is_students_t() -> None:
    # Textbook quantiles of 0.975: 12.706 with one degree of freedom, 4.303 with two.
    assert half_width([0.0, 2.0]) == pytest.approx(12.706 * math.sqrt(2) / math.sqrt(2), rel=1e-4)
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)


def test_two_trials_resolve_nothing_however_even(made_up: SimpleNamespace) -> None:
    arms: dict[str, Any] = {
        "base": made_up.result("mars", "base", [0.50, 0.60]),
        "worse": made_up.result("mars", "worse", [0.40, 0.50]),
    }
    assert " ".join(judge_steps([("base", "worse")], arms, "dense").split()) == (
        "Steps in R1: `base` → `worse` (−10.0). Fewer than 3 trials cannot tell a step from "
        "chance, so that the order of these arms means nothing."
    )


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_trials_without_a_number_are_not_judged(
    made_up: SimpleNamespace, nothing: float | None
) -> None:
    arms: dict[str, Any] = {
        arm: made_up.result("mars", arm, [0.5, 0.6, 0.7, 0.8]) for arm in ("a", "b", "c")
    }
    arms["b"]["trials"][0]["metrics"]["dense"]["rank1"] = nothing
    for trial in (0, 1, 2, 3):
        arms["c"]["trials"][trial]["metrics"]["dense"]["rank1"] = nothing
    text = " ".join(judge_steps([("a", "b"), ("b", "c")], arms, "dense").split())
    assert "Steps in R1 that 3 trials resolve: none." in text
    assert "`a` → `b` (0.0 ± 0.0)" in text
    assert text.endswith("Too few trials to judge by: `b` → `c`.")
    assert "`b` → `c` (–)" in judge_steps([("b", "c")], arms, "dense")
