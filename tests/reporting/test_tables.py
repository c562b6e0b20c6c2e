"""The page and the metrics file, from made-up results."""

from __future__ import annotations

import copy
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from cmmanet.reporting.published import load_published
from cmmanet.reporting.tables import headline_metrics, render_tables


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def tables_of(page: str) -> dict[str, list[list[str]]]:
    """Every Markdown table by the heading above it: header first, without the rule."""
    tables: dict[str, list[list[str]]] = {}
    heading, section = "", ""
    for line in page.splitlines():
        if line.startswith("## "):
            heading = section = line[3:]
        elif line.startswith("### "):
            heading = f"{section} / {line[4:]}"
        elif line.startswith("|") and not line.startswith("|:"):
            tables.setdefault(heading, []).append(cells_of(line))
    return tables


def paper_rows(page: str, number: str) -> dict[str, list[str]]:
    """A table of the paper: the cells after the method, by method."""
    name = next(name for name in tables_of(page) if name.startswith(f"Table {number}."))
    return {method: cells for method, *cells in tables_of(page)[name][1:]}


def section(page: str, start: str) -> str:
    """From a heading to the next one of its rank, on one line."""
    text = page[page.index(start) :]
    end = re.search(r"\n##? ", text[3:])
    return " ".join((text[: end.start() + 3] if end else text).split())


@pytest.fixture(scope="module")
def full_page(made_up: SimpleNamespace) -> str:
    arms = [*made_up.arms, "k8"]
    results = {
        **made_up.results("mars", 3, arms),
        **made_up.results("ilids-vid", 10, arms),
        **made_up.results("synthetic", 2, arms, recipe="demo"),
    }
    return render_tables(made_up.report(["mars", "ilids-vid", "synthetic"], arms), results)


@pytest.fixture(scope="module")
def synthetic_page(made_up: SimpleNamespace) -> str:
    return render_tables(
        made_up.report(["synthetic"]), made_up.results("synthetic", 2, recipe="demo")
    )


@pytest.fixture(scope="module")
def partial_page(made_up: SimpleNamespace) -> str:
    results = made_up.results("mars", 3, partial=True, recipe="demo")
    return render_tables(made_up.report(["mars"]), results)


@pytest.mark.parametrize("name", ["full_page", "synthetic_page", "partial_page"])
def test_markdown_is_well_formed(name: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(name)
    blocks = re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE)
    assert len(blocks) >= 8
    for block in blocks:
        header, rule, *body = block.splitlines()
        assert re.fullmatch(r"(\|:-+|\|-+:)+\|", rule)
        assert body
        assert {len(cells_of(line)) for line in (header, rule, *body)} == {len(cells_of(header))}
        assert len({len(line) for line in (header, rule, *body)}) == 1, "aligned as raw text"
    for line in page.splitlines():
        assert line.startswith("|") or len(line) <= 100
        # Wrapping must not start a list where a paragraph goes on.
        assert not re.match(r"([+*]|\d+[.)]) ", line)
    assert "\n\n\n" not in page
    assert not re.search(r"nan|None|−0\.0\b|-0\.0\b", page)


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


def test_difference_is_measured_minus_published(made_up: SimpleNamespace) -> None:
    results = made_up.results("mars")
    values = [0.8812, 0.8846, 0.8771]
    results["mars", "baseline"] = made_up.result("mars", "baseline", values)
    source, rank1, *_ = paper_rows(render_tables(made_up.report(["mars"]), results), "IV")[
        "`baseline`"
    ]
    mean = round(100 * sum(values) / 3, 1)
    spread = (sum((100 * v - 100 * sum(values) / 3) ** 2 for v in values) / 2) ** 0.5
    assert source == "measured"
    assert rank1 == f"{mean} ± {spread:.1f} (+{mean - 85.8:.1f})" == "88.1 ± 0.4 (+2.3)"


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


