"""The cross-dataset page, from made-up results."""

from __future__ import annotations

from typing import Any

import pytest
from reporting import made_up
from reporting.pages import assert_well_formed, section, tables_of

from cmmanet.evaluation.records import CrossResult
from cmmanet.params import CrossPlan
from cmmanet.reporting.cross_page import render_cross

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
def page() -> str:
    return render_cross(*make_inputs(PAIRS, [0.4, 0.42]))


def test_markdown_is_well_formed(page: str) -> None:
    assert_well_formed(page, 2)
    inputs = make_inputs(PAIRS, [0.4], partial=True, recipe="strong")
    assert_well_formed(render_cross(*inputs), 2)


def test_each_arm_stands_beside_itself_trained_on_the_target(page: str) -> None:
    # Means 41 and 51, spread 0.02 / √2; metrics 1.7 points apart. Trained on the target: 80.0 and
    # 81.3, and the jitter of three trials, of mean 0.07 and mirrored in the second arm.
    assert tables_of(page)["MARS → iLIDS-VID"] == [
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
    assert [row[1] for row in tables_of(page)["iLIDS-VID → MARS"][1:]] == ["iLIDS-VID", "MARS"] * 2


def test_a_pair_says_what_its_numbers_depend_on(page: str) -> None:
    text = section(page, "## MARS → iLIDS-VID")
    for fact in (
        "- protocol two-camera, splits of the info files: 150 queries (one is 0.67 points), "
        "gallery 150",
        "- splits of iLIDS-VID tested on: 10; test frames: every frame (dense); cosine distance",
        "- trained on MARS, 2 trials, recipe paper: *image* height 256, width 128; *clip* frames 6",
        "mam_after none (3 and 4 for `cmmanet-random_interval`)",
        "- trained on NVIDIA H200, bf16",
    ):
        assert fact in text
    assert "- splits of MARS tested on: 1; " in section(page, "## iLIDS-VID → MARS")
    assert "artial data" not in page and "Not the paper's settings" not in page


def test_one_training_has_no_spread() -> None:
    page = render_cross(*make_inputs(PAIRS[:1], [0.4]))
    rows = tables_of(page)["MARS → iLIDS-VID"]
    assert rows[1][2] == "40.0"
    assert rows[2][2] == "80.1 ± 0.5"
    assert "trained on MARS, 1 trial, recipe paper" in section(page, "## MARS →")


@pytest.mark.parametrize(
    ("key", "dataset", "other"),
    [("source_partial", "MARS", "iLIDS-VID"), ("partial", "iLIDS-VID", "MARS")],
)
def test_partial_data_of_either_side_are_said(key: str, dataset: str, other: str) -> None:
    inputs = make_inputs(PAIRS[:1], [0.4])
    change(inputs, PAIRS[0], OURS, {key: True})
    text = section(render_cross(*inputs), "## MARS →")
    assert f"- **partial data:** only a part of {dataset} was there" in text
    assert f"only a part of {other} was there" not in text


def test_settings_that_are_not_the_papers_are_said_first() -> None:
    inputs = make_inputs(PAIRS[:1], [0.4])
    change(inputs, PAIRS[0], "baseline", {"config/model/hidden": 128})
    text = section(render_cross(*inputs), "## MARS →")
    assert text[: text.index("|")].endswith(
        "**Not the paper's settings:** `baseline` recipe paper: model.hidden 128 (the paper: 256). "
    )


def test_queries_without_a_right_answer_are_told() -> None:
    inputs = make_inputs(PAIRS[1:], [0.4])
    assert "dropped" not in render_cross(*inputs)
    change(inputs, PAIRS[1], "baseline", {"trials/0/metrics/cosine.dense/valid": 1980 - 7})
    text = section(render_cross(*inputs), "## iLIDS-VID →")
    assert "1,980 queries, up to 7 of them dropped for want of a right answer" in text


def test_the_headlines_scoring_is_shown() -> None:
    plan, crossed, within = make_inputs(PAIRS[:1], [0.4])
    plan = plan.model_copy(update={"distance": "euclidean", "test_frames": "chunk_first"})
    page = render_cross(plan, crossed, within)
    # 3.1 and 0.7 points less.
    assert tables_of(page)["MARS → iLIDS-VID"][1][2] == "36.2"
    assert "the first frame of each chunk (chunk_first); euclidean distance" in section(
        page, "## MARS →"
    )
