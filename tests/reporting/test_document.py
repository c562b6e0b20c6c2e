"""A document and its printers."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmmanet.reporting.document import (
    Bullets,
    Document,
    Figure,
    Heading,
    Paragraph,
    Table,
    csv_table,
    escape,
    inline_html,
    markdown,
    plain,
    table,
)

words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)


def numbers(**others: object) -> Table:
    return table("Of b", ["a", "b"], [["`x_y`", "1.0"], ["**z**", "−2.0"]], texts=1, **others)


def test_each_block_as_markdown() -> None:
    document = Document(
        (
            Heading(1, "Title"),
            Paragraph("word " * 30),
            Bullets(("one", "two")),
            numbers(notes=("A note.",)),
            Figure("f.png", "Rising [1]", "long caption", "long description", "the paper's Fig. 1"),
            Figure(None, "Falling", "not drawn: no *data*", ""),
            numbers(detail=True, name="more"),
            numbers(detail=True, name="most"),
        )
    )
    assert markdown(document).split("\n\n") == [
        "# Title",
        " ".join(["word"] * 20) + "\n" + " ".join(["word"] * 10),
        "- one\n- two",
        "| a     |    b |\n|:------|-----:|\n| `x_y` |  1.0 |\n| **z** | −2.0 |",
        "A note.",
        "![Rising 1](f.png)",
        "**Rising [1]** (the paper's Fig. 1)",
        r"**Falling**: not drawn: no \*data\*",
        "- [Of b](tables/more.csv)\n- [Of b](tables/most.csv)\n",
    ]


def test_sections_begin_at_headings_of_the_second_level() -> None:
    blocks = [Heading(1, "T"), Paragraph("lead"), Heading(2, "A"), Heading(3, "B"), Heading(2, "C")]
    document = Document(tuple(blocks))
    assert document.title == "T" and document.lead == [Paragraph("lead")]
    assert [[h.text for h in section.headings] for section in document.sections] == [
        ["A", "B"], ["C"],
    ]  # fmt: skip
    assert Document((Heading(1, "T"),)).sections == []


def test_names_are_unique() -> None:
    with pytest.raises(ValueError, match="of-b"):
        Document((numbers(), numbers()))
    with pytest.raises(ValueError, match="text-a"):
        Document((Heading(2, "A"), Heading(3, "A!")))


def test_alignment_fits_the_columns() -> None:
    with pytest.raises(ValueError, match="2 columns"):
        numbers(alignment="l")


def test_csv_has_no_marks() -> None:
    assert csv_table(numbers()) == "a,b\nx_y,1.0\nz,−2.0\n"


@given(cells=st.lists(words, min_size=2, max_size=2))
def test_csv_gives_back_the_cells(cells: list[str]) -> None:
    text = csv_table(table("T", ["a", "b"], [[escape(f'{cells[0]}* | ,"'), f"`{cells[1]}`"]], 2))
    assert list(csv.reader(io.StringIO(text)))[1] == [f'{cells[0]}* | ,"', cells[1]]


def test_html_of_text_is_escaped() -> None:
    assert inline_html("**a** `b<c` <script>") == (
        "<strong>a</strong> <code>b&lt;c</code> &lt;script&gt;"
    )
    assert "href" not in inline_html("[x](javascript:alert(1))")
    assert plain("[x](y) *z*") == "x z"
