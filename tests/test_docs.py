"""Links, commands and names in the documents exist."""

import ast
import re
from collections import Counter
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY

from cmmanet.reporting.published import load_published

README = REPOSITORY / "README.md"
EQUATIONS = REPOSITORY / "docs" / "equations.md"
PAGES = [
    README,
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "benchmarks").rglob("*.md")),
]
PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text())

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def names(pages: list[Path]) -> list[str]:
    return [page.relative_to(REPOSITORY).as_posix() for page in pages]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings]
    assert max(Counter(slugs).values(), default=1) == 1, f"{page}: a heading is there twice"
    return set(slugs)


def parameter(key: str) -> Any:
    """Return a value of params.yaml by its dotted key."""
    value = PARAMS
    for part in key.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(_CODE.sub("", _FENCE.sub("", page.read_text()))):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(REPOSITORY) and file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_document_is_linked() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in _LINK.findall(page.read_text())
    }
    assert not set(PAGES) - {README} - linked


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_commands_name_modules_and_parameters(page: Path) -> None:
    text = page.read_text()
    for module in re.findall(r"-m ((?:pipeline|benchmarks)[\w.]*\w)", text):
        path = REPOSITORY / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or path.is_dir(), module
    for key in re.findall(r"-S '?([\w.-]+)=", text):
        parameter(key)


def rows() -> list[list[str]]:
    """Return the cells of every row of the tables in docs/equations.md."""
    lines = [line for line in EQUATIONS.read_text().splitlines() if line.startswith("|")]
    headings = {line for line, rule in pairwise(lines) if rule.startswith("|---")}
    kept = [line for line in lines if line not in headings and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in kept]


def test_every_equation_of_the_paper_has_a_row() -> None:
    numbers = {
        int(number)
        for paper, *_ in rows()
        if paper.startswith("Eq. ")
        for number in re.findall(r"\d+", paper)
    }
    assert numbers == set(range(1, 11))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_functions_tests_and_parameters_of_an_equation_exist(row: list[str]) -> None:
    _, _, functions, tests, parameters = row
    assert "`" in functions and "`" in tests
    for name in re.findall(r"`([^`]+)`", functions):
        parts = name.split(".")
        # The module is the part in lower case, before the function or class.
        for depth in range(len(parts) - 1, 0, -1):
            try:
                value: Any = import_module(".".join(parts[:depth]))
                break
            except ModuleNotFoundError:
                continue
        for part in parts[depth:]:
            value = getattr(value, part)
        assert callable(value), name
    for name in re.findall(r"`([^`]+)`", tests):
        file, _, function = name.partition("::")
        tree = ast.parse((REPOSITORY / file).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for key in re.findall(r"`([^`]+)`", parameters):
        parameter(key)


def test_published_numbers_of_the_readme_are_the_papers() -> None:
    published: dict[str, dict[tuple[str, str], float | None]] = {}
    for table in load_published().tables.values():
        for row in table.rows:
            for column, value in zip(table.columns, row.values, strict=True):
                published.setdefault(row.arm or "", {})[column.dataset, column.metric] = value
    shown = 0
    for line in README.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        arm = cells[0].strip("`")
        if len(cells) != 6 or arm not in published:
            continue
        expected = published[arm]
        wanted = [expected.get(("mars", metric)) for metric in ("rank1", "map")]
        assert cells[2] == " / ".join("–" if value is None else f"{value:.1f}" for value in wanted)
        assert cells[3] == f"{expected['ilids-vid', 'rank1']:.1f}"
        shown += 1
    assert shown == len(PARAMS["arms"])
