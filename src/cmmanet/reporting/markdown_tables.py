"""The tables of a Markdown page, as its readers see them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

Cell = tuple[Token, ...]
"""The inline tokens of a cell: text, code, emphasis, links."""


class Table(NamedTuple):
    """A table below the headings of `path`, the outermost first.

    `name` is of letters, digits and hyphens, and of no other table of its page; `number` counts
    the tables below one heading, of which there are `siblings`. `aligned` has an l, r or c for
    each column.
    """

    name: str
    path: tuple[str, ...]
    number: int
    siblings: int
    aligned: str
    header: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def caption(self) -> str:
        """The headings, and which of their tables this is."""
        which = f" ({self.number} of {self.siblings})" if self.siblings > 1 else ""
        return f"{'. '.join(self.path)}{which}"


def parser() -> MarkdownIt:
    """Markdown as the pages use it: CommonMark and tables; HTML in it stays text."""
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def tables_in(tokens: Sequence[Token]) -> list[Table]:
    """Every table of a parsed page, in order."""
    found = list(_tables(tokens))
    below = [path for path, _ in found]
    names = Names()
    return [
        Table(
            names.new(slug(short_path(path))),
            path,
            below[:place].count(path) + 1,
            below.count(path),
            _alignment(table),
            *_cells(table),
        )
        for place, (path, table) in enumerate(found)
    ]


def plain(tokens: Sequence[Token]) -> str:
    """What the tokens say, without marks."""
    # An image's content is its alternative text.
    return "".join(
        " " if token.type in ("softbreak", "hardbreak") else token.content for token in tokens
    )


def slug(text: str) -> str:
    """A name for files and anchors.

    >>> slug("Table I. Where, how & when")
    'table-i-where-how-when'
    """
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-") or "table"


def short_path(path: Sequence[str]) -> str:
    """Headings, each to its first colon or full stop.

    >>> short_path(["Synthetic: not in the paper", "Each trial"])
    'Synthetic Each trial'
    """
    return " ".join(re.split(r"[:.](?:\s|$)", heading)[0] for heading in path)


class Names:
    """Gives names that were not given before: name, name-2, name-3."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, name: str) -> str:
        """The name, or with the first number that is free."""
        tries = (name if number == 1 else f"{name}-{number}" for number in count(1))
        free = next(each for each in tries if each not in self._given)
        self._given.add(free)
        return free


def headings(tokens: Sequence[Token]) -> Iterator[tuple[int, int, str]]:
    """Place, level and text of each heading."""
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            yield place, int(token.tag[1:]), plain(tokens[place + 1].children or [])


def _tables(tokens: Sequence[Token]) -> Iterator[tuple[tuple[str, ...], Sequence[Token]]]:
    """Each table's tokens with the headings above it, but for the page's own."""
    path: list[tuple[int, str]] = []
    known = {place: (level, text) for place, level, text in headings(tokens)}
    start = 0
    for place, token in enumerate(tokens):
        if place in known:
            level, text = known[place]
            path = [entry for entry in path if entry[0] < level] + [(level, text)]
        elif token.type == "table_open":
            start = place
        elif token.type == "table_close":
            texts = tuple(text for level, text in path if level > 1)
            yield texts, tokens[start : place + 1]


def _alignment(table: Sequence[Token]) -> str:
    # The parser gives the alignment as CSS: text-align:right.
    styles = [str(token.attrGet("style") or "") for token in table if token.type == "th_open"]
    return "".join({"right": "r", "center": "c"}.get(s.partition(":")[2], "l") for s in styles)


def _cells(
    table: Sequence[Token],
) -> tuple[tuple[Cell, ...], tuple[tuple[Cell, ...], ...]]:
    rows: list[list[Cell]] = []
    for token in table:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(tuple(token.children or ()))
    header, *body = (tuple(row) for row in rows)
    return header, tuple(body)
