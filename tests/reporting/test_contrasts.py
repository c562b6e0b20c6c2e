"""Contrasts between arms: the planned ones, the published values, and the verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporting import made_up

from cmmanet.evaluation.comparison import Comparison
from cmmanet.evaluation.uncertainty import Gain
from cmmanet.reporting.contrasts import (
    own_contrasts,
    published_contrasts,
    uncertainty,
    verdict,
    with_half_width,
)
from cmmanet.reporting.published import load_published, planned_steps

OURS = "cmmanet-random_interval"
COMPONENTS = [
    ("baseline", "single_mam"),
    ("single_mam", "single_mam_con"),
    ("single_mam", "multi_mam"),
    ("multi_mam", OURS),
]


def gain(points: float, half_width: float | None) -> Gain:
    """A gain in points."""
    if half_width is None:
        return Gain(points / 100, None, None, None)
    return Gain(points / 100, half_width / 100, 10.0, abs(points) > half_width)


def with_gains(compared: Comparison, gains: dict[tuple[str, str, str], Gain]) -> Comparison:
    """Replace gains, by arms and metric."""
    steps = [
        step.model_copy(
            update={
                "metrics": {
                    metric: gains.get((step.before, step.after, metric), value)
                    for metric, value in step.metrics.items()
                }
            }
        )
        for step in compared.steps
    ]
    return compared.model_copy(update={"steps": tuple(steps)})


def contrasts_of(number: str, plan: Any) -> dict[tuple[str, str], list[str]]:
    """Cells by contrast and metric."""
    table = published_contrasts(load_published().tables[number], plan)
    return {(row[0], row[1]): row[2:] for row in table.rows}


def test_planned_steps_are_the_papers_and_those_to_the_users_arms() -> None:
    steps = [("cmmanet-restricted", OURS), *COMPONENTS]
    assert planned_steps(made_up.arms, OURS) == steps
    assert planned_steps(["k8", *made_up.arms, "k9"], OURS) == [*steps, (OURS, "k8"), (OURS, "k9")]


def test_steps_of_arms_that_are_not_planned_are_left_out() -> None:
    assert planned_steps(["multi_mam", "baseline", OURS], OURS) == [("multi_mam", OURS)]
    assert planned_steps(["baseline"], "baseline") == []
    # Nothing leads from the headline to itself, nor from it to an arm that the paper has.
    assert planned_steps(["k8", "k9", "baseline"], "k8") == [("k8", "k9")]
    assert planned_steps(["cmmanet-restricted", "k8"], "cmmanet-restricted") == [
        ("cmmanet-restricted", "k8")
    ]


# Subtracted by hand from the paper's tables.
PUBLISHED = {
    "III": {
        ("cmmanet-restricted", OURS): {
            "iLIDS-VID R1": "+2.6",
            "iLIDS-VID R5": "+0.4",
            "MARS R1": "+0.5",
            "MARS R5": "+0.1",
        }
    },
    "IV": dict(
        zip(
            COMPONENTS,
            [
                {"MARS R1": "+1.5", "MARS R5": "+1.0", "MARS mAP": "+2.9"},
                {"MARS R1": "+0.9", "MARS R5": "+0.5", "MARS mAP": "+0.1"},
                {"MARS R1": "+0.7", "MARS R5": "+0.3", "MARS mAP": "+0.7"},
                {"MARS R1": "+0.7", "MARS R5": "+0.2", "MARS mAP": "+0.2"},
            ],
            strict=True,
        )
    ),
    "V": dict(
        zip(
            COMPONENTS,
            [
                {"iLIDS-VID R1": "+2.0", "iLIDS-VID R5": "+2.0", "iLIDS-VID R10": "+2.6"},
                {"iLIDS-VID R1": "+0.6", "iLIDS-VID R5": "+0.7", "iLIDS-VID R10": "+0.7"},
                {"iLIDS-VID R1": "+2.6", "iLIDS-VID R5": "+0.7", "iLIDS-VID R10": "0.0"},
                {"iLIDS-VID R1": "+2.0", "iLIDS-VID R5": "+0.7", "iLIDS-VID R10": "+0.7"},
            ],
            strict=True,
        )
    ),
}


@pytest.mark.parametrize("number", PUBLISHED)
def test_published_differences_are_there_without_a_run(number: str) -> None:
    plan = made_up.plan(made_up.report(["synthetic"]), made_up.results("synthetic"))
    assert contrasts_of(number, plan) == {
        (f"`{before}` → `{after}`", metric): [difference, "not run", "–"]
        for (before, after), metrics in PUBLISHED[number].items()
        for metric, difference in metrics.items()
    }
    assert published_contrasts(load_published().tables[number], plan).detail


def test_measured_differences_are_next_to_the_published_ones() -> None:
    arms = [arm for arm in made_up.arms if arm != "single_mam_con"]
    report, results = made_up.report(["mars"], arms), made_up.results("mars", arms=arms)
    comparisons = made_up.comparisons(report, results)
    gains = {
        ("baseline", "single_mam", "rank1"): gain(1.2, 0.9),
        ("baseline", "single_mam", "rank5"): gain(-2.0, 1.0),
        ("baseline", "single_mam", "map"): gain(0.4, 1.0),
        ("multi_mam", OURS, "rank1"): gain(0.3, 0.8),
        ("multi_mam", OURS, "map"): gain(0.3, None),
    }
    comparisons["mars"] = with_gains(comparisons["mars"], gains)
    shown = contrasts_of("IV", made_up.plan(report, results, comparisons))
    assert shown["`baseline` → `single_mam`", "MARS R1"] == ["+1.5", "+1.2 ± 0.9", "resolved"]
    assert shown["`baseline` → `single_mam`", "MARS R5"] == [
        "+1.0", "−2.0 ± 1.0", "resolved, the other way"
    ]  # fmt: skip
    assert shown["`baseline` → `single_mam`", "MARS mAP"] == [
        "+2.9", "+0.4 ± 1.0", "not resolved, published value outside"
    ]  # fmt: skip
    assert shown[f"`multi_mam` → `{OURS}`", "MARS R1"] == ["+0.7", "+0.3 ± 0.8", "not resolved"]
    assert shown[f"`multi_mam` → `{OURS}`", "MARS mAP"] == ["+0.2", "+0.3", "inconclusive"]
    assert shown["`single_mam` → `single_mam_con`", "MARS R1"] == ["+0.9", "not run", "–"]


def test_partial_data_are_not_compared_with_the_paper() -> None:
    report = made_up.report(["mars", "ilids-vid"])
    results = {**made_up.results("mars", partial=True), **made_up.results("ilids-vid", 10)}
    comparisons = made_up.comparisons(report, results)
    gains = {("cmmanet-restricted", OURS, "rank1"): gain(-9.0, 1.0)}
    for dataset, compared in comparisons.items():
        comparisons[dataset] = with_gains(compared, gains)
    shown = contrasts_of("III", made_up.plan(report, results, comparisons))
    step = f"`cmmanet-restricted` → `{OURS}`"
    assert shown[step, "MARS R1"] == ["+0.5", "−9.0 ± 1.0", "resolved"]
    assert shown[step, "iLIDS-VID R1"] == ["+2.6", "−9.0 ± 1.0", "resolved, the other way"]


@pytest.mark.parametrize(
    ("measured", "published", "words"),
    [
        (gain(1.2, 0.9), None, "resolved"),
        (gain(-1.2, 0.9), None, "resolved"),
        (gain(0.8, 0.9), None, "not resolved"),
        (gain(1.2, 0.9), 2.0, "resolved"),
        (gain(1.2, 0.9), 2.2, "resolved, published value outside"),
        (gain(1.2, 0.9), 0.2, "resolved, published value outside"),
        (gain(-1.2, 0.9), 0.1, "resolved, the other way"),
        (gain(1.2, 0.9), -0.1, "resolved, the other way"),
        # Not resolved has no way: it cannot contradict a sign.
        (gain(-0.5, 0.9), 0.3, "not resolved"),
        (gain(-0.5, 0.9), 0.5, "not resolved, published value outside"),
        # A published gain of nothing has no way either.
        (gain(1.2, 0.9), 0.0, "resolved, published value outside"),
        (gain(0.2, 0.9), 0.0, "not resolved"),
        (gain(5.0, None), None, "inconclusive"),
        (gain(5.0, None), -5.0, "inconclusive"),
    ],
)
def test_verdicts(measured: Gain, published: float | None, words: str) -> None:
    assert verdict(measured, published) == words


@given(
    points=st.floats(-20, 20),
    half_width=st.floats(0.1, 10),
    published=st.integers(-50, 50).map(lambda tenths: tenths / 10),
)
def test_a_verdict_says_what_the_interval_holds(
    points: float, half_width: float, published: float
) -> None:
    low, high = points - half_width, points + half_width
    words = verdict(gain(points, half_width), published)
    if min(abs(low), abs(high), abs(low - published), abs(high - published)) < 1e-6:
        return
    assert words.startswith("not resolved") == (low < 0 < high)
    if low < published < high:
        # Then the two cannot have been resolved to go opposite ways.
        assert words in ("resolved", "not resolved")
    else:
        assert words.endswith(("published value outside", "the other way"))


def test_gains_have_half_of_their_interval() -> None:
    assert with_half_width(gain(-1.24, 0.96)) == "−1.2 ± 1.0"
    assert with_half_width(gain(0.0, None)) == "0.0"


def test_own_contrasts_are_those_that_were_run() -> None:
    arms = ["baseline", OURS, "k8"]
    report, results = made_up.report(["mars"], arms), made_up.results("mars", arms=arms)
    comparisons = made_up.comparisons(report, results)
    gains = {(OURS, "k8", "rank1"): gain(2.6, 0.5), (OURS, "k8", "map"): gain(-0.1, 0.5)}
    comparisons["mars"] = with_gains(comparisons["mars"], gains)
    plan = made_up.plan(report, results, comparisons)
    table = own_contrasts(plan, "mars", [("baseline", "single_mam"), (OURS, "k8")])
    assert table is not None and table.rows == [
        [f"`{OURS}` → `k8`", "+2.6 ± 0.5", "resolved", "−0.1 ± 0.5", "not resolved"]
    ]
    assert own_contrasts(plan, "mars", [("baseline", "single_mam")]) is None
    assert own_contrasts(plan, "mars", []) is None


@pytest.mark.parametrize(
    ("dataset", "trials", "arms", "facts"),
    [
        ("mars", 3, 6, ["1,980 queries from 625", "0.6 points", "10 degrees"]),
        ("ilids-vid", 10, 6, ["10 overlapping splits", "0.6 points", "45 degrees"]),
        ("mars", 1, 6, ["one run per arm"]),
        ("ilids-vid", 4, 1, ["needs several arms"]),
    ],
)
def test_uncertainty_has_its_basis(dataset: str, trials: int, arms: int, facts: list[str]) -> None:
    means = {
        arm: result.mean["cosine.dense"]
        for (_, arm), result in made_up.results(dataset, trials, made_up.arms[:arms]).items()
    }
    line = uncertainty(made_up.comparison(means, [], dataset=dataset, trials=trials))
    assert all(fact in line for fact in facts)
    assert ("degrees of freedom" in line) == (len(facts) == 3)
