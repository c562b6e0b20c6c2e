"""The report and the metrics file, from made-up results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from reporting import made_up
from reporting.pages import (
    assert_snapshot,
    assert_well_formed,
    cells_of,
    columns_of,
    paragraphs_of,
    table_of,
)

from cmmanet.reporting.document import Document, Figure, Heading, escape, markdown
from cmmanet.reporting.figures.entry import Figure as Listed
from cmmanet.reporting.published import load_published
from cmmanet.reporting.report import Headline, headline_metrics
from cmmanet.reporting.summary import Extent, extent, headline_numbers, resolved

OURS = "cmmanet-random_interval"
WITHOUT = "queries not in gallery"
STRONG = "3 of the paper's 9 settings differ, 4 options that it does not mention"
DEMO = "6 of the paper's 9 settings differ"


@pytest.fixture(scope="module")
def full() -> Document:
    """Two datasets of the paper, one of ten splits, and one of ours; an arm of the user's."""
    arms = [*made_up.arms, "k8"]
    results = {
        **made_up.results("mars", 3, arms, reranked=True),
        **made_up.results("ilids-vid", 10, arms, reranked=True),
        **made_up.results("synthetic", 2, arms, recipe="demo"),
    }
    return made_up.document(made_up.report(["mars", "ilids-vid", "synthetic"], arms), results)


@pytest.fixture(scope="module")
def synthetic() -> Document:
    return made_up.document(
        made_up.report(["synthetic"]), made_up.results("synthetic", 2, recipe="demo")
    )


@pytest.fixture(scope="module")
def partial() -> Document:
    results = made_up.results("mars", 3, partial=True, recipe="demo")
    return made_up.document(made_up.report(["mars"]), results)


@pytest.mark.parametrize("name", ["full", "synthetic", "partial"])
def test_markdown_is_well_formed(name: str, request: pytest.FixtureRequest) -> None:
    assert_well_formed(request.getfixturevalue(name))


def test_snapshot(full: Document) -> None:
    assert_snapshot(full, "tables.md")


def test_order_of_the_report(synthetic: Document) -> None:
    titles = [block.text for block in synthetic.blocks if isinstance(block, Heading)]
    order = [
        "Runs", "Table I.", "Table II.", "Audit", "Table III.", "Table IV.", "Table V.",
        "Synthetic: all", "The paper's claims about attention", "Costs", "Each run", "How to read",
    ]  # fmt: skip
    places = [next(n for n, t in enumerate(titles) if t.startswith(start)) for start in order]
    assert places == sorted(places)


def test_extent() -> None:
    paper = load_published()
    results = {**made_up.results("mars", partial=True), **made_up.results("synthetic")}
    plan = made_up.plan(made_up.report(["mars", "synthetic"]), results)
    assert extent(plan, paper) == Extent([], [], ["mars"], ["ilids-vid"], ["synthetic"])
    results = made_up.results("mars")
    plan = made_up.plan(made_up.report(["mars"]), results)
    assert extent(plan, paper) == Extent(["mars"], [], [], ["ilids-vid"], [])
    results["mars", "baseline"] = made_up.result("mars", "baseline", [0.8] * 3, recipe="strong")
    plan = made_up.plan(made_up.report(["mars"]), results)
    assert extent(plan, paper) == Extent([], ["mars"], [], ["ilids-vid"], [])


def test_every_published_row_is_in_the_report(synthetic: Document) -> None:
    for number, published in load_published().tables.items():
        rows = table_of(synthetic, f"table-{number.lower()}")[1:]
        values = [["–" if v is None else f"{v:.1f}" for v in row.values] for row in published.rows]
        assert [row[-len(published.columns) :] for row in rows] == values
        for row, shown in zip(published.rows, rows, strict=True):
            assert shown[0].startswith(escape(row.method + "*" * row.optical_flow))
            if row.reference and not row.arm:
                assert shown[1] == f"[{row.reference.number}] {row.reference.short}"


