"""The page and the metrics file, from made-up results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from reporting import made_up
from reporting.pages import assert_well_formed, paper_rows, section, tables_of

from cmmanet.reporting.published import load_published
from cmmanet.reporting.report import Headline, headline_metrics


@pytest.fixture(scope="module")
def full_page() -> str:
    arms = [*made_up.arms, "k8"]
    results = {
        **made_up.results("mars", 3, arms, reranked=True),
        **made_up.results("ilids-vid", 10, arms, reranked=True),
        **made_up.results("synthetic", 2, arms, recipe="demo"),
    }
    return made_up.page(made_up.report(["mars", "ilids-vid", "synthetic"], arms), results)


@pytest.fixture(scope="module")
def synthetic_page() -> str:
    return made_up.page(
        made_up.report(["synthetic"]), made_up.results("synthetic", 2, recipe="demo")
    )


@pytest.fixture(scope="module")
def partial_page() -> str:
    results = made_up.results("mars", 3, partial=True, recipe="demo")
    return made_up.page(made_up.report(["mars"]), results)


@pytest.mark.parametrize("name", ["full_page", "synthetic_page", "partial_page"])
def test_markdown_is_well_formed(name: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(name)
    assert_well_formed(page, 8)


def test_paper_not_run_is_said_first(synthetic_page: str) -> None:
    top = " ".join(synthetic_page[: synthetic_page.index("## Status")].split())
    assert "**No number of the paper is reproduced here yet.** Not run: MARS and iLIDS-VID." in top
    assert "Synthetic; those numbers cannot be compared with the published ones" in top
    assert paper_rows(synthetic_page, "I")["`cmmanet-random_interval`"] == [
        "measured",
        *["not run"] * 4,
    ]
    status = {row[0]: row[1:] for row in tables_of(synthetic_page)["Status"][1:]}
    assert status["MARS"] == ["II, III, IV", "not run", *["–"] * 5]
    assert status["Synthetic"][1:5] == ["in full", "6", "2", "demo"]
    assert "PRID-2011" not in status


def test_every_published_row_is_on_the_page(synthetic_page: str) -> None:
    for number, published in load_published().tables.items():
        shown = paper_rows(synthetic_page, number)
        for row in published.rows:
            method = row.method + r"\*" * row.optical_flow
            if row.reference and row.arm:
                method += f" [{row.reference.number}]"
            source, *values = shown[method]
            assert values == ["–" if v is None else f"{v:.1f}" for v in row.values]
            if row.reference and not row.arm:
                assert source == f"[{row.reference.number}] {row.reference.short}"


def test_measured_rows_stand_under_the_papers_own(full_page: str) -> None:
    for number, published in load_published().tables.items():
        methods = list(paper_rows(full_page, number))
        for row in published.rows:
            if row.arm is not None:
                name = row.method + (f" [{row.reference.number}]" if row.reference else "")
                arm = "cmmanet-random_interval" if row.arm == "headline" else row.arm
                assert methods[methods.index(name) + 1] == f"`{arm}`"


def test_difference_is_measured_minus_published() -> None:
    results = made_up.results("mars")
    values = [0.8812, 0.8846, 0.8771]
    results["mars", "baseline"] = made_up.result("mars", "baseline", values)
    source, rank1, *_ = paper_rows(made_up.page(made_up.report(["mars"]), results), "IV")[
        "`baseline`"
    ]
    mean = round(100 * sum(values) / 3, 1)
    spread = (sum((100 * v - 100 * sum(values) / 3) ** 2 for v in values) / 2) ** 0.5
    assert source == "measured"
    assert rank1 == f"{mean} ± {spread:.1f} (~+{mean - 85.8:.1f})" == "88.1 ± 0.4 (~+2.3)"


def test_partial_data_claims_no_difference(partial_page: str) -> None:
    source, *cells = paper_rows(partial_page, "II")["`cmmanet-random_interval`"]
    assert source == "measured; partial data, recipe demo: 6 of the paper's 9 settings differ"
    assert not any("(" in cell for cell in cells)
    assert "no difference to a published value is given" in section(partial_page, "## Table II.")
    assert "No number of the paper is reproduced here yet" in partial_page
    assert "partial data: 142,000 of 1,191,003 frames" in partial_page
    source, *_ = paper_rows(partial_page, "III")["`cmmanet-restricted`"]
    assert source == (
        "measured; MARS partial data, recipe demo: 6 of the paper's 9 settings differ"
    )


def verdict(page: str) -> str:
    return " ".join(page[: page.index("## Status")].split())


def test_a_run_is_judged_by_its_settings_not_by_its_recipes_name() -> None:
    report = made_up.report(["mars"])
    page = made_up.page(report, made_up.results("mars", recipe="demo"))
    mark = "recipe demo: 6 of the paper's 9 settings differ"
    assert f"published numbers: MARS.** MARS with {mark}. Not run: iLIDS-VID." in verdict(page)
    assert paper_rows(page, "II")["`cmmanet-random_interval`"][0] == f"measured; {mark}"

    page = made_up.page(report, made_up.results("mars", recipe="renamed"))
    assert "published numbers: MARS.** Not run" in verdict(page)
    assert "Not the paper's settings" not in page
    assert {cells[0] for cells in paper_rows(page, "IV").values()} == {"the paper", "measured"}

    results = made_up.results("mars")
    key = ("mars", "multi_mam")
    results[key] = made_up.changed(results[key], {"config/optimiser/lr": 0.01})
    page = made_up.page(report, results)
    mark = "recipe paper: optimiser.lr 0.01 (the paper: 0.0002)"
    assert f"MARS.** MARS `multi_mam` with {mark}. Not run" in verdict(page)
    assert paper_rows(page, "IV")["`multi_mam`"][0] == f"measured; {mark}"
    assert paper_rows(page, "IV")["`baseline`"][0] == "measured"


STRONG = "recipe strong: 3 of the paper's 9 settings differ, 4 options that it does not mention"


def test_a_strong_run_never_looks_like_the_papers() -> None:
    datasets = ["mars", "ilids-vid", "prid2011"]
    results = {}
    for dataset in datasets:
        results |= made_up.results(dataset, recipe="strong")
    report = made_up.report(datasets)
    page = made_up.page(report, results)
    assert f"MARS with {STRONG}. iLIDS-VID with {STRONG}." in verdict(page)
    for number in ("I", "II", "III", "IV", "V"):
        ours = [c[0] for c in paper_rows(page, number).values() if c[0].startswith("measured")]
        assert ours and all(STRONG in source for source in ours)
    for heading in ("## MARS", "## iLIDS-VID", "## PRID-2011"):
        text = section(page, heading)
        # Before the first number.
        assert f"**Not the paper's settings:** {STRONG}." in text[: text.index("|")]
    for metrics in headline_metrics(made_up.plan(report, results)).values():
        assert metrics.recipe == "strong" and not metrics.papers_settings


def test_one_strong_arm_among_the_papers_is_named() -> None:
    results = made_up.results("mars")
    results["mars", "baseline"] = made_up.result("mars", "baseline", [0.8] * 3, recipe="strong")
    page = made_up.page(made_up.report(["mars"]), results)
    assert f"MARS.** MARS `baseline` with {STRONG}. Not run" in verdict(page)
    assert f"**Not the paper's settings:** `baseline` {STRONG}." in section(page, "## MARS")


def test_what_the_paper_states_is_listed(synthetic_page: str) -> None:
    text = section(synthetic_page, "## How to read")
    for fact in (
        "image.height × image.width 256×128 (Sec. IV-B)",
        "batch.identities × batch.clips 28 (Sec. IV-B, batch size)",
        "model.last_stride 2 (Sec. III-B, by its 2048×8×4 features)",
        "optimiser.lr 0.0002 (Sec. IV-B)",
    ):
        assert fact in text


def test_one_trial_has_no_spread() -> None:
    page = made_up.page(made_up.report(["mars"]), made_up.results("mars", 1))
    cells = paper_rows(page, "IV")["`baseline`"]
    assert cells[1] == "80.0 (−5.8)"
    assert "there is one trial, so that nobody knows" in section(page, "## Table IV.")
    assert "### Each trial" not in page


def test_restricted_headline_is_said() -> None:
    page = made_up.page(made_up.report(["mars"], sampler="restricted"), made_up.results("mars"))
    assert "`cmmanet-restricted`" in paper_rows(page, "II")
    assert "the published row is random interval sampling" in section(page, "## Table II.")
    assert list(paper_rows(page, "IV"))[-1] == "`cmmanet-random_interval`"


def test_own_arms_follow_the_components(full_page: str) -> None:
    source, *cells = paper_rows(full_page, "IV")["`k8`"]
    assert source == "measured; not in the paper"
    assert not any("(" in cell for cell in cells)
    own = tables_of(full_page)["Synthetic: not in the paper / Component analysis"]
    assert own[-1][:2] == ["`k8`", "–"]
    assert "`cmmanet-random_interval` → `k8`" in section(full_page, "## Table IV.")
    assert "`k8`" not in paper_rows(full_page, "III")


def test_planned_dataset_without_the_papers_arms() -> None:
    arms = ["k8", "cmmanet-restricted"]
    report = made_up.report(["mars"], arms, sampler="restricted")
    page = made_up.page(report, made_up.results("mars", arms=arms))
    assert paper_rows(page, "IV")["`baseline`"][1:] == ["not run"] * 3
    assert paper_rows(page, "IV")["`k8`"][1] != "not run"


def test_trials_and_every_metric_are_shown(full_page: str) -> None:
    tables = tables_of(full_page)
    splits = tables["iLIDS-VID: every metric / Each split"]
    assert splits[0][1:] == [f"split {number}" for number in range(10)]
    assert splits[1][:4] == ["`baseline`", "80.0", "80.6", "79.6"]
    dense = tables["MARS: every metric / All arms"]
    assert dense[0] == [
        "arm", "the paper's name", "R1", "R5", "R10", "R20", "mAP", "mAP (step)"
    ]  # fmt: skip
    assert dense[1][2] == "80.1 ± 0.5"


def test_chunk_first_as_headline() -> None:
    report = made_up.report(["mars"]).model_copy(update={"test_frames": "chunk_first"})
    results = made_up.results("mars")
    page = made_up.page(report, results)
    assert paper_rows(page, "IV")["`baseline`"][1].startswith("77.0 ± 0.5 ")
    otherwise = tables_of(page)["MARS: every metric / The same networks, scored otherwise"]
    assert otherwise[0] == ["R1", "cosine, chunk_first", "dense", "euclidean", WITHOUT]
    assert otherwise[1] == ["`baseline`", *[f"{r} ± 0.5" for r in ("77.0", "80.1", "76.3", "72.7")]]
    headline = headline_metrics(made_up.plan(report, results))["mars"]
    mean = results["mars", "cmmanet-random_interval"].mean
    assert headline.rank1 == mean["cosine.chunk_first"]["rank1"]


def test_conditions_name_what_a_number_depends_on(full_page: str) -> None:
    text = section(full_page, "## MARS")
    for fact in (
        "protocol mars, splits of the info files: 1,980 queries (one is 0.05 points), "
        "gallery 12,180 with 3,248 distractors and 870 junk",
        "test frames: every frame (dense); cosine distance; mAP: official (trapezoid); 3 trials of "
        "110 iterations, seeds 0–2",
        "- recipe paper: *image* height 256, width 128; *clip* frames 6, flip on, erase 0; *batch*",
        "random_interval with max_interval 8, draw epoch, start any (restricted for "
        "`cmmanet-restricted`) - trained on NVIDIA H200, bf16, with deterministic kernels",
        "; torch 2.15.0, torchvision 0.29.2, Python 3.11.7; commit abc1234def; measured 2026-11-22",
    ):
        assert fact in text
    assert "10 splits (they overlap: ± is no standard error) of 110 iterations" in section(
        full_page, "## iLIDS-VID"
    )
    assert "multiples of 1/150" in section(full_page, "## Table V.")


def test_conditions_are_printed_once_per_dataset(full_page: str) -> None:
    for name in ("MARS", "iLIDS-VID", "Synthetic"):
        assert full_page.count(f"What the numbers on {name} depend on:") == 1
        assert f"What the numbers on {name}" in section(full_page, f"## {name}:")
    for number, datasets in {"I": ["iLIDS-VID"], "III": ["MARS", "iLIDS-VID"]}.items():
        for name in datasets:
            assert f"see *{name}: every metric*." in section(full_page, f"## Table {number}.")


DENSE = "metrics/cosine.dense"


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"environment/dirty": True}, "abc1234def with uncommitted changes"),
        ({"environment/commit": None}, "commit unknown for `multi_mam`"),
        ({"embedding/commit": "0" * 40}, "`multi_mam` embedded at commit 000"),
        ({"evaluation/commit": "0" * 40}, "`multi_mam` evaluated at commit 000"),
        ({"evaluation/date": "2026-11-25"}, "2026-11-22 to 2026-11-25"),
        ({"embedding/device": "CPU (x)"}, "| NVIDIA H200 / CPU (x) |"),
        ({"environment/date": "2026-11-24T00:10:00+00:00"}, "2026-11-24"),
        ({"config/model/weights": "none"}, "none for `multi_mam`"),
        (
            {"config/model/weights": {"path": "w", "sha256": "7c0df586" * 8}},
            "model.weights file 7c0df586 (the paper: imagenet)",
        ),
        ({"trials/0/iterations": 2000}, "110–2,000 iterations"),
        ({f"trials/0/{DENSE}/valid": 1840}, "up to 140 of them"),
        ({"environment/device": "CPU (x)"}, "(CPU (x), bf16 for `multi_mam`)"),
        ({"mean/cosine.dense/map": 0.123}, "12.3"),
        ({"mean/cosine.chunk_first/map": 0.123}, "12.3"),
        ({"mean/euclidean.dense/rank1": 0.123}, "12.3"),
        ({"std/cosine.dense/rank20": 0.123}, "± 12.3"),
        ({f"trials/2/{DENSE}/rank1": 0.123}, "12.3"),
    ],
)
def test_page_follows_its_inputs(change: Mapping[str, Any], shown: str) -> None:
    results = made_up.results("mars")
    before = made_up.page(made_up.report(["mars"]), results)
    results["mars", "multi_mam"] = made_up.changed(results["mars", "multi_mam"], change)
    after = " ".join(made_up.page(made_up.report(["mars"]), results).split())
    assert shown in after
    assert shown not in " ".join(before.split())


def test_rendering_is_repeatable(synthetic_page: str) -> None:
    results = made_up.results("synthetic", 2, recipe="demo")
    assert made_up.page(made_up.report(["synthetic"]), results) == synthetic_page


def test_headline_metrics() -> None:
    results = {**made_up.results("synthetic", 2), **made_up.results("mars", 1, partial=True)}
    report = made_up.report(["synthetic", "mars"])
    metrics = headline_metrics(made_up.plan(report, results))
    for headline in metrics.values():
        assert Headline.model_validate_json(json.dumps(headline.model_dump())) == headline
    assert list(metrics) == ["synthetic", "mars"]
    result = results["synthetic", "cmmanet-random_interval"]
    assert result.std is not None
    assert metrics["synthetic"].model_dump() == {
        "arm": "cmmanet-random_interval",
        "scoring": "cosine.dense",
        **result.mean["cosine.dense"],
        "rank1_std": result.std["cosine.dense"]["rank1"],
        # Made up as 3 points to both sides.
        "rank1_low": pytest.approx(result.mean["cosine.dense"]["rank1"] - 0.03),
        "rank1_high": pytest.approx(result.mean["cosine.dense"]["rank1"] + 0.03),
        "trials": 2,
        "partial": False,
        "recipe": "paper",
        "papers_settings": True,
    }
    assert metrics["mars"].rank1_std is None and metrics["mars"].partial


def test_headline_over_splits_has_no_interval_over_people() -> None:
    report, results = made_up.report(["ilids-vid"]), made_up.results("ilids-vid", 10)
    metrics = headline_metrics(made_up.plan(report, results))["ilids-vid"]
    assert metrics.rank1_low is metrics.rank1_high is None
    assert metrics.trials == 10


def test_tilde_needs_the_published_value_in_the_interval() -> None:
    report, results = made_up.report(["mars", "ilids-vid"]), made_up.results("mars", 1)
    results |= made_up.results("ilids-vid", 10)
    # The paper's baseline has 85.8, 94.7 and 79.4; intervals reach 3 points to both sides.
    key = ("mars", "baseline")
    means = {"rank1": 0.829, "rank5": 0.915, "map": 0.823}
    results[key] = made_up.changed(
        results[key], {f"mean/cosine.dense/{metric}": value for metric, value in means.items()}
    )
    page = made_up.page(report, results)
    assert paper_rows(page, "IV")["`baseline`"][1:] == [
        "82.9 (~−2.9)", "91.5 (−3.2)", "82.3 (~+2.9)"
    ]  # fmt: skip
    # Table V has 82.7 for the 80.1 of its baseline, but splits have no such interval.
    assert "~" not in str(paper_rows(page, "V"))
    assert "~" not in str(paper_rows(page, "I"))
    results[key] = made_up.changed(results[key], {"partial": True})
    assert paper_rows(made_up.page(report, results), "IV")["`baseline`"][1] == "82.9"


def test_reranked_rows_stand_where_methods_are_compared(full_page: str) -> None:
    name = "`cmmanet-random_interval`, re-ranked [42]"
    for number in ("I", "II"):
        methods = list(paper_rows(full_page, number))
        assert methods[methods.index("`cmmanet-random_interval`") + 1] == name
        source, *cells = paper_rows(full_page, number)[name]
        assert source == "measured; not in the paper"
        assert not any("(" in cell for cell in cells)
    # The fifth arm has 80.0 and 4 steps of 1.3, the jitter 0.07 on average, re-ranking adds 2.1.
    assert paper_rows(full_page, "II")[name][1] == "87.4 ± 0.5"
    for number in ("III", "IV", "V"):
        assert not any("re-ranked" in method for method in paper_rows(full_page, number))
    every = {row[0]: row[1:] for row in tables_of(full_page)["MARS: every metric / All arms"]}
    assert [arm for arm in every if "re-ranked" in arm] == ["`cmmanet-random_interval`, re-ranked"]
    assert every["`cmmanet-random_interval`, re-ranked"][1] == "87.4 ± 0.5"
    assert "Re-ranked with k1 20, k2 6, weight 0.3." in section(full_page, "## MARS")
    # Of the three datasets this one was not re-ranked.
    assert "e-ranked" not in section(full_page, "## Synthetic")
    plain = made_up.page(made_up.report(["mars"]), made_up.results("mars"))
    assert "re-ranked" not in plain[: plain.index("## How to read")]


WITHOUT = "queries not in gallery"


def test_the_same_networks_scored_otherwise(full_page: str) -> None:
    tables = tables_of(full_page)
    name = "{}: every metric / The same networks, scored otherwise{}".format
    head = ["cosine, dense", "chunk_first", "euclidean"]
    assert tables[name("MARS", "")][0] == ["R1", *head, WITHOUT, "re-ranked"]
    # Made up as 3.1, 0.7 and 4.3 points less, and 2.1 more.
    numbers = ("80.1", "77.0", "79.4", "75.8", "82.2")
    assert tables[name("MARS", "")][1] == ["`baseline`", *(f"{n} ± 0.5" for n in numbers)]
    assert len(tables[name("MARS", "")]) == 8
    numbers = ("86.9", "83.8", "86.2", "82.6", "89.0")
    assert tables[name("MARS", " #2")][1] == ["`baseline`", *(f"{n} ± 0.5" for n in numbers)]
    assert tables[name("MARS", " #2")][0][0] == "mAP"
    # The queries come from the other camera: they never stand in the gallery.
    assert tables[name("iLIDS-VID", "")][0] == ["R1", *head, "re-ranked"]
    synthetic = "Synthetic: not in the paper / The same networks, scored otherwise"
    assert tables[synthetic][0] == ["R1", *head, WITHOUT]


def test_intervals_over_people_where_all_trials_ask_the_same(full_page: str) -> None:
    tables = tables_of(full_page)
    people = tables["MARS: every metric / With other people"]
    assert people[0] == ["arm", "R1", "R5", "mAP"]
    assert people[1] == [
        "`baseline`", "80.1 (77.1 to 83.1)", "81.8 (78.8 to 84.8)", "86.9 (83.9 to 89.9)"
    ]  # fmt: skip
    assert "over the 625 people of the queries" in section(full_page, "## MARS")
    assert "Synthetic: not in the paper / With other people" in tables
    assert "With other people" not in section(full_page, "## iLIDS-VID")


def test_steps_on_a_dataset_that_the_paper_lacks(synthetic_page: str) -> None:
    name = "Synthetic: not in the paper / Component analysis #2"
    steps = {(row[0], row[1]): row[2:] for row in tables_of(synthetic_page)[name][1:]}
    # Every step is of 1.3 points, and the jitter of two trials turns it to 0.7 or 1.9.
    assert steps["`baseline` → `single_mam`", "R1"] == ["+0.7 ± 2.0", "not resolved"]
    assert steps["`single_mam` → `multi_mam`", "mAP"] == ["+2.6 ± 2.0", "resolved"]
    assert len(steps) == 8
    assert "the paper" not in tables_of(synthetic_page)[name][0]
    sampling = tables_of(synthetic_page)["Synthetic: not in the paper / Sampling #2"]
    assert [row[1:] for row in sampling[1:]] == [
        ["R1", "−0.7 ± 2.0", "not resolved"],
        ["mAP", "−0.7 ± 2.0", "not resolved"],
    ]


def test_sureness_stands_where_steps_are_judged(full_page: str) -> None:
    for heading in ("## Table I.", "## Table II.", "## MARS"):
        assert "How sure" not in section(full_page, heading)
    assert section(full_page, "## Table III.").count("How sure on ") == 2
    assert section(full_page, "## Table IV.").count("How sure on MARS: ") == 1
    assert section(full_page, "## Table V.").count("How sure on iLIDS-VID: ") == 1