def test_a_run_is_judged_by_its_settings_not_by_its_recipes_name(
    made_up: SimpleNamespace,
) -> None:
    report = made_up.report(["mars"])
    page = render_tables(report, made_up.results("mars", recipe="demo"))
    mark = "recipe demo: 6 of the paper's 9 settings differ"
    assert f"published numbers: MARS.** MARS with {mark}. Not run: iLIDS-VID." in verdict(page)
    assert paper_rows(page, "II")["`cmmanet-random_interval`"][0] == f"measured; {mark}"

    page = render_tables(report, made_up.results("mars", recipe="renamed"))
    assert "published numbers: MARS.** Not run" in verdict(page)
    assert "Not the paper's settings" not in page
    assert {cells[0] for cells in paper_rows(page, "IV").values()} == {"the paper", "measured"}

    results = made_up.results("mars")
    results["mars", "multi_mam"]["config"]["optimiser"]["lr"] = 0.01
    page = render_tables(report, results)
    mark = "recipe paper: optimiser.lr 0.01 (the paper: 0.0002)"
    assert f"MARS.** MARS `multi_mam` with {mark}. Not run" in verdict(page)
    assert paper_rows(page, "IV")["`multi_mam`"][0] == f"measured; {mark}"
    assert paper_rows(page, "IV")["`baseline`"][0] == "measured"


STRONG = "recipe strong: 3 of the paper's 9 settings differ, 4 options that it does not mention"


def test_a_strong_run_never_looks_like_the_papers(made_up: SimpleNamespace) -> None:
    datasets = ["mars", "ilids-vid", "prid2011"]
    results = {}
    for dataset in datasets:
        results |= made_up.results(dataset, recipe="strong")
    report = made_up.report(datasets)
    page = render_tables(report, results)
    assert f"MARS with {STRONG}. iLIDS-VID with {STRONG}." in verdict(page)
    for number in ("I", "II", "III", "IV", "V"):
        ours = [c[0] for c in paper_rows(page, number).values() if c[0].startswith("measured")]
        assert ours and all(STRONG in source for source in ours)
    for heading in ("## MARS", "## iLIDS-VID", "## PRID-2011"):
        text = section(page, heading)
        # Before the first number.
        assert f"**Not the paper's settings:** {STRONG}." in text[: text.index("|")]
    for metrics in headline_metrics(report, results).values():
        assert metrics["recipe"] == "strong" and metrics["papers_settings"] is False


def test_one_strong_arm_among_the_papers_is_named(made_up: SimpleNamespace) -> None:
    results = made_up.results("mars")
    results["mars", "baseline"] = made_up.result("mars", "baseline", [0.8] * 3, recipe="strong")
    page = render_tables(made_up.report(["mars"]), results)
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


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_what_is_no_number_is_a_dash(made_up: SimpleNamespace, nothing: float | None) -> None:
    results = made_up.results("mars")
    headline = results["mars", "cmmanet-random_interval"]
    for scores in (headline["mean"], headline["std"]):
        scores["dense"] = dict.fromkeys(scores["dense"], nothing)
    for trial in headline["trials"]:
        trial["metrics"]["dense"] = dict.fromkeys(trial["metrics"]["dense"], nothing)
    page = render_tables(made_up.report(["mars"]), results)
    assert not re.search(r"\bnan\b|None", page)
    assert paper_rows(page, "II")["`cmmanet-random_interval`"][1:] == ["–"] * 4
    assert tables_of(page)["MARS: every metric / R1 of each trial"][5][1:] == ["–"] * 3
    assert "to judge by: `multi_mam` → `cmmanet-random_interval`" in section(page, "## Table IV.")
    metrics = headline_metrics(made_up.report(["mars"]), results)["mars"]
    assert metrics["rank1"] is metrics["map"] is metrics["rank1_std"] is None
    json.dumps(metrics, allow_nan=False)


