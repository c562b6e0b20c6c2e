"""The first lines of the page: the numbers of the tables, and no more sure than these."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from reporting import made_up

from cmmanet.reporting.inputs import ReportInputs
from cmmanet.reporting.published import load_published
from cmmanet.reporting.summary import summary

ARM = "cmmanet-random_interval"


def told(plan: ReportInputs) -> str:
    return " ".join(summary(plan, load_published()).split())


def plan_of(dataset: str, *values: float, **kwargs: Any) -> ReportInputs:
    """The headline with these rank-1 values, a trial each."""
    results = made_up.results(dataset, len(values), **kwargs)
    results[dataset, ARM] = made_up.result(dataset, ARM, list(values), **kwargs)
    return made_up.plan(made_up.report([dataset]), results)


def test_the_headline_stands_with_its_spread_and_interval() -> None:
    # Made-up mAP is 6.8 points above rank-1, intervals are 3 to both sides.
    assert told(plan_of("synthetic", 0.50, 0.52, recipe="demo")).startswith(
        f"- **Synthetic**, `{ARM}`: R1 51.0 ± 1.4 (95 % over people: 48.0 to 54.0); mAP 57.8 ± 1.4 "
        "(95 % over people: 54.8 to 60.8); 2 trials. - **Synthetic**, of 10 differences"
    )


def test_the_published_number_stands_beside_a_full_run_alone() -> None:
    full = told(plan_of("mars", 0.85))
    assert "R1 85.0 (95 % over people: 82.0 to 88.0), published 88.7; mAP 91.8" in full
    assert "(95 % over people: 88.8 to 94.8), published 83.2; 1 trial." in full
    assert "published" not in told(plan_of("mars", 0.85, partial=True))
    assert "published" not in told(plan_of("mars", 0.85, recipe="demo"))
    restricted = replace(plan_of("mars", 0.85), sampler="restricted")
    assert "published" not in told(restricted)
    # Of iLIDS-VID the paper has no mAP, and its splits no interval over people.
    splits = told(plan_of("ilids-vid", 0.85, 0.87))
    assert "R1 86.0 ± 1.4, published 89.3; mAP 92.8 ± 1.4; 2 trials." in splits


@pytest.mark.parametrize(
    ("values", "ending"),
    [
        ((0.8, 0.8), "6 are resolved, 2 up and 4 down."),
        ((0.8,), "none is resolved; of 10 nothing can be told from so few trials."),
    ],
)
def test_gains_are_counted(values: Any, ending: str) -> None:
    """Of five steps of 1.3, 1.3, 2.6, -3.9 and -6.5 points, three are beyond half a width of 2."""
    shown = told(plan_of("synthetic", *values))
    assert f"of 10 differences from arm to arm, in R1 and in mAP, {ending}" in shown


def claim(verdict: str, measure: str = "purity") -> dict[str, Any]:
    return {
        "verdict": verdict,
        "measure": measure,
        "only_in_image": "cells" in verdict,
        "collapsed": "collapsed" in verdict,
    }


def test_claims_are_counted_and_nothing_hides_behind_those_that_hold() -> None:
    plan = plan_of("synthetic", 0.5, 0.5)
    assert "attention" not in told(plan)
    judged = [claim("holds"), claim("holds", "own_stripe"), claim("not resolved")]
    plan.claims["synthetic"] = {"claims": judged}
    assert told(plan).endswith(
        "of 3 comparisons with what the paper says of its attention, 2 hold (1 of them that "
        "submodules keep to the stripes that the loss asks for) and none contradict it; 1 are not "
        "resolved. Nothing is corrected for the number of comparisons."
    )
    verdicts = (
        "contradicted", "holds, though not in cells", "yes in each of 2, though not in cells",
        "yes in each of 2", "no in each of 2", "not judged: collapsed", "undecided", "no telling",
        "the trainings disagree", "not measured: no masks",
    )  # fmt: skip
    plan.claims["synthetic"] = {"claims": [*judged, *map(claim, verdicts)]}
    assert told(plan).endswith(
        "of 12 comparisons with what the paper says of its attention, 2 hold (1 of them that "
        "submodules keep to the stripes that the loss asks for) and 1 contradict it; 1 more hold "
        "in each training, which says nothing of others; 1 do not hold in any training, which says "
        "nothing of others; 2 hold in the image and not in cells; 1 are not judged, as attention "
        "has collapsed; 1 are not resolved; 1 differ from training to training; 2 are undecided; 1 "
        "could not be measured. Nothing is corrected for the number of comparisons."
    )