def test_measured_rows_are_below_the_papers_own(full: Document) -> None:
    for number, published in load_published().tables.items():
        methods = list(cells_of(full, f"table-{number.lower()}"))
        for row in published.rows:
            if row.arm is not None:
                name = row.method + (f" [{row.reference.number}]" if row.reference else "")
                arm = OURS if row.arm == "headline" else row.arm
                assert methods[methods.index(name) + 1] == f"`{arm}`"


def test_difference_is_measured_minus_published() -> None:
    results = made_up.results("mars")
    values = [0.8812, 0.8846, 0.8771]
    results["mars", "baseline"] = made_up.result("mars", "baseline", values)
    document = made_up.document(made_up.report(["mars"]), results)
    source, rank1, *_ = cells_of(document, "table-iv")["`baseline`"]
    mean = round(100 * sum(values) / 3, 1)
    spread = (sum((100 * v - 100 * sum(values) / 3) ** 2 for v in values) / 2) ** 0.5
    assert source == "measured"
    assert rank1 == f"{mean} ± {spread:.1f} (~+{mean - 85.8:.1f})" == "88.1 ± 0.4 (~+2.3)"


def test_partial_data_have_no_difference(partial: Document) -> None:
    source, *cells = cells_of(partial, "table-ii")[f"`{OURS}`"]
    assert source == "measured; partial data, recipe demo, not the paper's settings"
    assert not any("(" in cell for cell in cells)
    assert "**Partial data:** 142,000 of 1,191,003 frames." in paragraphs_of(partial)
    source, *_ = cells_of(partial, "table-iii")["`cmmanet-restricted`"]
    assert source == "measured; MARS partial data, recipe demo, not the paper's settings"


@pytest.mark.parametrize(("recipe", "mark"), [("demo", DEMO), ("strong", STRONG), ("other", "")])
def test_settings_mark_a_run_and_the_recipes_name_does_not(recipe: str, mark: str) -> None:
    datasets = ["mars", "ilids-vid"]
    results = {}
    for dataset in datasets:
        results |= made_up.results(dataset, recipe=recipe)
    report = made_up.report(datasets)
    document = made_up.document(report, results)
    for number in ("i", "ii", "iii", "iv", "v"):
        sources = [cells[0] for cells in cells_of(document, f"table-{number}").values()]
        ours = [source for source in sources if source.startswith("measured")]
        marked = [f"recipe {recipe}, not the paper's settings" in source for source in ours]
        assert marked and set(marked) == {bool(mark)}
    differing = columns_of(document, "runs")["MARS"]["differs from the paper's settings"]
    assert differing == (mark or "no")
    for metrics in headline_metrics(made_up.plan(report, results)).values():
        assert metrics.recipe == recipe and metrics.papers_settings == (not mark)


def test_an_arm_with_other_settings_has_a_row_of_its_own() -> None:
    results = made_up.results("mars")
    key = ("mars", "multi_mam")
    results[key] = made_up.changed(results[key], {"config/optimiser/lr": 0.01})
    document = made_up.document(made_up.report(["mars"]), results)
    mark = "optimiser.lr 0.01 (the paper: 0.0002)"
    assert {row[1]: row[3] for row in table_of(document, "runs")[1:]} == {
        ", ".join(f"`{arm}`" for arm in made_up.arms if arm != "multi_mam"): "no",
        "`multi_mam`": mark,
    }
    table = cells_of(document, "table-iv")
    assert table["`multi_mam`"][0] == "measured; recipe paper, not the paper's settings"
    assert table["`baseline`"][0] == "measured"


def test_one_run_has_no_spread() -> None:
    document = made_up.document(made_up.report(["mars"]), made_up.results("mars", 1))
    assert cells_of(document, "table-iv")["`baseline`"][1] == "80.0 (−5.8)"
    assert not any("of-each" in table.name for table in document.tables)


def test_another_headline_is_named() -> None:
    report = made_up.report(["mars"], sampler="restricted")
    document = made_up.document(report, made_up.results("mars"))
    assert "`cmmanet-restricted`" in cells_of(document, "table-ii")
    assert "the published row uses random interval sampling" in paragraphs_of(document)
    assert list(cells_of(document, "table-iv"))[-1] == f"`{OURS}`"


