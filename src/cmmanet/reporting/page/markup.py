"""A Markdown page as sections of HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from cmmanet.reporting.markdown_tables import Names, Table, headings, parser, plain, slug, tables_in
from cmmanet.reporting.page.images import InlineImage

# Before a table: its forms as files, and the box in which it scrolls.
_FORMS = Markup(
    '<p class="forms">{caption}: '
    '<a href="tables/{name}.csv" aria-label="CSV of {caption}">CSV</a> '
    '<a href="tables/{name}.tex" aria-label="LaTeX of {caption}">LaTeX</a></p>'
    '<div class="scroll" role="region" tabindex="0" aria-label="Table: {caption}">'
)
_FIGURE = Markup(
    '<figure id="{anchor}"><div class="scroll" role="group" tabindex="0" aria-label="Figure">'
    '<img src="{source}" width="{width}" height="{height}" alt="{alt}"></div><figcaption>'
)


class Section(NamedTuple):
    """What stands below a heading of the second rank, with the heading.

    `parts` are its headings of the third rank, as anchors and titles.
    """

    anchor: str
    title: str
    parts: list[tuple[str, str]]
    html: Markup


class PageText(NamedTuple):
    """A page: its title, what comes before the first section, and the sections."""

    title: str
    lead: Markup
    sections: list[Section]


def marked_up(text: str, figures: Mapping[str, InlineImage]) -> PageText:
    """Render a page of Markdown; `figures` has its pictures by file.

    A table can be scrolled by itself, is a landmark with a name, and has links to its other
    forms. A paragraph that is a picture makes a figure with the paragraph behind it.

    Raises:
        ValueError: the text does not begin with a heading of the first rank, or shows a picture
            that is not there.
    """
    markdown = parser()
    tokens = markdown.parse(text)
    marks = list(headings(tokens))
    if not marks or marks[0][:2] != (0, 1):
        raise ValueError("the page to render does not begin with a title: run the stage tables")
    starts = [place for place, level, _ in marks if level == 2]
    anchors = _name_headings(tokens, marks)
    tables = iter(tables_in(tokens))
    first = starts[0] if starts else len(tokens)
    return PageText(
        marks[0][2],
        _html(markdown, tokens[3:first], tables, figures),
        [
            Section(
                anchors[start],
                plain(tokens[start + 1].children or []),
                [
                    (anchors[place], text)
                    for place, level, text in marks
                    if level == 3 and start < place < end
                ],
                _html(markdown, tokens[start:end], tables, figures),
            )
            for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True)
        ],
    )


def _name_headings(
    tokens: Sequence[Token], marks: Sequence[tuple[int, int, str]]
) -> dict[int, str]:
    names = Names()
    anchors = {place: f"text-{names.new(slug(text))}" for place, _, text in marks}
    for place, anchor in anchors.items():
        tokens[place].attrSet("id", anchor)
    return anchors


def figure_anchor(file: str) -> str:
    """Where the page shows a picture."""
    return f"shown-{slug(file)}"


def _html(
    markdown: MarkdownIt,
    tokens: Sequence[Token],
    tables: Iterator[Table],
    figures: Mapping[str, InlineImage],
) -> Markup:
    found = [each for token in tokens for each in _accessible(token, tables)]
    found = list(_with_figures(list(_with_row_headers(found)), figures))
    return Markup(markdown.renderer.render(found, markdown.options, {}))  # noqa: S704


def _accessible(token: Token, tables: Iterator[Table]) -> Iterator[Token]:
    if token.type in {"th_open", "td_open"}:
        # The parser aligns each cell by a style of its own; the page's style knows numbers.
        if "right" in str(token.attrs.pop("style", "")):
            token.attrSet("class", "number")
        if token.type == "th_open":
            token.attrSet("scope", "col")
    if token.type != "table_open":
        yield token
        if token.type == "table_close":
            yield _raw(Markup("</div>"))
        return
    table = next(tables)
    yield _raw(_FORMS.format(name=table.name, caption=table.caption))
    yield token


def _with_row_headers(tokens: Sequence[Token]) -> Iterator[Token]:
    """The first cell of a row says what the row is of; where it is empty, the one above does."""
    above, first = None, False
    # A cell is its opening, its text and its end.
    left = iter(enumerate(tokens))
    for place, token in left:
        if token.type == "table_open":
            above = None
        elif token.type == "tr_open":
            first = True
        elif token.type == "td_open" and first:
            first = False
            if above is not None and not tokens[place + 1].content:
                above.attrSet("rowspan", str(int(above.attrGet("rowspan") or 1) + 1))
                for _ in range(2):
                    next(left)
                continue
            above = token
            token.tag = tokens[place + 2].tag = "th"
            token.attrSet("scope", "row")
        yield token


def _with_figures(tokens: Sequence[Token], figures: Mapping[str, InlineImage]) -> Iterator[Token]:
    """A picture's paragraph and its caption's, of three tokens each, as one figure."""
    left = iter(enumerate(tokens))
    for place, token in left:
        inline = tokens[place + 1].children if token.type == "paragraph_open" else None
        if not inline or [child.type for child in inline] != ["image"]:
            yield token
            continue
        yield _raw(_figure(inline[0], figures))
        yield tokens[place + 4]
        yield _raw(Markup("</figcaption></figure>"))
        for _ in range(5):
            next(left)


def _figure(image: Token, figures: Mapping[str, InlineImage]) -> Markup:
    file = str(image.attrGet("src"))
    if file not in figures:
        raise ValueError(f"reports/{file}: not there, and reports/tables.md shows it: run figures")
    return _FIGURE.format(anchor=figure_anchor(file), alt=image.content, **figures[file]._asdict())


def _raw(html: Markup) -> Token:
    return Token("html_block", "", 0, content=f"{html}\n")
