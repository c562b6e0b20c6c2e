"""Looking into a document, and checking its Markdown."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cmmanet.reporting.document import Document, Paragraph, Table, markdown

SNAPSHOTS = Path(__file__).parent / "snapshots"


def table_of(document: Document, name: str) -> list[list[str]]:
    """The table of this name, header first."""
    (table,) = (table for table in document.tables if table.name == name)
    return rows_of(table)


def rows_of(table: Table) -> list[list[str]]:
    return [table.header, *table.rows]


def cells_of(document: Document, name: str) -> dict[str, list[str]]:
    """A table's cells after the first, by the first."""
    return {first: cells for first, *cells in table_of(document, name)[1:]}


def columns_of(document: Document, name: str) -> dict[str, dict[str, str]]:
    """A table's cells by the row's first cell and the column."""
    header, *rows = table_of(document, name)
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def paragraphs_of(document: Document) -> str:
    return "\n".join(block.text for block in document.blocks if isinstance(block, Paragraph))


def assert_well_formed(document: Document) -> None:
    """Markdown that GitHub and a reader of the raw file both can read."""
    page = markdown(document)
    blocks = re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE)
    assert len(blocks) == sum(not table.detail for table in document.tables)
    for block in blocks:
        header, rule, *body = block.splitlines()
        assert re.fullmatch(r"(\|:-+|\|-+:)+\|", rule)
        cells = [len(re.split(r"(?<!\\)\|", line)) for line in (header, rule, *body)]
        assert body and len(set(cells)) == 1
    for line in page.splitlines():
        assert line.startswith(("|", "![", "- [")) or len(line) <= 100
        # Wrapping must not start a list where a paragraph goes on.
        assert not re.match(r"([+*]|\d+[.)]) ", line)
    assert "\n\n\n" not in page and "\0" not in page
    assert not re.search(r"nan|None|−0\.0\b|-0\.0\b", page)


def assert_snapshot(document: Document, name: str) -> None:
    """The page as last accepted; UPDATE_SNAPSHOTS=1 accepts it as it is now."""
    path, page = SNAPSHOTS / name, markdown(document)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(page, encoding="utf-8")
    assert page == path.read_text(encoding="utf-8")
