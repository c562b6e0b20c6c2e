"""A report as data: headings, paragraphs, bullets, tables and figures.

A page is written as a Jinja template of Markdown, `templates/<page>.md.j2`, whose blocks are
separated by blank lines. `{{ show(block) }}` puts a table, a figure or a list of blocks there.
Text and cells are inline Markdown: `code`, *emphasis*, **bold**, [links](address).
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import groupby, pairwise, takewhile
from textwrap import wrap
from typing import Any, NamedTuple

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from tabulate import tabulate

WIDTH = 100
"""Columns of a line of Markdown."""

_MARKDOWN = MarkdownIt("commonmark", {"html": False})


@dataclass(frozen=True)
class Heading:
    """A heading; the page's title has level 1."""

    level: int
    text: str

    @property
    def anchor(self) -> str:
        """The heading's address within the HTML page."""
        return f"text-{slug(self.text)}"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list without numbers."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of printed cells; the first column names the rows.

    `alignment` has an l or r per column. `name` names the CSV and LaTeX files. A `detail` is left
    out of the Markdown, which links its CSV file, and folded in HTML.
    """

    caption: str
    frame: pd.DataFrame
    alignment: str
    notes: tuple[str, ...] = ()
    detail: bool = False
    name: str = field(default="")

    def __post_init__(self) -> None:
        if len(self.alignment) != self.frame.shape[1]:
            raise ValueError(f"{self.caption}: {self.frame.shape[1]} columns, {self.alignment}")
        object.__setattr__(self, "name", self.name or slug(self.caption))

    @property
    def header(self) -> list[str]:
        """The columns' titles."""
        return [str(column) for column in self.frame.columns]

    @property
    def rows(self) -> list[list[str]]:
        """The cells, row by row."""
        return [[str(cell) for cell in row] for row in self.frame.to_numpy(dtype=object)]


@dataclass(frozen=True)
class Figure:
    """An image file, relative to the page, or None where it was not drawn.

    `follows` is the paper's figure that it follows: `the paper's Fig. 1a`; empty if none.
    """

    file: str | None
    title: str
    caption: str
    alt: str
    follows: str = ""

    @property
    def anchor(self) -> str:
        """The figure's address within the HTML page."""
        return f"shown-{slug(self.file or self.title)}"


Block = Heading | Paragraph | Bullets | Table | Figure


class Section(NamedTuple):
    """A heading of level 2 and the blocks below it."""

    blocks: Sequence[Block]

    @property
    def headings(self) -> list[Heading]:
        """The section's heading, then those of level 3."""
        return [b for b in self.blocks if isinstance(b, Heading) and b.level <= 3]


@dataclass(frozen=True)
class Document:
    """The blocks of a page, in order."""

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        names = [table.name for table in self.tables]
        names += [block.anchor for block in self.blocks if isinstance(block, Heading)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"used for two tables or headings: {', '.join(sorted(twice))}")

    @property
    def title(self) -> str:
        """The heading of level 1."""
        return next(b.text for b in self.blocks if isinstance(b, Heading) and b.level == 1)

    @property
    def lead(self) -> list[Block]:
        """The blocks between the title and the first section."""
        return list(takewhile(lambda block: not _starts(block), self.blocks[1:]))

    @property
    def sections(self) -> list[Section]:
        """The headings of level 2 with the blocks below them."""
        starts = [place for place, block in enumerate(self.blocks) if _starts(block)]
        return [
            Section(self.blocks[start:end]) for start, end in pairwise([*starts, len(self.blocks)])
        ]

    @property
    def tables(self) -> list[Table]:
        """Every table, in order."""
        return [block for block in self.blocks if isinstance(block, Table)]


def _starts(block: Block) -> bool:
    return isinstance(block, Heading) and block.level == 2


def table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], texts: int, **others: Any
) -> Table:
    """Return a table whose first `texts` columns are text and the others numbers."""
    alignment = "l" * texts + "r" * (len(header) - texts)
    frame = pd.DataFrame([list(row) for row in rows], columns=list(header), dtype=object)
    return Table(caption, frame, **{"alignment": alignment, **others})


def slug(text: str) -> str:
    """Return a name for files and anchors.

    >>> slug("Table I. Where, how & when")
    'table-i-where-how-when'
    """
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-") or "table"


