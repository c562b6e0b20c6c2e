"""The page and the figure of the occlusion study, from made-up answers to queries."""

from __future__ import annotations

import copy
import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from reporting.pages import assert_well_formed, section, tables_of

from cmmanet.evaluation.occlusion import robustness
from cmmanet.reporting.occlusion import BASELINE, numbers, render_occlusion
from cmmanet.reporting.occlusion_figure import occlusion_figure

LEVELS = [0.0, 0.3, 0.6]
OURS = "cmmanet-random_interval"
QUERIES = 120
# Of a trial's rank-1 at each level; the baseline loses 40 points, and ours 10.
LOST = {BASELINE: 40, "single_mam": 40, "multi_mam": 60, OURS: 10}


def made(
    made_up: SimpleNamespace, arms: list[str], trials: int = 3
) -> tuple[dict[str, Any], dict[tuple[float, str], Any], dict[str, Any]]:
    """A plan, results, and what `numbers` makes of queries that each level takes more of."""
    plan = {
        "render": {"occlusion": 0.25},
        "levels": LEVELS,
        "arms": arms,
        "distance": "cosine",
        "test_frames": "dense",
    }
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
            results[level, arm] = made_up.result("synthetic", arm, hits) | {
                "frames": 1000,
                "occluded": round(1010 * level),
            }
    return plan, results, numbers(plan, results, robustness(queries, BASELINE))


@pytest.fixture(scope="module")
def inputs(made_up: SimpleNamespace) -> tuple[Any, Any, Any]:
    return made(made_up, list(LOST))


def test_markdown_is_well_formed(made_up: SimpleNamespace, inputs: tuple[Any, Any, Any]) -> None:
    assert_well_formed(render_occlusion(*inputs), 3)
    assert_well_formed(render_occlusion(*made(made_up, [OURS], 1)), 3)


def test_columns_are_the_measured_shares(inputs: tuple[Any, Any, Any]) -> None:
    rank1 = tables_of(render_occlusion(*inputs))["R1"]
    assert rank1[0] == ["arm", "0.0 %", "30.3 %", "60.6 %"]
    # 120 queries, of which 0, 24 and 48 are lost, and 0, 1, 2 times the trial's number more.
    assert rank1[1] == ["`baseline`", "100.0 ± 0.0", "79.2 ± 0.8", "58.3 ± 1.7"]


def test_changes_are_from_the_first_share_to_the_last(inputs: tuple[Any, Any, Any]) -> None:
    rows = tables_of(render_occlusion(*inputs))["What 60.6 % takes that 0.0 % leaves"]
    by_arm = {(row[0], row[1]): row[2:] for row in rows[1:]}
    assert by_arm["`baseline`", "R1"][0] == "−41.7"
    # A lost query has an average precision of 20 in place of 90.
    assert by_arm["`baseline`", "mAP"][0] == "−29.2"
    low, high = (-41.7, -41.7)
    ends = [float(end.replace("−", "-")) for end in by_arm["`baseline`", "R1"][1].split(" to ")]
    assert ends[0] < low and ends[1] > high
    assert by_arm["`baseline`", "R1"][2:] == ["–", "–"]
    assert by_arm[f"`{OURS}`", "R1"][2].startswith("+30.0 ± ")


def test_verdicts_tell_who_loses_less(inputs: tuple[Any, Any, Any]) -> None:
    rows = tables_of(render_occlusion(*inputs))["What 60.6 % takes that 0.0 % leaves"]
    verdicts = {(row[0], row[1]): row[5] for row in rows[1:]}
    assert verdicts[f"`{OURS}`", "R1"] == "resolved: loses less"
    assert verdicts["`multi_mam`", "mAP"] == "resolved: loses more"
    assert verdicts["`single_mam`", "R1"] == "not resolved"


def test_one_training_or_no_baseline_tells_nothing(made_up: SimpleNamespace) -> None:
    heading = "What 60.6 % takes that 0.0 % leaves"
    page = render_occlusion(*made(made_up, list(LOST), 1))
    assert {row[5] for row in tables_of(page)[heading][1:]} == {"–", "no telling"}
    assert "nobody knows what another training would give" in " ".join(page.split())
    page = render_occlusion(*made(made_up, [OURS, "multi_mam"]))
    assert {row[5] for row in tables_of(page)[heading][1:]} == {"–"}
    assert "`arms` of params.yaml has no `baseline`" in page


def test_the_page_says_how_the_networks_were_trained(inputs: tuple[Any, Any, Any]) -> None:
    page = render_occlusion(*inputs)
    first = section(page, "# What occlusion takes")
    assert "trained once, with 25 % of frames occluded (data.synthetic.render.occlusion)" in first
    text = " ".join(page.split())
    for fact in (
        "120 queries are of 60 people; trainings of one arm differ in their change by",
        "- protocol mars, splits of the info files",
        "every frame (dense); cosine distance; mAP: official (trapezoid); 3 trials",
        "trained on NVIDIA H200",
    ):
        assert fact in text


def test_figure_is_sharp_and_the_same_every_time(inputs: tuple[Any, Any, Any]) -> None:
    found = inputs[2]
    png = occlusion_figure(found)
    assert Image.open(io.BytesIO(png)).size == (1400, 700)
    assert b"Software" not in png and b"Date" not in png
    assert occlusion_figure(found) == png
    other = copy.deepcopy(found)
    other["arms"][OURS]["levels"]["rank1"][2]["value"] -= 0.1
    assert occlusion_figure(other) != png
