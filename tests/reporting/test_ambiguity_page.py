"""The ambiguity page, from made-up results and comparisons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from reporting import made_up
from reporting.pages import assert_well_formed, section, tables_of

from cmmanet.params import ReadingsPlan
from cmmanet.reporting.ambiguity_page import render_ambiguity

OURS = "cmmanet-random_interval"
READINGS = {
    "eq7": {"config/losses/diversity_form": "eq7"},
    "soft_margin": {"config/losses/margin": "soft"},
    "interval_a_clip": {"config/sampling/draw": "clip", "config/precision": "fp32"},
}
TRIALS = {"mars": 3, "ilids-vid": 10, "synthetic": 2}
HEADER = [
    "reading", "in place of the default", "R1", "gain in R1", "mAP", "gain in mAP", "verdict on R1"
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
        results |= made_up.results(dataset, TRIALS[dataset], arms, reranked=True, **kwargs)
        for name in readings:
            change(results, dataset, f"reading-{name}", READINGS[name])
        means = {arm: results[dataset, arm].mean["cosine.dense"] for arm in arms}
        options = {"dataset": dataset, "trials": TRIALS[dataset]}
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
def page() -> str:
    return render_ambiguity(*make_inputs(["mars", "ilids-vid"]))


def test_markdown_is_well_formed(page: str) -> None:
    assert_well_formed(page, 4)
    partial = make_inputs(["synthetic"], partial=True, recipe="demo")
    assert_well_formed(render_ambiguity(*partial), 2)


def test_each_reading_says_what_it_changed_and_what_that_brought(page: str) -> None:
    # A step of 1.3 points from arm to arm; the jitter has a mean of 0.07 that alternates.
    assert tables_of(page)["MARS / Trained otherwise"] == [
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


def test_scorings_of_the_same_networks(page: str) -> None:
    # Made up as 3.1, 0.7 and 4.3 points less, and 2.1 more.
    assert tables_of(page)["MARS / Scored otherwise"] == [
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
    names = [row[0] for row in tables_of(page)["iLIDS-VID / Scored otherwise"][1:]]
    assert names == [
        "`cosine.chunk_first`", "`euclidean.dense`", "`cosine.dense.reranked`", "step AP"
    ]  # fmt: skip
    assert "Re-ranked with k1 20, k2 6, weight 0.3." in section(page, "## MARS")


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
    rows = tables_of(render_ambiguity(plan, results, trained, scored))["MARS / Scored otherwise"]
    assert [row[:2] + row[3:4] for row in rows[1:-1]] == [
        ["`euclidean.dense`", "`euclidean.chunk_first`", "+3.1 ± 2.0"],
        ["`cosine.chunk_first`", "`euclidean.chunk_first`", "+0.7 ± 2.0"],
        ["`euclidean.chunk_first.without_queries`", "`euclidean.chunk_first`", "–"],
    ]


def test_each_dataset_says_how_sure_and_on_what_it_rests(page: str) -> None:
    mars, ilids = section(page, "## MARS"), section(page, "## iLIDS-VID")
    assert "How sure on MARS: 1,980 queries are of 625 people" in mars
    assert "How sure on iLIDS-VID: 10 splits of the same people overlap" in ilids
    assert "What the numbers on MARS depend on" in mars
    assert "diversity_form eq8" in mars and "for `" not in mars
    assert "Partial data" not in page and "Not the paper's settings" not in page


def test_one_trial_tells_nothing(monkeypatch: Any) -> None:
    monkeypatch.setitem(TRIALS, "mars", 1)
    page = render_ambiguity(*make_inputs(["mars"]))
    rows = tables_of(page)["MARS / Trained otherwise"]
    assert rows[2][2:] == ["81.3", "+1.3", "88.1", "+1.3", "no telling"]
    text = " ".join(page.split())
    assert "No telling: there are too few trainings or people to judge by (one trial" in text
    assert "there is one trial, so that nobody knows" in text


def test_partial_data_and_other_settings_are_said_before_the_numbers() -> None:
    inputs = make_inputs(["mars"], partial=True, recipe="demo")
    text = section(render_ambiguity(*inputs), "## MARS")
    top = text[: text.index("|")]
    assert "**Partial data:** only a part of the dataset was there." in top
    assert "**Not the paper's settings:** recipe demo: 6 of the paper's 9 settings differ." in top


def test_warnings_name_readings_as_the_table_does() -> None:
    inputs = make_inputs(["mars"])
    warnings = {f"trials/{trial}/warnings": {"triplet": "stuck"} for trial in range(3)}
    change(inputs[1], "mars", "reading-eq7", warnings)
    text = section(render_ambiguity(*inputs), "## MARS")
    assert "- `eq7`, 3 of 3 trials: stuck ### Scored otherwise" in text


def test_without_readings_the_scorings_are_left() -> None:
    page = render_ambiguity(*make_inputs(["mars"], []))
    assert_well_formed(page, 2)
    assert len(tables_of(page)["MARS / Trained otherwise"]) == 2
    assert len(tables_of(page)["MARS / Scored otherwise"]) == 6


def test_a_reading_that_the_recipe_has_anyway_is_told_as_such() -> None:
    inputs = make_inputs(["mars"])
    _, results, trained, _ = inputs
    change(results, "mars", "reading-eq7", {"config/losses/diversity_form": "eq8"})
    others = tuple(step for step in trained["mars"].steps if step.after != "reading-eq7")
    trained["mars"] = trained["mars"].model_copy(update={"steps": others})
    row = tables_of(render_ambiguity(*inputs))["MARS / Trained otherwise"][2]
    assert row[:2] == ["`eq7`", "as this recipe has it"]
    assert [row[3], *row[5:]] == ["–", "–", "–"]