def escape(text: str) -> str:
    """Return text in which `*` and `|` are literal in Markdown."""
    return re.sub(r"([*|])", r"\\\1", text)


def render(template: str, **values: Any) -> Document:
    """Fill in a page's template."""
    environment = Environment(
        loader=PackageLoader("cmmanet.reporting", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Markdown, which is escaped when it becomes HTML.
        autoescape=False,  # noqa: S701
    )
    environment.filters["esc"] = escape
    shown: list[Block] = []

    def show(blocks: Block | Iterable[Block] | None) -> str:
        if blocks is None:
            return ""
        new = [blocks] if isinstance(blocks, Block) else list(blocks)
        shown.extend(new)
        places = range(len(shown) - len(new), len(shown))
        return "".join(f"\n\n\0{place}\n\n" for place in places)

    text = environment.get_template(template).render(show=show, **values)
    return Document(tuple(_blocks(text, shown)))


def notes(name: str, **values: str) -> tuple[str, ...]:
    """Return the paragraphs of `templates/notes.yaml` under a name, with values filled in."""
    return tuple(text.format(**values) for text in _load_notes()[name])


@cache
def _load_notes() -> dict[str, list[str]]:
    source = files(__package__).joinpath("templates", "notes.yaml").read_text(encoding="utf-8")
    texts: dict[str, list[str]] = yaml.safe_load(source)
    return texts


def _blocks(text: str, shown: Sequence[Block]) -> Iterator[Block]:
    for part in re.split(r"\n\s*\n", text.strip()):
        part = part.strip()
        if part.startswith("\0"):
            yield shown[int(part[1:])]
        elif part.startswith("#"):
            marks, _, title = part.partition(" ")
            yield Heading(len(marks), title)
        elif part.startswith("- "):
            items = re.split(r"^- ", part, flags=re.MULTILINE)[1:]
            yield Bullets(tuple(" ".join(item.split()) for item in items))
        elif part:
            yield Paragraph(" ".join(part.split()))


# Markdown


def markdown(document: Document) -> str:
    """Print a document as Markdown, wrapped and aligned so the source reads well too."""
    parts = [
        ("\n" if detail else "\n\n").join(map(_markdown, blocks))
        for detail, blocks in groupby(
            document.blocks, lambda block: getattr(block, "detail", False)
        )
    ]
    return "\n\n".join(parts) + "\n"


def _is_detail(block: Block) -> bool:
    return isinstance(block, Table) and block.detail


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return _wrapped(text)
        case Bullets(items):
            return "\n".join(_wrapped(item, "- ") for item in items)
        case Figure(None, title, caption):
            return _wrapped(f"**{escape(title)}**: {escape(caption)}")
        case Figure(file, title):
            # Captions and descriptions are on the HTML page and in figures.json.
            paper = f" ({block.follows})" if block.follows else ""
            image = f"![{re.sub(r'[][]', '', title)}]({file})"
            return f"{image}\n\n**{escape(title)}**{paper}"
        case Table(detail=True):
            return f"- [{block.caption}](tables/{block.name}.csv)"
        case Table():
            return "\n\n".join([_pipes(block), *map(_wrapped, block.notes)])


def _wrapped(text: str, indent: str = "") -> str:
    lines = wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def _pipes(table: Table) -> str:
    return tabulate(
        table.rows,
        headers=table.header,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=[{"l": "left", "r": "right"}[side] for side in table.alignment],
    )


# HTML; blocks are in page/blocks.html.j2


def inline_html(text: str) -> Markup:
    """Return inline Markdown as HTML; HTML within it is escaped."""
    return Markup(_MARKDOWN.renderInline(text))  # noqa: S704


# Plain text and CSV


def plain(text: str) -> str:
    r"""Return inline Markdown without its marks.

    >>> plain("`a` → **b** 3\\*")
    'a → b 3*'
    """
    return "".join(content for _, content in spans(text))


def spans(text: str) -> list[tuple[str, str]]:
    """Return the tokens of inline Markdown, each with its text."""
    (line,) = _MARKDOWN.parseInline(text)
    return [(token.type, token.content) for token in line.children or []]


def csv_table(table: Table) -> str:
    """Return a table's cells as CSV."""
    return write_csv([plain(cell) for cell in row] for row in (table.header, *table.rows))


def write_csv(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
