"""The ambiguity page, from made-up results and comparisons."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
from reporting.pages import assert_well_formed, section, tables_of

from cmmanet.reporting.ambiguity import render_ambiguity

OURS = "cmmanet-random_interval"
READINGS = ["eq7", "soft_margin", "interval_a_clip"]
TRIALS = {"mars": 3, "ilids-vid": 10, "synthetic": 2}
HEADER = [
    "reading", "in place of the default", "R1", "gain in R1", "mAP", "gain in mAP", "verdict on R1"
]  # fmt: skip


def make_inputs(
    made_up: SimpleNamespace, datasets: list[str], readings: list[str] = READINGS, **kwargs: Any
) -> list[Any]:
    """A plan, and results and comparisons as the stage gives them."""
    arms = [OURS, *(f"reading-{name}" for name in readings)]
    results: dict[tuple[str, str], Any] = {}
    trained, scored = {}, {}
    for dataset in datasets:
        results |= made_up.results(dataset, TRIALS[dataset], arms, reranked=True, **kwargs)
        config = {arm: results[dataset, arm]["config"] for arm in arms}
        if readings == READINGS:
            config["reading-eq7"]["losses"]["diversity_form"] = "eq7"
            config["reading-soft_margin"]["losses"]["margin"] = "soft"
            config["reading-interval_a_clip"]["sampling"]["draw"] = "clip"
            config["reading-interval_a_clip"]["compile"] = True
        means = {arm: results[dataset, arm]["mean"]["cosine.dense"] for arm in arms}
        options = {"dataset": dataset, "trials": TRIALS[dataset]}
        trained[dataset] = made_up.comparison(means, [(OURS, arm) for arm in arms[1:]], **options)
        # Without the queries in the gallery some have no right answer: no comparison holds it.
        others = ["cosine.chunk_first", "euclidean.dense", "cosine.dense.reranked"]
        means = {name: results[dataset, OURS]["mean"][name] for name in ["cosine.dense", *others]}
        steps = [("cosine.dense", other) for other in others]
        scored[dataset] = made_up.comparison(means, steps, **options)
    plan = {
        "datasets": datasets,
        "arm": OURS,
        "readings": readings,
        "distance": "cosine",
        "test_frames": "dense",
    }
    return [plan, results, trained, scored]


@pytest.fixture(scope="module")
def page(made_up: SimpleNamespace) -> str:
    return render_ambiguity(*make_inputs(made_up, ["mars", "ilids-vid"]))


def test_markdown_is_well_formed(made_up: SimpleNamespace, page: str) -> None:
    assert_well_formed(page, 4)
    partial = make_inputs(made_up, ["synthetic"], partial=True, recipe="demo")
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
            "compile on (not off), sampling.draw clip (not epoch)",
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


def test_the_other_headline_turns_the_rows_round(made_up: SimpleNamespace) -> None:
    plan, results, trained, _ = make_inputs(made_up, ["mars"])
    plan |= {"distance": "euclidean", "test_frames": "chunk_first"}
    mean = results["mars", OURS]["mean"]
    own, others = "euclidean.chunk_first", ["euclidean.dense", "cosine.chunk_first"]
    means = {name: mean[name] for name in [own, *others]}
    steps = [(own, other) for other in others]
    scored = {"mars": made_up.comparison(means, steps, dataset="mars", trials=3)}
    # A scoring that was not run has no row.
    del mean["euclidean.chunk_first.reranked"]
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


def test_one_trial_tells_nothing(made_up: SimpleNamespace, monkeypatch: Any) -> None:
    monkeypatch.setitem(TRIALS, "mars", 1)
    page = render_ambiguity(*make_inputs(made_up, ["mars"]))
    rows = tables_of(page)["MARS / Trained otherwise"]
    assert rows[2][2:] == ["81.3", "+1.3", "88.1", "+1.3", "no telling"]
    text = " ".join(page.split())
    assert "No telling: there are too few trainings or people to judge by (one trial" in text
    assert "there is one trial, so that nobody knows" in text


def test_partial_data_and_other_settings_are_said_before_the_numbers(
    made_up: SimpleNamespace,
) -> None:
    inputs = make_inputs(made_up, ["mars"], partial=True, recipe="demo")
    text = section(render_ambiguity(*inputs), "## MARS")
    top = text[: text.index("|")]
    assert "**Partial data:** only a part of the dataset was there." in top
    assert "**Not the paper's settings:** recipe demo: 6 of the paper's 9 settings differ." in top


def test_warnings_name_readings_as_the_table_does(made_up: SimpleNamespace) -> None:
    inputs = make_inputs(made_up, ["mars"])
    results = inputs[1] = copy.deepcopy(inputs[1])
    for (_, arm), result in results.items():
        for trial in result["trials"]:
            trial["warnings"] = {"triplet": "stuck"} if arm == "reading-eq7" else {}
    text = section(render_ambiguity(*inputs), "## MARS")
    assert "- `eq7`, 3 of 3 trials: stuck ### Scored otherwise" in text


def test_without_readings_the_scorings_are_left(made_up: SimpleNamespace) -> None:
    page = render_ambiguity(*make_inputs(made_up, ["mars"], []))
    assert_well_formed(page, 2)
    assert len(tables_of(page)["MARS / Trained otherwise"]) == 2
    assert len(tables_of(page)["MARS / Scored otherwise"]) == 6


def test_a_reading_that_the_recipe_has_anyway_is_told_as_such(made_up: SimpleNamespace) -> None:
    inputs = make_inputs(made_up, ["mars"])
    _, results, trained, _ = inputs
    results["mars", "reading-eq7"]["config"] = copy.deepcopy(results["mars", OURS]["config"])
    results["mars", "reading-eq7"]["config"]["arm"] = "reading-eq7"
    steps = trained["mars"]["steps"]
    trained["mars"]["steps"] = [step for step in steps if step["after"] != "reading-eq7"]
    row = tables_of(render_ambiguity(*inputs))["MARS / Trained otherwise"][2]
    assert row[:2] == ["`eq7`", "as this recipe has it"]
    assert [row[3], *row[5:]] == ["–", "–", "–"]