def test_own_arms_follow_the_components(full: Document) -> None:
    source, *cells = cells_of(full, "table-iv")["`k8`"]
    assert source == "measured; not in the paper"
    assert not any("(" in cell for cell in cells)
    assert list(cells_of(full, "mars-contrasts")) == [f"`{OURS}` → `k8`"]
    assert "`k8`" not in cells_of(full, "table-iii")


def test_planned_dataset_without_the_papers_arms() -> None:
    arms = ["k8", "cmmanet-restricted"]
    report = made_up.report(["mars"], arms, sampler="restricted")
    document = made_up.document(report, made_up.results("mars", arms=arms))
    table = cells_of(document, "table-iv")
    assert table["`baseline`"][1:] == ["not run"] * 3 and table["`k8`"][1] != "not run"
    assert_well_formed(document)
    arms = ["baseline", "cmmanet-random_interval"]
    report = made_up.report(["mars"], ["baseline"]).model_copy(update={"headline": "baseline"})
    document = made_up.document(report, made_up.results("mars", arms=arms))
    assert paragraphs_of(document).count("No arm of this table was run on MARS.") == 1
    assert_well_formed(document)


def test_runs_and_every_metric_are_shown(full: Document) -> None:
    header, baseline, *_ = table_of(full, "ilids-vid-r1-of-each-split")
    assert header[1:] == [f"split {number}" for number in range(10)]
    assert baseline[:4] == ["`baseline`", "80.0", "80.6", "79.6"]
    header, baseline, *_ = table_of(full, "mars-every-metric")
    assert header[2:] == ["R1", "R5", "R10", "R20", "mAP", "mAP (step)"]
    assert baseline[:3] == ["`baseline`", "Baseline", "80.1 ± 0.5"]


def test_chunk_first_as_headline() -> None:
    report = made_up.report(["mars"]).model_copy(update={"test_frames": "chunk_first"})
    results = made_up.results("mars")
    document = made_up.document(report, results)
    assert cells_of(document, "table-iv")["`baseline`"][1].startswith("77.0 ± 0.5 ")
    header, baseline, *_ = table_of(document, "mars-r1-under-other-scorings")
    assert header == ["R1", "cosine, chunk_first", "dense", "euclidean", WITHOUT]
    assert baseline == ["`baseline`", *[f"{r} ± 0.5" for r in ("77.0", "80.1", "76.3", "72.7")]]
    headline = headline_metrics(made_up.plan(report, results))["mars"]
    assert headline.rank1 == results["mars", OURS].mean["cosine.chunk_first"]["rank1"]


DENSE = "metrics/cosine.dense"


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"environment/dirty": True}, "abc1234def with uncommitted changes"),
        ({"environment/commit": None}, "| unknown"),
        ({"embedding/commit": "0" * 40}, "embedded at 000"),
        ({"evaluation/commit": "0" * 40}, "evaluated at 000"),
        ({"evaluation/date": "2026-11-25"}, "2026-11-22 to 2026-11-25"),
        ({"embedding/device": "CPU (x)"}, "embedded on CPU (x), bf16"),
        ({"environment/date": "2026-11-24T00:10:00+00:00"}, "2026-11-24"),
        ({"config/model/weights": "none"}, "model.weights none (the paper: imagenet)"),
        ({"trials/0/iterations": 2000}, "110–2,000 iterations"),
        ({f"trials/0/{DENSE}/valid": 1840}, "up to 140 without a true match"),
        ({"mean/cosine.dense/map": 0.123}, "12.3"),
        ({"std/cosine.dense/rank20": 0.123}, "± 12.3"),
        ({f"trials/2/{DENSE}/rank1": 0.123}, "12.3"),
    ],
)
def test_report_follows_its_inputs(change: Mapping[str, Any], shown: str) -> None:
    results = made_up.results("mars")
    before = markdown(made_up.document(made_up.report(["mars"]), results))
    results["mars", "multi_mam"] = made_up.changed(results["mars", "multi_mam"], change)
    after = markdown(made_up.document(made_up.report(["mars"]), results))
    assert shown in " ".join(after.split())
    assert shown not in " ".join(before.split())


