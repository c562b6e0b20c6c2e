"""The ambiguity page, from made-up results and comparisons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from reporting import made_up
from reporting.pages import (
    assert_snapshot,
    assert_well_formed,
    cells_of,
    paragraphs_of,
    table_of,
)

from cmmanet.params import ReadingsPlan
from cmmanet.reporting.ambiguity_page import build_ambiguity
from cmmanet.reporting.document import Bullets, Document

OURS = "cmmanet-random_interval"
READINGS = {
    "eq7": {"config/losses/diversity_form": "eq7"},
    "soft_margin": {"config/losses/margin": "soft"},
    "interval_a_clip": {"config/sampling/draw": "clip", "config/precision": "fp32"},
}
RUNS = {"mars": 3, "ilids-vid": 10, "synthetic": 2}
HEADER = [
    "interpretation", "in place of the default", "R1", "gain in R1", "mAP", "gain in mAP",
    "verdict on R1",
]  # fmt: skip


def change(results: made_up.Results, dataset: str, arm: str, values: dict[str, Any]) -> None:
    results[dataset, arm] = made_up.changed(results[dataset, arm], values)


def make_inputs(
    datasets: list[str], readings: Iterable[str] = READINGS, **kwargs: Any
) -> list[Any]:
    """A plan, and results and comparisons as the stage gives them."""
    arms = [OURS, *(f"reading-{name}" for name in readings)]
    results: made_up.Results = {}
    trained, scored = {}, {}
    for dataset in datasets:
        results |= made_up.results(dataset, RUNS[dataset], arms, reranked=True, **kwargs)
        for name in readings:
            change(results, dataset, f"reading-{name}", READINGS[name])
        means = {arm: results[dataset, arm].mean["cosine.dense"] for arm in arms}
        options = {"dataset": dataset, "trials": RUNS[dataset]}
        trained[dataset] = made_up.comparison(means, [(OURS, arm) for arm in arms[1:]], **options)
        # Without the queries in the gallery some have no right answer: no comparison holds it.
        others = ["cosine.chunk_first", "euclidean.dense", "cosine.dense.reranked"]
        means = {name: results[dataset, OURS].mean[name] for name in ["cosine.dense", *others]}
        steps = [("cosine.dense", other) for other in others]
        scored[dataset] = made_up.comparison(means, steps, **options).steps
    plan = ReadingsPlan(
        datasets=datasets,
        arm=OURS,
        readings=tuple(readings),
        distance="cosine",
        test_frames="dense",
    )
    return [plan, results, trained, scored]


@pytest.fixture(scope="module")
def page() -> Document:
    return build_ambiguity(*make_inputs(["mars", "ilids-vid"]))


def test_markdown_is_well_formed(page: Document) -> None:
    assert_well_formed(page)
    assert_snapshot(page, "ambiguity.md")
    partial = build_ambiguity(*make_inputs(["synthetic"], partial=True, recipe="demo"))
    assert_well_formed(partial)
    assert "Partial data" in paragraphs_of(partial) and "Partial data" not in paragraphs_of(page)
    assert cells_of(partial, "runs")["Synthetic"][2] == "6 of the paper's 9 settings differ"


def test_each_reading_says_what_it_changed_and_what_that_brought(page: Document) -> None:
    # A step of 1.3 points from arm to arm; the jitter has a mean of 0.07 that alternates.
    assert table_of(page, "mars-trained-differently") == [
        HEADER,
        [f"`{OURS}`", "the default", "80.1 ± 0.5", "–", "86.9 ± 0.5", "–", "–"],
        [
            "`eq7`",
            "losses.diversity_form eq7 (not eq8)",
            "81.2 ± 0.5",
            "+1.2 ± 2.0",
            "88.0 ± 0.5",
            "+1.2 ± 2.0",
            "not resolved",
        ],
        [
            "`soft_margin`",
            "losses.margin soft (not 0.3)",
            "82.7 ± 0.5",
            "+2.6 ± 2.0",
            "89.5 ± 0.5",
            "+2.6 ± 2.0",
            "resolved",
        ],
        [
            "`interval_a_clip`",
            "precision fp32 (not auto), sampling.draw clip (not epoch)",
            "83.8 ± 0.5",
            "+3.8 ± 2.0",
            "90.6 ± 0.5",
            "+3.8 ± 2.0",
            "resolved",
        ],
    ]


def test_scorings_of_the_same_networks(page: Document) -> None:
    # Made up as 3.1, 0.7 and 4.3 points less, and 2.1 more.
    assert table_of(page, "mars-scored-differently") == [
        HEADER,
        *(
            [f"`{scoring}`", "`cosine.dense`", f"{rank1} ± 0.5", gain, f"{mean_ap} ± 0.5", *told]
            for scoring, rank1, gain, mean_ap, *told in (
                ("cosine.chunk_first", 77.0, "−3.1 ± 2.0", 83.8, "−3.1 ± 2.0", "resolved"),
                ("euclidean.dense", 79.4, "−0.7 ± 2.0", 86.2, "−0.7 ± 2.0", "not resolved"),
                ("cosine.dense.without_queries", 75.8, "–", 82.6, "–", "other queries"),
                ("cosine.dense.reranked", 82.2, "+2.1 ± 2.0", 89.0, "+2.1 ± 2.0", "resolved"),
            )
        ),
        ["step AP", "trapezoid AP", "–", "–", "88.6 ± 0.5", "–", "–"],
    ]
    names = [row[0] for row in table_of(page, "ilids-vid-scored-differently")[1:]]
    assert names == [
        "`cosine.chunk_first`", "`euclidean.dense`", "`cosine.dense.reranked`", "step AP"
    ]  # fmt: skip
    assert "Re-ranking with k1 20, k2 6, weight 0.3." in paragraphs_of(page)


def test_the_other_headline_turns_the_rows_round() -> None:
    plan, results, trained, _ = make_inputs(["mars"])
    plan = plan.model_copy(update={"distance": "euclidean", "test_frames": "chunk_first"})
    mean = dict(results["mars", OURS].mean)
    own, others = "euclidean.chunk_first", ["euclidean.dense", "cosine.chunk_first"]
    means = {name: mean[name] for name in [own, *others]}
    steps = [(own, other) for other in others]
    scored = {"mars": made_up.comparison(means, steps, dataset="mars", trials=3).steps}
    # A scoring that was not run has no row.
    del mean["euclidean.chunk_first.reranked"]
    change(results, "mars", OURS, {"mean": mean})
    rows = table_of(build_ambiguity(plan, results, trained, scored), "mars-scored-differently")
    assert [row[:2] + row[3:4] for row in rows[1:-1]] == [
        ["`euclidean.dense`", "`euclidean.chunk_first`", "+3.1 ± 2.0"],
        ["`cosine.chunk_first`", "`euclidean.chunk_first`", "+0.7 ± 2.0"],
        ["`euclidean.chunk_first.without_queries`", "`euclidean.chunk_first`", "–"],
    ]


def test_one_trial_tells_nothing(monkeypatch: Any) -> None:
    monkeypatch.setitem(RUNS, "mars", 1)
    page = build_ambiguity(*make_inputs(["mars"]))
    rows = table_of(page, "mars-trained-differently")
    assert rows[2][2:] == ["81.3", "+1.3", "88.1", "+1.3", "inconclusive"]
    assert "with one run per arm, the variation" in paragraphs_of(page)


def test_warnings_name_interpretations_as_the_table_does() -> None:
    inputs = make_inputs(["mars"])
    warnings = {f"trials/{trial}/warnings": {"triplet": "stuck"} for trial in range(3)}
    change(inputs[1], "mars", "reading-eq7", warnings)
    blocks = build_ambiguity(*inputs).blocks
    lists = [block for block in blocks if isinstance(block, Bullets)]
    assert lists == [Bullets(("`eq7`, 3 of 3 runs: stuck",))]


def test_without_readings_the_scorings_are_left() -> None:
    page = build_ambiguity(*make_inputs(["mars"], []))
    assert_well_formed(page)
    assert len(table_of(page, "mars-trained-differently")) == 2
    assert len(table_of(page, "mars-scored-differently")) == 6


def test_a_reading_that_the_recipe_has_anyway_is_told_as_such() -> None:
    inputs = make_inputs(["mars"])
    _, results, trained, _ = inputs
    change(results, "mars", "reading-eq7", {"config/losses/diversity_form": "eq8"})
    others = tuple(step for step in trained["mars"].steps if step.after != "reading-eq7")
    trained["mars"] = trained["mars"].model_copy(update={"steps": others})
    row = table_of(build_ambiguity(*inputs), "mars-trained-differently")[2]
    assert row[:2] == ["`eq7`", "already in this recipe"]
    assert [row[3], *row[5:]] == ["–", "–", "–"]