def test_one_trial_has_no_spread(made_up: SimpleNamespace) -> None:
    page = render_tables(made_up.report(["mars"]), made_up.results("mars", 1))
    cells = paper_rows(page, "IV")["`baseline`"]
    assert cells[1] == "80.0 (−5.8)"
    assert "Fewer than 3 trials cannot tell" in section(page, "## Table IV.")
    assert "R1 of each trial" not in page


def test_restricted_headline_is_said(made_up: SimpleNamespace) -> None:
    page = render_tables(made_up.report(["mars"], sampler="restricted"), made_up.results("mars"))
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


def test_planned_dataset_without_the_papers_arms(made_up: SimpleNamespace) -> None:
    arms = ["k8", "cmmanet-restricted"]
    report = made_up.report(["mars"], arms, sampler="restricted")
    page = render_tables(report, made_up.results("mars", arms=arms))
    assert paper_rows(page, "IV")["`baseline`"][1:] == ["not run"] * 3
    assert paper_rows(page, "IV")["`k8`"][1] != "not run"


def test_trials_and_both_modes_are_shown(full_page: str) -> None:
    tables = tables_of(full_page)
    splits = tables["iLIDS-VID: every metric / R1 of each split"]
    assert splits[0][1:] == [f"split {number}" for number in range(10)]
    assert splits[1][:4] == ["`baseline`", "80.0", "80.6", "79.6"]
    dense = tables["MARS: every metric / All arms"]
    chunks = tables["MARS: every metric / Tested on the first frame of each chunk"]
    assert dense[0] == [
        "arm", "the paper's name", "R1", "R5", "R10", "R20", "mAP", "mAP (step)"
    ]  # fmt: skip
    assert dense[1][2] == "80.1 ± 0.5"
    assert chunks[1][2] == "77.0 ± 0.5"


def test_chunk_first_as_headline(made_up: SimpleNamespace) -> None:
    report = {**made_up.report(["mars"]), "test_frames": "chunk_first"}
    results = made_up.results("mars")
    page = render_tables(report, results)
    assert paper_rows(page, "IV")["`baseline`"][1].startswith("77.0 ± 0.5 ")
    assert "MARS: every metric / Tested on every frame" in tables_of(page)
    headline = headline_metrics(report, results)["mars"]
    mean = results["mars", "cmmanet-random_interval"]["mean"]
    assert headline["rank1"] == mean["chunk_first"]["rank1"]


