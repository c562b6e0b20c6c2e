"""The HTML page: complete, by itself, and for everybody."""

import base64
import hashlib
import json
import re
from itertools import pairwise

import pytest
from reporting import made_up
from reporting.page_parts import Page, make_retrievals, make_shown

from cmmanet.reporting.markdown_tables import parser, tables_in
from cmmanet.reporting.page.content import evenly
from cmmanet.reporting.page.markup import marked_up
from cmmanet.reporting.page.render import render_page

ARMS = ["baseline", "cmmanet-random_interval"]
HEADLINE = ARMS[-1]
FIGURES = (
    "\n\n### Figures\n\n![rising](figures/synthetic/cmc.png)\n\n**CMC curves**. Six.\n\n## How"
)
HOSTILE = "</script><script>alert(1)</script><!-- \"'&"


@pytest.fixture(scope="module")
def results():
    return list(made_up.results("synthetic", 2, ARMS).values())


@pytest.fixture(scope="module")
def text():
    page = made_up.page(made_up.report(["synthetic"], ARMS), made_up.results("synthetic", 2, ARMS))
    return page.replace("\n\n## How", FIGURES, 1)


@pytest.fixture(scope="module")
def html(text, results):
    return render_page(text, ARMS, HEADLINE, results, [make_shown("synthetic", ARMS)])


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def embedded(page: Page, anchor: str):
    (script,) = (each for each in page.all("script") if each.attributes.get("id") == anchor)
    return json.loads(script.text)


def test_same_input_same_bytes(html, text, results) -> None:
    assert html == render_page(text, ARMS, HEADLINE, results, [make_shown("synthetic", ARMS)])


def test_nothing_is_loaded_and_only_these_programs_run(page: Page) -> None:
    for element in page.elements:
        for name in ("src", "srcset", "data", "poster", "action", "xlink:href", "background"):
            assert element.attributes.get(name, "data:").startswith("data:")  # type: ignore[union-attr]
        assert not [name for name in element.attributes if name.startswith("on")]
        assert element.tag not in {"link", "iframe", "object", "embed", "base", "form"}
    (policy,) = (
        element["content"]
        for element in page.all("meta")
        if element.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("script-src").split() == [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()}'"
        for script in page.all("script")
        if script.attributes.get("type") != "application/json"
    ]
    assert rules == {
        "default-src": "'none'", "base-uri": "'none'", "form-action": "'none'",
        "img-src": "data:", "style-src": "'unsafe-inline'",
    }  # fmt: skip
    (css,) = page.all("style")
    assert "url(" not in css.text and "@import" not in css.text


def test_programs_end_where_their_tags_do(page: Page) -> None:
    programs = [script for script in page.all("script") if not script.attributes]
    assert len(programs) == 2
    for program in programs:
        assert not re.search(r"<!--|</?script", program.text, re.IGNORECASE)
        assert "\r" not in program.text  # the browser would read \n, and find another digest


