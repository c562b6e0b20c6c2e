"""The page and the figure of the occlusion study, from made-up answers to queries."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from reporting import made_up
from reporting.pages import (
    assert_snapshot,
    assert_well_formed,
    paragraphs_of,
    table_of,
)

from cmmanet.evaluation.records import EvaluateResult, OcclusionResult
from cmmanet.evaluation.robustness import robustness
from cmmanet.params import OcclusionPlan, Render
from cmmanet.reporting.document import Document, markdown
from cmmanet.reporting.occlusion_figure import occlusion_figure
from cmmanet.reporting.occlusion_numbers import numbers
from cmmanet.reporting.occlusion_page import BASELINE, build_occlusion, resolution

Occluded = dict[tuple[float, str], OcclusionResult]
LEVELS = [0.0, 0.3, 0.6]
OURS = "cmmanet-random_interval"
R1, MAP = "r1-by-share-of-occluded-frames", "map-by-share-of-occluded-frames"
LOSES, MEAN = "loss-under-occlusion", "mean-over-all-shares"
QUERIES = 120
RENDER = Render(
    train_identities=2, test_identities=2, distractors=0, junk=0, cameras=2, tracklets_per_camera=1,
    frames_min=1, frames_max=1, occlusion=0.25, height=64, width=32, seed=0,
)  # fmt: skip
# Of a trial's rank-1 at each level; the baseline loses 40 points, and ours 10.
LOST = {BASELINE: 40, "single_mam": 40, "multi_mam": 60, OURS: 10}


def made(
    arms: list[str], trials: int = 3
) -> tuple[OcclusionPlan, Occluded, dict[str, Any], dict[str, EvaluateResult]]:
    """Return the inputs of the page, from queries of which each level takes more."""
    plan = OcclusionPlan(
        render=RENDER, levels=LEVELS, arms=arms, distance="cosine", test_frames="dense"
    )
    results, queries = {}, {}
    rng = np.random.default_rng(1)
    for number, arm in enumerate(arms):
        queries[arm] = []
        for place, level in enumerate(LEVELS):
            lost = LOST[arm] * place * QUERIES // 200
            rows = []
            for trial in range(trials):
                hit = np.ones(QUERIES, bool)
                # Every other arm's trials mirrored, so that the trainings have a spread.
                more = place * (trial if number % 2 else trials - 1 - trial)
                hit[rng.permutation(QUERIES)[: lost + more]] = False
                rows += [
                    {
                        "trial": trial,
                        "query": query,
                        "pid": query // 2,
                        "first_right_rank": 1 if hit[query] else 9,
                        "ap_trapezoid": 0.9 if hit[query] else 0.2,
                    }
                    for query in range(QUERIES)
                ]
            table = pd.DataFrame(rows)
            queries[arm].append(table)
            hits = [(t["first_right_rank"] == 1).mean() for _, t in table.groupby("trial")]
            results[level, arm] = OcclusionResult.summarise(
                made_up.runs("synthetic", hits),
                made_up.config("synthetic", arm),
                level=level,
                frames=1000,
                occluded=round(1010 * level),
                **made_up.fields("synthetic"),
            )
    trained = {arm: made_up.result("synthetic", arm, [0.8] * trials) for arm in arms}
    return plan, results, numbers(plan, results, robustness(queries, BASELINE)), trained


@pytest.fixture(scope="module")
def inputs() -> tuple[Any, ...]:
    return made(list(LOST))


def test_markdown_is_well_formed(inputs: tuple[Any, ...]) -> None:
    page = build_occlusion(*inputs)
    assert_well_formed(page)
    assert_snapshot(page, "occlusion.md")
    assert_well_formed(build_occlusion(*made([OURS], 1)))


def test_columns_are_the_measured_shares(inputs: tuple[Any, ...]) -> None:
    rank1 = table_of(build_occlusion(*inputs), R1)
    assert rank1[0] == ["arm", "0.0 %", "30.3 %", "60.6 %"]
    # 120 queries, of which 0, 24 and 48 are lost, and 0, 1, 2 times the trial's number more.
    assert rank1[1] == ["`baseline`", "100.0 ± 0.0", "79.2 ± 0.8", "58.3 ± 1.7"]


def by_arm(page: Document, name: str) -> dict[tuple[str, str], list[str]]:
    return {(row[0], row[1]): row[2:] for row in table_of(page, name)[1:]}


def interval(cell: str) -> tuple[float, float]:
    low, high = cell.split(" to ")
    return float(low), float(high)


def test_what_is_kept_is_the_last_share_over_the_first(inputs: tuple[Any, ...]) -> None:
    rows = by_arm(build_occlusion(*inputs), LOSES)
    # Of 120 right at first, 68, 70 and 72 are left.
    change, kept, ends, *judged = rows["`baseline`", "R1"]
    assert (change, kept, judged) == ("−41.7", "58.3", ["–", "–"])
    assert interval(ends)[0] < 58.3 < interval(ends)[1]
    # A lost query has an average precision of 20 in place of 90: 73 of 108 are left.
    assert rows["`baseline`", "mAP"][:2] == ["−29.2", "67.6"]
    # 108, 106 and 104.
    change, kept, _, over, verdict = rows[f"`{OURS}`", "R1"]
    assert (change, kept) == ("−11.7", "88.3")
    assert over.startswith("+30.0 ± ") and verdict == "resolved: more"


def test_the_mean_over_all_shares_counts_each_alike(inputs: tuple[Any, ...]) -> None:
    rows = by_arm(build_occlusion(*inputs), MEAN)
    # 120, 95 and 70 right of 120; of ours 120, 113 and 106.
    assert rows["`baseline`", "R1"][0] == "79.2"
    mean, ends, over, verdict = rows[f"`{OURS}`", "R1"]
    assert mean == "94.2" and interval(ends)[0] < 94.2 < interval(ends)[1]
    assert over.startswith("+15.0 ± ") and verdict == "resolved: more"


def test_verdicts_tell_the_way(inputs: tuple[Any, ...]) -> None:
    page = build_occlusion(*inputs)
    for heading in (LOSES, MEAN):
        rows = by_arm(page, heading)
        assert rows["`multi_mam`", "mAP"][-1] == "resolved: less"
        assert rows["`single_mam`", "R1"][-1] == "not resolved"


def test_one_training_or_no_baseline_tells_nothing() -> None:
    page = build_occlusion(*made(list(LOST), 1))
    for heading in (LOSES, MEAN):
        assert {cells[-1] for cells in by_arm(page, heading).values()} == {"–", "inconclusive"}
    assert "the variation between runs is unknown" in paragraphs_of(page)
    page = build_occlusion(*made([OURS, "multi_mam"]))
    for heading in (LOSES, MEAN):
        assert {cells[-1] for cells in by_arm(page, heading).values()} == {"–"}
    assert "`arms` of params.yaml has no `baseline`" in paragraphs_of(page)


def test_nothing_at_first_is_not_judged() -> None:
    plan, results, content, trained = made(list(LOST))
    content["arms"][OURS]["kept"]["rank1"] = None
    rows = by_arm(build_occlusion(plan, results, content, trained), LOSES)
    assert rows[f"`{OURS}`", "R1"][1:] == ["–", "–", "–", "not judged: 0 at the first share"]
    assert rows[f"`{OURS}`", "mAP"][-1] == "resolved: more"


def test_numbers_of_an_arm_that_finds_nothing_have_no_share() -> None:
    plan, results, _, trained = made([BASELINE, OURS])
    level = pd.DataFrame(
        {
            "trial": [0, 0, 1, 1],
            "query": [0, 1, 0, 1],
            "pid": [0, 1, 0, 1],
            "first_right_rank": [1, 3, 1, 1],
            "ap_trapezoid": [0.5, 0.2, 0.4, 0.3],
        }
    )
    nothing = level.assign(first_right_rank=2)
    found = robustness({BASELINE: [level] * 3, OURS: [nothing] * 3}, BASELINE)
    content = numbers(plan, results, found)
    assert content["arms"][OURS]["kept"]["rank1"] is None
    assert content["arms"][BASELINE]["kept"]["rank1"]["value"] == 1
    assert content["arms"][OURS]["kept"]["map"]["value"] == 1
    assert "NaN" not in json.dumps(content)
    assert_well_formed(build_occlusion(plan, results, content, trained))


def test_the_resolution_of_the_study(inputs: tuple[Any, ...]) -> None:
    content = inputs[2]
    widths = [
        100 * of["overall"]["rank1"]["over_baseline"]["half_width"]
        for arm, of in content["arms"].items()
        if arm != BASELINE
    ]
    # Of the paper's Tables IV and V, by hand: each MAM, loss, second MAM, and loss on both.
    steps = [87.3 - 85.8, 88.2 - 87.3, 88.0 - 87.3, 88.7 - 88.0]
    steps += [84.7 - 82.7, 85.3 - 84.7, 87.3 - 84.7, 89.3 - 87.3]
    small = [step for step in steps if step < min(widths)]
    ends = list(dict.fromkeys(f"{end:.1f}" for end in (min(widths), max(widths))))
    assert resolution(content) == {
        "steps": 8, "least": "0.6", "most": "2.6", "tables": "IV and V", "widths": ends,
        "smaller": len(small),
    }  # fmt: skip
    assert resolution(made(list(LOST), 1)[2])["smaller"] is None


def test_an_arm_whose_attention_collapsed_has_a_dagger() -> None:
    plan, results, content, trained = made(list(LOST))
    assert "†" not in markdown(build_occlusion(plan, results, content, trained))
    for arm, trial, signs in (
        (OURS, 1, {"collapsed4": "it has collapsed"}),
        ("multi_mam", 0, {"uniform4": "it is uniform", "triplet": "stuck"}),
    ):
        trained[arm] = made_up.changed(trained[arm], {f"trials/{trial}/warnings": signs})
    page = build_occlusion(plan, results, content, trained)
    for name in (R1, MAP, LOSES, MEAN):
        arms = {row[0] for row in table_of(page, name)[1:]}
        assert arms == {"`baseline`", "`single_mam`", "`multi_mam`", f"`{OURS}` †"}


def test_figure_is_sharp_and_the_same_every_time(inputs: tuple[Any, ...]) -> None:
    found = inputs[2]
    png = occlusion_figure(found)
    assert Image.open(io.BytesIO(png)).size == (1400, 1120)
    assert b"Software" not in png and b"Date" not in png
    assert occlusion_figure(found) == png
    other = copy.deepcopy(found)
    other["arms"][OURS]["levels"]["rank1"][2]["value"] -= 0.1
    assert occlusion_figure(other) != png
