"""Tables of a Markdown page."""

from reporting import made_up
from reporting.pages import tables_of

from cmmanet.reporting.markdown_tables import Names, Table, parser, plain, slug, tables_in

PAGE = r"""# Title

## Table I. One thing

| method\* | `R1` |
|:---------|-----:|
| a \| b   |  1.0 |

## Data: not in the paper

### Each trial

| x   | y   |
|:---:|:----|
| 1   | [two](there.md) |

| x |
|---|
| **3** |

## Data

### Each trial

| z |
|---|
| 4 |
"""


def read(page: str) -> list[Table]:
    return tables_in(parser().parse(page))


def test_tables_are_named_by_their_headings() -> None:
    assert [(table.name, table.caption) for table in read(PAGE)] == [
        ("table-i", "Table I. One thing"),
        ("data-each-trial", "Data: not in the paper. Each trial (1 of 2)"),
        ("data-each-trial-2", "Data: not in the paper. Each trial (2 of 2)"),
        ("data-each-trial-3", "Data. Each trial"),
    ]


def test_cells_lose_their_marks_and_nothing_else() -> None:
    first, second, third, _ = read(PAGE)
    assert [[plain(cell) for cell in row] for row in (first.header, *first.rows)] == [
        ["method*", "R1"],
        ["a | b", "1.0"],
    ]
    assert [plain(cell) for cell in (*second.rows[0], *third.rows[0])] == ["1", "two", "3"]
    assert [table.aligned for table in (first, second, third)] == ["lr", "cl", "l"]


def test_every_table_of_a_real_page_is_found() -> None:
    page = made_up.page(made_up.report(["synthetic"]), made_up.results("synthetic"))
    by_eye = list(tables_of(page).values())
    found = read(page)
    assert len(found) == len(by_eye) == len({table.name for table in found})
    for table, rows in zip(found, by_eye, strict=True):
        shown = [[plain(cell) for cell in row] for row in (table.header, *table.rows)]
        marks = str.maketrans("", "", "`*\\")
        assert [[cell.translate(marks) for cell in row] for row in shown] == [
            [cell.translate(marks) for cell in row] for row in rows
        ]


def test_names_are_given_once() -> None:
    names = Names()
    assert [names.new(name) for name in ("a", "a-2", "a", "a")] == ["a", "a-2", "a-3", "a-4"]
    assert slug("…") == "table" and slug("Table II. Größe & so") == "table-ii-groe-so"