def test_headings_descend_by_one(page: Page) -> None:
    levels = [int(element.tag[1]) for element in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_landmarks_and_names(page: Page) -> None:
    (root,) = page.all("html")
    assert root["lang"] == "en"
    for tag in ("header", "nav", "main", "footer", "title"):
        assert len(page.all(tag)) == 1
    anchors = [element["id"] for element in page.elements if "id" in element.attributes]
    assert len(anchors) == len(set(anchors))
    inner = {link["href"] for link in page.all("a") if link["href"].startswith("#")}
    assert inner <= {f"#{anchor}" for anchor in anchors}
    skip = page.all("a")[0]
    assert skip["href"] == "#main"
    for image in page.all("img"):
        assert "alt" in image.attributes
    for control in page.all("input", "select"):
        assert control.parent and control.parent.tag == "label" and control.parent.text.strip()
    for button in page.all("button"):
        assert button.text.strip()
    for region in (each for each in page.all("div") if each.attributes.get("role") == "region"):
        assert region["tabindex"] == "0" and region["aria-label"]


def test_header_cells_say_what_they_head(page: Page) -> None:
    assert page.all("table")
    for cell in page.all("th"):
        assert cell["scope"] in {"col", "row"}
    for row in page.all("tr"):
        cells = [cell for cell in page.all("th", "td") if cell.parent is row]
        heads = [cell["scope"] for cell in cells if cell.tag == "th"]
        assert set(heads) == {"col"} or "row" in heads


def test_an_empty_first_cell_belongs_to_the_row_above() -> None:
    rows = ["| claim | arm | R1 |", "|:--|:--|--:|", "| sure | a | 1 |", "| | b | 2 |", "| | c | |"]
    marked = marked_up("\n".join(["# T", "", "## S", "", *rows, "| not | d | 4 |"]), {})
    page = Page(marked.sections[0].html)
    heads = [cell for cell in page.all("th") if cell["scope"] == "row"]
    assert [(cell.text, cell.attributes.get("rowspan")) for cell in heads] == [
        ("sure", "3"), ("not", None),
    ]  # fmt: skip
    cells = [[c.text for c in page.all("td") if c.parent is row] for row in page.all("tr")]
    assert cells == [[], ["a", "1"], ["b", "2"], ["c", ""], ["d", "4"]]
    numbers = [cell.text for cell in page.all("th", "td") if "class" in cell.attributes]
    assert numbers == ["R1", "1", "2", "", "4"]
    assert not any("style" in cell.attributes for cell in page.all("th", "td"))


def test_contents_reach_every_part(page: Page) -> None:
    (nav,) = page.all("nav")
    listed = [link["href"] for link in page.all("a") if _within(link, nav)]
    heads = [f"#{head['id']}" for head in page.all("h2", "h3")]
    assert listed == heads


def test_links_to_a_tables_forms_can_be_told_apart(page: Page) -> None:
    names = [link["aria-label"] for link in page.all("a") if link["href"].startswith("tables/t")]
    assert "CSV of Table I. Comparison with related methods on iLIDS-VID" in names
    assert len(names) == len(set(names)) == 16


def test_the_text_is_all_there(page: Page, text: str) -> None:
    (main,) = page.all("main")
    shown = " ".join(main.text.split())
    tables = tables_in(parser().parse(text))
    targets = [link["href"] for link in page.all("a")]
    for table in tables:
        assert f"tables/{table.name}.csv" in targets and f"tables/{table.name}.tex" in targets
    for words in ("How to read these numbers", "Slips in the paper", "the official MARS code"):
        assert words in shown
    assert {"../README.md", "ambiguity.md"} <= set(targets)  # as in reports/tables.md


def test_figures_stand_in_the_text_and_are_listed(page: Page) -> None:
    (figure,) = page.all("figure")
    (image,) = page.all("img")
    assert image.parent and image.parent["class"] == "scroll" and image.parent.parent is figure
    assert image["alt"] == "rising" and (image["width"], image["height"]) == ("40", "20")
    (caption,) = page.all("figcaption")
    assert caption.text.strip() == "CMC curves. Six."
    assert [a.text for a in page.all("a") if a["href"] == f"#{figure['id']}"] == ["CMC curves"]


def test_charts_and_their_tables_hold_the_same(page: Page) -> None:
    shown = make_shown("synthetic", ARMS)
    chart = embedded(page, "cmc-synthetic")
    (rows,) = chart["datasets"].values()
    assert rows == [{**row, "cmc": round(row["cmc"], 5)} for row in shown.cmc]
    boxes = [box["value"] for box in page.all("input") if box["type"] == "checkbox"]
    assert boxes == ARMS * 2
    terms = [option.text for option in page.all("option")][:2]
    assert terms == ["loss", "loss_concentration"]
    details = {element.text.split("\n")[1]: element for element in page.all("details")}
    table = details["CMC on Synthetic as a table, in percent"]
    first = [cell.text for cell in page.all("th", "td") if cell.parent and _within(cell, table)]
    assert first[:6] == ["rank", *ARMS, "1", "50.0", "75.0"]
    log = details["Training on Synthetic as a table"]
    cells = [cell.text for cell in page.all("td") if _within(cell, log)]
    assert len(cells) == 2 * len(shown.training) and cells[:2] == ["4", "–"]


def _within(element, outer) -> bool:
    return element is outer or (element.parent is not None and _within(element.parent, outer))


def test_every_training_says_where_it_comes_from(page: Page, results) -> None:
    rows = [row.text for row in page.all("tr") if "results/synthetic/" in row.text]
    assert len(rows) == sum(len(result.trials) for result in results) == 4
    assert all("0" * 32 in row and "commit abc1234def" in row for row in rows)
    assert all("uncommitted" not in row for row in rows)


def test_uncommitted_code_is_marked(text, results) -> None:
    dirty = [made_up.changed(result, {"embedding/dirty": True}) for result in results]
    html = render_page(text, ARMS, HEADLINE, dirty, [make_shown("synthetic", ARMS)])
    assert html.count("commit abc1234def with uncommitted changes") == 4


def test_what_was_not_run_is_said(text, results) -> None:
    nothing = make_shown(
        "synthetic", ARMS, figures=[], pictures={}, cmc=[], training=[], retrievals=None
    )
    plain = text.replace(FIGURES, "\n\n## How")
    page = Page(render_page(plain, ARMS, HEADLINE, results, [nothing]))
    assert [p.text for p in page.all("p")].count("Not run.") == 4
    assert not page.all("canvas", "select", "img")


def test_a_picture_that_is_gone_is_named(text, results) -> None:
    gone = make_shown("synthetic", ARMS, figures=[], pictures={})
    with pytest.raises(ValueError, match=r"reports/figures/synthetic/cmc\.png: not there"):
        render_page(text, ARMS, HEADLINE, results, [gone])


def test_a_text_without_a_title_is_refused(results) -> None:
    with pytest.raises(ValueError, match="run the stage tables"):
        render_page("no heading", ARMS, HEADLINE, results, [])


def test_hostile_words_stay_words(text) -> None:
    arms = ["baseline", HOSTILE]
    results = list(made_up.results("synthetic", 1, arms).values())
    shown = make_shown("synthetic", arms, retrievals=make_retrievals(arms, name=f"{HOSTILE}.jpg"))
    hostile = text.replace("**CMC curves**", f"{HOSTILE} [x](javascript:alert(1))")
    hostile = hostile.replace("![rising]", f"![{HOSTILE}]")
    page = Page(render_page(hostile, arms, HOSTILE, results, [shown]))
    programs = [each for each in page.all("script") if not each.attributes]
    assert len(programs) == 2 and len(page.all("script")) == 5
    assert not any("alert(1)" in program.text for program in programs)
    assert embedded(page, "retrievals-synthetic")["arms"] == arms
    assert not [link for link in page.all("a") if "javascript:" in link["href"]]
    assert [image["alt"] for image in page.all("img")] == [HOSTILE]


def test_thumbnails_must_be_pictures(text, results) -> None:
    retrievals = make_retrievals(ARMS)
    retrievals["tracklets"]["0"]["image"] = "https://example.invalid/x.jpg"
    with pytest.raises(ValueError, match="run retrievals again"):
        render_page(
            text, ARMS, HEADLINE, results, [make_shown("synthetic", ARMS, retrievals=retrievals)]
        )


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (6, 5), (800, 200), (13, 12)])
def test_thinned_rows_keep_their_ends(count: int, most: int) -> None:
    kept = evenly(range(count), most)
    assert len(kept) == min(count, most) and kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (0, count - 1)
    steps = {after - before for before, after in pairwise(kept)}
    assert not steps or max(steps) - min(steps) <= 1