@pytest.mark.parametrize("scoring", ["cosine.chunk_first", "euclidean.dense"])
def test_other_scorings_follow_their_inputs(scoring: str) -> None:
    results = made_up.results("mars")
    change = {f"mean/{scoring}/map": 0.123}
    results["mars", "multi_mam"] = made_up.changed(results["mars", "multi_mam"], change)
    document = made_up.document(made_up.report(["mars"]), results)
    cells = cells_of(document, "mars-map-under-other-scorings")["`multi_mam`"]
    assert sum(cell.startswith("12.3") for cell in cells) == 1


def test_rendering_is_repeatable(synthetic: Document) -> None:
    results = made_up.results("synthetic", 2, recipe="demo")
    again = made_up.document(made_up.report(["synthetic"]), results)
    assert markdown(again) == markdown(synthetic)


def test_figures_have_the_paths_that_the_pages_link() -> None:
    drawn = Listed(file="cmc.png", title="CMC", paper="Fig. 1", caption="Ranks.", alt="rising")
    report, results = made_up.report(["mars"]), made_up.results("mars")
    left_out = drawn.model_copy(update={"file": None, "title": "No MAM"})
    document = made_up.document(report, results, figures={"mars": [drawn, left_out]})
    assert [block for block in document.blocks if isinstance(block, Figure)] == [
        Figure("figures/mars/cmc.png", "CMC", "Ranks.", "rising", "the paper's Fig. 1"),
        Figure(None, "No MAM", "Ranks.", "rising", "the paper's Fig. 1"),
    ]


def test_headline_numbers_have_their_interval_and_the_published_value() -> None:
    paper = load_published()

    def numbers(dataset: str, *values: float, **kwargs: Any) -> list[tuple[Any, ...]]:
        results = made_up.results(dataset, len(values), **kwargs)
        results[dataset, OURS] = made_up.result(dataset, OURS, list(values), **kwargs)
        plan = made_up.plan(made_up.report([dataset]), results)
        return [tuple(number) for number in headline_numbers(dataset, plan, paper)]

    # Made-up mAP is 6.8 points above rank-1, intervals are 3 to both sides.
    assert numbers("mars", 0.85) == [
        ("R1", "85.0", ("82.0", "88.0"), 88.7), ("mAP", "91.8", ("88.8", "94.8"), 83.2),
    ]  # fmt: skip
    # iLIDS-VID has no published mAP, and its splits no interval over identities.
    assert numbers("ilids-vid", 0.85, 0.87) == [
        ("R1", "86.0 ± 1.4", None, 89.3), ("mAP", "92.8 ± 1.4", None, None),
    ]  # fmt: skip
    for kwargs in ({"partial": True}, {"recipe": "demo"}):
        assert [number[3] for number in numbers("mars", 0.85, **kwargs)] == [None, None]
    plan = made_up.plan(made_up.report(["mars"]), made_up.results("mars"))
    restricted = headline_numbers("mars", replace(plan, sampler="restricted"), paper)
    assert [number.published for number in restricted] == [None, None]


@pytest.mark.parametrize(
    ("values", "counts"), [((0.8, 0.8), (10, 2, 4, 0)), ((0.8,), (10, 0, 0, 10))]
)
def test_contrasts_are_counted(values: tuple[float, ...], counts: tuple[int, ...]) -> None:
    """Of five steps of 1.3, 1.3, 2.6, -3.9 and -6.5 points, three are beyond half a width of 2."""
    results = made_up.results("synthetic", len(values))
    results["synthetic", OURS] = made_up.result("synthetic", OURS, list(values))
    plan = made_up.plan(made_up.report(["synthetic"]), results)
    assert tuple(resolved(plan.comparisons["synthetic"])) == counts


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
    document = made_up.document(report, results)
    assert cells_of(document, "table-iv")["`baseline`"][1:] == [
        "82.9 (~−2.9)", "91.5 (−3.2)", "82.3 (~+2.9)"
    ]  # fmt: skip
    # Table V has 82.7 for the 80.1 of its baseline, but splits have no such interval.
    assert "~" not in str(table_of(document, "table-v")) + str(table_of(document, "table-i"))
    results[key] = made_up.changed(results[key], {"partial": True})
    document = made_up.document(report, results)
    assert cells_of(document, "table-iv")["`baseline`"][1] == "82.9"


