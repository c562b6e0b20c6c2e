"""The HTML page: complete, by itself, and for everybody."""

import base64
import hashlib
import json
import re
from itertools import pairwise

import pytest
from reporting import made_up
from reporting.page_parts import Page, make_retrievals, make_shown

from cmmanet.reporting.document import Document, Figure, Paragraph, Table, plain
from cmmanet.reporting.figures.entry import Figure as Listed
from cmmanet.reporting.page.content import evenly
from cmmanet.reporting.page.render import render_page

ARMS = ["baseline", "cmmanet-random_interval"]
HEADLINE = ARMS[-1]
HOSTILE = "</script><script>alert(1)</script><!-- \"'&"


@pytest.fixture(scope="module")
def results():
    return list(made_up.results("synthetic", 2, ARMS).values())


@pytest.fixture(scope="module")
def document() -> Document:
    return build(made_up.results("synthetic", 2, ARMS))


def build(results: made_up.Results, **figure: str) -> Document:
    listed = {"title": "CMC curves", "caption": "Six.", "alt": "rising", **figure}
    figures = {"synthetic": [Listed(file="cmc.png", paper="Fig. 1", **listed)]}
    arms = list(dict.fromkeys(arm for _, arm in results))
    return made_up.document(
        made_up.report(["synthetic"], arms).model_copy(update={"headline": arms[-1]}),
        results,
        figures=figures,
    )


@pytest.fixture(scope="module")
def html(document, results):
    return render_page(document, ARMS, HEADLINE, results, [make_shown("synthetic", ARMS)])


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def embedded(page: Page, anchor: str):
    (script,) = (each for each in page.all("script") if each.attributes.get("id") == anchor)
    return json.loads(script.text)


def test_same_input_same_bytes(html, document, results) -> None:
    assert html == render_page(document, ARMS, HEADLINE, results, [make_shown("synthetic", ARMS)])


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


def test_contents_reach_every_part(page: Page) -> None:
    (nav,) = page.all("nav")
    listed = [link["href"] for link in page.all("a") if _within(link, nav)]
    heads = [f"#{head['id']}" for head in page.all("h2", "h3")]
    assert listed == heads


def test_links_to_a_tables_files_can_be_distinguished(page: Page, document: Document) -> None:
    links = {
        link["aria-label"]: link["href"]
        for link in page.all("a")
        if "aria-label" in link.attributes
    }
    assert links == {
        f"{kind} of {table.caption}": f"tables/{table.name}.{ending}"
        for table in document.tables
        for kind, ending in (("CSV", "csv"), ("LaTeX", "tex"))
    }


def test_every_block_is_on_the_page_in_order(page: Page, document: Document) -> None:
    shown = " ".join(page.all("main")[0].text.split())
    place = 0
    for block in document.blocks[1:]:
        texts = []
        if isinstance(block, Paragraph):
            texts = [block.text]
        elif isinstance(block, Table):
            texts = [cell for row in (block.header, *block.rows) for cell in row]
            texts += block.notes
        for text in texts:
            place = shown.index(" ".join(plain(text).split()), place)
    assert {"../docs/interpretations.md", "ambiguity.md"} <= {
        link["href"] for link in page.all("a")
    }


def test_details_are_folded(page: Page, document: Document) -> None:
    summaries = [element.text for element in page.all("summary")]
    folded = [table.caption for table in document.tables if table.detail]
    assert [text for text in summaries if text in folded] == folded


def test_figures_have_their_captions(page: Page) -> None:
    (figure,) = page.all("figure")
    (image,) = page.all("img")
    assert image.parent and image.parent["class"] == "scroll" and image.parent.parent is figure
    assert image["alt"] == "rising" and (image["width"], image["height"]) == ("40", "20")
    (caption,) = page.all("figcaption")
    assert caption.text.strip() == "CMC curves (the paper's Fig. 1). Six."


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
    assert all("0" * 32 in row and "abc1234def" in row for row in rows)
    assert all("uncommitted" not in row for row in rows)


def test_uncommitted_code_is_marked(document, results) -> None:
    dirty = [made_up.changed(result, {"embedding/dirty": True}) for result in results]
    html = render_page(document, ARMS, HEADLINE, dirty, [make_shown("synthetic", ARMS)])
    assert html.count("<td>abc1234def with uncommitted changes") == 4


def test_stages_that_were_not_run_leave_their_part_empty(results) -> None:
    nothing = make_shown("synthetic", ARMS, pictures={}, cmc=[], training=[], retrievals=None)
    document = made_up.document(
        made_up.report(["synthetic"], ARMS), made_up.results("synthetic", 2, ARMS)
    )
    page = Page(render_page(document, ARMS, HEADLINE, results, [nothing]))
    assert [p.text for p in page.all("p")].count("Not run.") == 3
    assert not page.all("canvas", "select", "img")


def test_a_missing_image_is_named(document, results) -> None:
    gone = make_shown("synthetic", ARMS, pictures={})
    with pytest.raises(ValueError, match=r"reports/figures/synthetic/cmc\.png: not there"):
        render_page(document, ARMS, HEADLINE, results, [gone])


def test_hostile_words_stay_words() -> None:
    arms = ["baseline", HOSTILE]
    results = made_up.results("synthetic", 1, arms)
    shown = make_shown("synthetic", arms, retrievals=make_retrievals(arms, name=f"{HOSTILE}.jpg"))
    hostile = f"{HOSTILE} [x](javascript:alert(1))"
    document = build(results, title=hostile, alt=hostile, caption=hostile)
    blocks = (*document.blocks, Paragraph(hostile), Figure(None, hostile, hostile, hostile))
    page = Page(render_page(Document(blocks), arms, HOSTILE, list(results.values()), [shown]))
    programs = [each for each in page.all("script") if not each.attributes]
    assert len(programs) == 2 and len(page.all("script")) == 5
    assert not any("alert(1)" in program.text for program in programs)
    assert embedded(page, "retrievals-synthetic")["arms"] == arms
    assert not [link for link in page.all("a") if "javascript:" in link["href"]]
    assert [image["alt"] for image in page.all("img")] == [hostile]


def test_thumbnails_must_be_pictures(document, results) -> None:
    retrievals = make_retrievals(ARMS)
    retrievals["tracklets"]["0"]["image"] = "https://example.invalid/x.jpg"
    shown = make_shown("synthetic", ARMS, retrievals=retrievals)
    with pytest.raises(ValueError, match="run retrievals again"):
        render_page(document, ARMS, HEADLINE, results, [shown])


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (6, 5), (800, 200), (13, 12)])
def test_thinned_rows_keep_their_ends(count: int, most: int) -> None:
    kept = evenly(range(count), most)
    assert len(kept) == min(count, most) and kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (0, count - 1)
    steps = {after - before for before, after in pairwise(kept)}
    assert not steps or max(steps) - min(steps) <= 1