def test_conditions_name_what_a_number_depends_on(full_page: str) -> None:
    text = section(full_page, "## Table II.")
    for fact in (
        "protocol mars, splits of the info files: 1,980 queries (one is 0.05 points), "
        "gallery 12,180 with 3,248 distractors and 870 junk; cosine distance",
        "every frame (dense)",
        "mAP: official (trapezoid)",
        "3 trials of 110 iterations, seeds 0–2",
        "- recipe paper: *image* height 256, width 128; *clip* frames 6, flip on, erase 0; *batch*",
        "*sampling* random_interval with max_interval 8, draw epoch, start any - trained on "
        "NVIDIA H200, bf16, not",
        "; torch 2.15.0, torchvision 0.29.2, Python 3.11.7; commit abc1234def; measured 2026-11-22",
    ):
        assert fact in text
    assert "10 splits (they overlap: ± is no standard error) of 110 iterations" in section(
        full_page, "## Table I."
    )
    assert "multiples of 1/150" in section(full_page, "## Table V.")


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda r: r["environment"].update(dirty=True), "abc1234def with uncommitted changes"),
        (lambda r: r["environment"].update(commit=None), "commit unknown for `multi_mam`"),
        (lambda r: r["embedding"].update(commit="0" * 40), "`multi_mam` embedded at commit 000"),
        (lambda r: r["evaluation"].update(commit="0" * 40), "`multi_mam` evaluated at commit 000"),
        (lambda r: r["evaluation"].update(date="2026-11-25"), "2026-11-22 to 2026-11-25"),
        (lambda r: r["embedding"].update(device="CPU (x)"), "| NVIDIA H200 / CPU (x) |"),
        (lambda r: r["environment"].update(date="2026-11-24T00:10:00+00:00"), "2026-11-24"),
        (lambda r: r["config"]["model"].update(weights="none"), "none for `multi_mam`"),
        (
            lambda r: r["config"]["model"].update(weights={"path": "w", "sha256": "7c0df586ff"}),
            "model.weights file 7c0df586 (the paper: imagenet)",
        ),
        (lambda r: r["trials"][0].update(iterations=2000), "110–2,000 iterations"),
        (lambda r: r["trials"][0]["metrics"]["dense"].update(valid=1840), "up to 140 of them"),
        (lambda r: r["environment"].update(device="CPU (x)"), "(CPU (x), bf16 for `multi_mam`)"),
        (lambda r: r["mean"]["dense"].update(map=0.123), "12.3"),
        (lambda r: r["mean"]["chunk_first"].update(map_step=0.123), "12.3"),
        (lambda r: r["std"]["dense"].update(rank20=0.123), "± 12.3"),
        (lambda r: r["trials"][2]["metrics"]["dense"].update(rank1=0.123), "12.3"),
    ],
)
def test_page_follows_its_inputs(made_up: SimpleNamespace, change: Any, shown: str) -> None:
    results = made_up.results("mars")
    before = render_tables(made_up.report(["mars"]), results)
    changed = copy.deepcopy(results)
    change(changed["mars", "multi_mam"])
    after = " ".join(render_tables(made_up.report(["mars"]), changed).split())
    assert shown in after
    assert shown not in " ".join(before.split())


def test_rendering_is_repeatable_and_ignores_stale_results(
    made_up: SimpleNamespace, synthetic_page: str
) -> None:
    results = made_up.results("synthetic", 2, recipe="demo")
    stale = {
        **made_up.results("mars"),
        **results,
        ("synthetic", "old"): results["synthetic", made_up.arms[0]],
    }
    assert (
        render_tables(made_up.report(["synthetic"]), dict(reversed(stale.items())))
        == synthetic_page
    )


def test_missing_result_names_the_stage(made_up: SimpleNamespace) -> None:
    results = made_up.results("synthetic")
    del results["synthetic", "multi_mam"]
    for render in (render_tables, headline_metrics):
        with pytest.raises(ValueError, match=r"run `dvc repro evaluate@synthetic-multi_mam`$"):
            render(made_up.report(["synthetic"]), results)


def test_headline_outside_the_arms_is_refused(made_up: SimpleNamespace) -> None:
    arms = ["k8"]
    with pytest.raises(ValueError, match=r"'cmmanet-random_interval' is not among .* \(k8\)"):
        render_tables(made_up.report(["mars"], arms), made_up.results("mars", arms=arms))


def test_headline_metrics(made_up: SimpleNamespace) -> None:
    results = {**made_up.results("synthetic", 2), **made_up.results("mars", 1, partial=True)}
    metrics = headline_metrics(made_up.report(["synthetic", "mars"]), results)
    assert json.loads(json.dumps(metrics)) == metrics
    assert list(metrics) == ["synthetic", "mars"]
    result = results["synthetic", "cmmanet-random_interval"]
    assert metrics["synthetic"] == {
        "arm": "cmmanet-random_interval",
        "test_frames": "dense",
        **result["mean"]["dense"],
        "rank1_std": result["std"]["dense"]["rank1"],
        "trials": 2,
        "partial": False,
        "recipe": "paper",
        "papers_settings": True,
    }
    assert metrics["mars"]["rank1_std"] is None
    assert metrics["mars"]["partial"] is True


def test_two_trials_say_that_they_resolve_little(synthetic_page: str) -> None:
    text = section(synthetic_page, "## Synthetic")
    assert "Fewer than 3 trials cannot tell a step from chance" in " ".join(text.split())
    assert "so that the order of these arms means nothing" in text
