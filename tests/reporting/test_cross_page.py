"""The cross-dataset page, from made-up results."""

from __future__ import annotations

from typing import Any

import pytest
from reporting import made_up
from reporting.pages import (
    assert_snapshot,
    assert_well_formed,
    paragraphs_of,
    table_of,
)

from cmmanet.evaluation.records import CrossResult
from cmmanet.params import CrossPlan
from cmmanet.reporting.cross_page import build_cross
from cmmanet.reporting.document import Document

OURS = "cmmanet-random_interval"
ARMS = ["baseline", OURS]


def make_crossed(
    source: str,
    target: str,
    arm: str,
    rank1: list[float],
    *,
    recipe: str = "paper",
    partial: bool = False,
) -> CrossResult:
    """Return the result of an arm trained on the source and tested on the target."""
    return CrossResult.summarise(
        made_up.runs(target, rank1),
        made_up.config(source, arm, recipe),
        source=source,
        source_partial=False,
        splits=10 if target == "ilids-vid" else 1,
        **made_up.fields(target, partial=partial),
    )


def make_inputs(
    pairs: list[tuple[str, str]],
    rank1: list[float],
    **kwargs: Any,
) -> list[Any]:
    """A plan, the crossed results, and those of arms trained on the target (of 3 trials)."""
    plan = CrossPlan(
        pairs=[{"source": source, "target": target} for source, target in pairs],
        arms=ARMS,
        distance="cosine",
        test_frames="dense",
    )
    crossed = {
        (source, target, arm): make_crossed(
            source, target, arm, [value + 0.1 * place for value in rank1], **kwargs
        )
        for source, target in pairs
        for place, arm in enumerate(ARMS)
    }
    within: made_up.Results = {}
    for _, target in pairs:
        within |= made_up.results(target, 3, ARMS, **kwargs)
    return [plan, crossed, within]


PAIRS = [("mars", "ilids-vid"), ("ilids-vid", "mars")]


def change(inputs: list[Any], pair: tuple[str, str], arm: str, values: dict[str, Any]) -> None:
    """Change a crossed result."""
    inputs[1][*pair, arm] = made_up.changed(inputs[1][*pair, arm], values)


@pytest.fixture(scope="module")
def page() -> Document:
    return build_cross(*make_inputs(PAIRS, [0.4, 0.42]))


def test_markdown_is_well_formed(page: Document) -> None:
    assert_well_formed(page)
    assert_snapshot(page, "cross.md")
    inputs = make_inputs(PAIRS, [0.4], partial=True, recipe="strong")
    assert_well_formed(build_cross(*inputs))


def test_each_arm_stands_beside_itself_trained_on_the_target(page: Document) -> None:
    # Means 41 and 51, spread 0.02 / √2; metrics 1.7 points apart. Trained on the target: 80.0 and
    # 81.3, and the jitter of three trials, of mean 0.07 and mirrored in the second arm.
    assert table_of(page, "mars-to-ilids-vid") == [
        ["arm", "trained on", "R1", "R5", "R10", "R20", "mAP", "mAP (step)"],
        *(
            [f"`{arm}`", on, *(f"{first + 1.7 * place:.1f} ± {spread}" for place in range(6))]
            for arm, on, first, spread in (
                ("baseline", "MARS", 41.0, "1.4"),
                ("baseline", "iLIDS-VID", 80.067, "0.5"),
                (OURS, "MARS", 51.0, "1.4"),
                (OURS, "iLIDS-VID", 81.233, "0.5"),
            )
        ),
    ]
    assert [row[1] for row in table_of(page, "ilids-vid-to-mars")[1:]] == ["iLIDS-VID", "MARS"] * 2


def test_one_training_has_no_spread() -> None:
    page = build_cross(*make_inputs(PAIRS[:1], [0.4]))
    rows = table_of(page, "mars-to-ilids-vid")
    assert rows[1][2] == "40.0"
    assert rows[2][2] == "80.1 ± 0.5"
    assert table_of(page, "runs")[1][4] == "1 run of 110 iterations, seed 0"


@pytest.mark.parametrize(("key", "dataset"), [("source_partial", "MARS"), ("partial", "iLIDS-VID")])
def test_partial_data_of_either_side_are_named(key: str, dataset: str) -> None:
    inputs = make_inputs(PAIRS[:1], [0.4])
    change(inputs, PAIRS[0], OURS, {key: True})
    text = paragraphs_of(build_cross(*inputs))
    assert [line for line in text.splitlines() if "Partial" in line] == [
        f"**Partial data:** part of {dataset} was missing."
    ]


def test_settings_that_are_not_the_papers_are_in_the_runs() -> None:
    inputs = make_inputs(PAIRS[:1], [0.4])
    change(inputs, PAIRS[0], "baseline", {"config/model/hidden": 128})
    rows = {row[1]: row[3] for row in table_of(build_cross(*inputs), "runs")[1:]}
    assert rows == {"`baseline`": "model.hidden 128 (the paper: 256)", f"`{OURS}`": "no"}


def test_queries_without_a_true_match_are_counted() -> None:
    inputs = make_inputs(PAIRS[1:], [0.4])
    assert "without a true match" not in paragraphs_of(build_cross(*inputs))
    change(inputs, PAIRS[1], "baseline", {"trials/0/metrics/cosine.dense/valid": 1980 - 7})
    assert "up to 7 without a true match left out" in paragraphs_of(build_cross(*inputs))


def test_the_headlines_scoring_is_shown() -> None:
    plan, crossed, within = make_inputs(PAIRS[:1], [0.4])
    plan = plan.model_copy(update={"distance": "euclidean", "test_frames": "chunk_first"})
    page = build_cross(plan, crossed, within)
    # 3.1 and 0.7 points less.
    assert table_of(page, "mars-to-ilids-vid")[1][2] == "36.2"
    assert "euclidean distance, the first test frame of each chunk" in paragraphs_of(page)