def test_reranked_rows_are_where_methods_are_compared(full: Document) -> None:
    name = f"`{OURS}`, re-ranked"
    for number in ("i", "ii"):
        table = cells_of(full, f"table-{number}")
        methods = list(table)
        assert methods[methods.index(f"`{OURS}`") + 1] == name
        source, *cells = table[name]
        assert source == "measured; not in the paper"
        assert not any("(" in cell for cell in cells)
    # The fifth arm has 80.0 and 4 steps of 1.3, the jitter 0.07 on average, re-ranking adds 2.1.
    assert cells_of(full, "table-ii")[name][1] == "87.4 ± 0.5"
    for number in ("iii", "iv", "v"):
        assert name not in cells_of(full, f"table-{number}")
    assert cells_of(full, "mars-every-metric")[name][1] == "87.4 ± 0.5"
    # Synthetic was not re-ranked.
    assert name not in cells_of(full, "synthetic-every-metric")
    assert paragraphs_of(full).count("Re-ranking with k1 20, k2 6, weight 0.3.") == 2


def test_the_same_networks_under_other_scorings(full: Document) -> None:
    head = ["cosine, dense", "chunk_first", "euclidean"]
    header, baseline, *rows = table_of(full, "mars-r1-under-other-scorings")
    assert header == ["R1", *head, WITHOUT, "re-ranked"] and len(rows) == 6
    # Made up as 3.1, 0.7 and 4.3 points less, and 2.1 more.
    numbers = ("80.1", "77.0", "79.4", "75.8", "82.2")
    assert baseline == ["`baseline`", *(f"{n} ± 0.5" for n in numbers)]
    header, baseline, *_ = table_of(full, "mars-map-under-other-scorings")
    assert baseline[1:] == [f"{n} ± 0.5" for n in ("86.9", "83.8", "86.2", "82.6", "89.0")]
    # The queries come from the other camera: they are never in the gallery.
    assert table_of(full, "ilids-vid-r1-under-other-scorings")[0] == ["R1", *head, "re-ranked"]
    assert table_of(full, "synthetic-r1-under-other-scorings")[0] == ["R1", *head, WITHOUT]


def test_intervals_over_identities_where_all_runs_have_the_same_queries(full: Document) -> None:
    assert table_of(full, "mars-95-intervals-over-identities")[:2] == [
        ["arm", "R1", "R5", "mAP"],
        ["`baseline`", "80.1 (77.1 to 83.1)", "81.8 (78.8 to 84.8)", "86.9 (83.9 to 89.9)"],
    ]
    names = {table.name for table in full.tables}
    assert "synthetic-95-intervals-over-identities" in names
    assert "ilids-vid-95-intervals-over-identities" not in names


def test_contrasts_on_a_dataset_that_the_paper_lacks(synthetic: Document) -> None:
    contrasts = cells_of(synthetic, "synthetic-contrasts")
    # Every step is of 1.3 points, and the jitter of two runs turns it to 0.7 or 1.9.
    assert contrasts["`baseline` → `single_mam`"][:2] == ["+0.7 ± 2.0", "not resolved"]
    assert contrasts["`single_mam` → `multi_mam`"][2:] == ["+2.6 ± 2.0", "resolved"]
    assert contrasts[f"`cmmanet-restricted` → `{OURS}`"] == ["−0.7 ± 2.0", "not resolved"] * 2
    assert len(contrasts) == 5
