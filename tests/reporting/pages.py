"""Reading a rendered page back."""

from __future__ import annotations

import re


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def tables_of(page: str) -> dict[str, list[list[str]]]:
    """Every Markdown table by the heading above it: header first, without the rule.

    Of several below one heading the second is "heading #2".
    """
    tables: dict[str, list[list[str]]] = {}
    heading, section, name, before = "", "", "", ""
    for line in page.splitlines():
        if line.startswith("## "):
            heading = section = line[3:]
        elif line.startswith("### "):
            heading = f"{section} / {line[4:]}"
        elif line.startswith("|") and not line.startswith("|:"):
            if not before.startswith("|"):
                count = sum(key.split(" #")[0] == heading for key in tables)
                name = f"{heading} #{count + 1}" if count else heading
            tables.setdefault(name, []).append(cells_of(line))
        before = line
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


def assert_well_formed(page: str, tables: int) -> None:
    """Tables, at least so many, that GitHub and a reader of the raw file both can read."""
    blocks = re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE)
    assert len(blocks) >= tables
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
