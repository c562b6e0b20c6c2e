"""The paper's own results, Tables I–V, as typed data.

The numbers live in ``published.yaml`` next to this file. Nothing here is measured.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

HEADLINE = "headline"
"""The arm of a row that whichever arm the plan calls its headline reproduces."""


@dataclass(frozen=True)
class Reference:
    """An entry of the paper's reference list, by the paper's own number."""

    number: int
    short: str


@dataclass(frozen=True)
class Column:
    """One metric on one dataset."""

    dataset: str
    metric: str


@dataclass(frozen=True)
class Row:
    """One published method; a value is percent, or None where the paper has a dash."""

    method: str
    reference: Reference | None
    optical_flow: bool
    arm: str | None
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Table:
    """One table of the paper; `steps` are the pairs of arms that its text compares."""

    number: str
    title: str
    legend: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    steps: tuple[tuple[str, str], ...]

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets it reports on, in the order of its columns."""
        return tuple(dict.fromkeys(column.dataset for column in self.columns))

    @property
    def arms(self) -> dict[str, str]:
        """The arms that reproduce a row, each with the paper's name for it."""
        return {row.arm: row.method for row in self.rows if row.arm is not None}


@dataclass(frozen=True)
class Setting:
    """What the paper states of some keys of a result's `config`: their values or product."""

    keys: tuple[str, ...]
    values: tuple[float | str, ...]
    product: float | None
    stated: str


@dataclass(frozen=True)
class Option:
    """A key of a result's `config` that the paper does not mention, and its value without it."""

    key: str
    without: float | str


@dataclass(frozen=True)
class Paper:
    """All that the paper publishes in tables, how it trained, and where it contradicts itself."""

    title: str
    authors: str
    settings: tuple[Setting, ...]
    unmentioned: tuple[Option, ...]
    tables: dict[str, Table]
    notes: dict[str, str]
    slips: tuple[str, ...]

    def tables_on(self, dataset: str) -> tuple[str, ...]:
        """The numbers of the tables that report on a dataset; none for an extension."""
        return tuple(table.number for table in self.tables.values() if dataset in table.datasets)


@cache
def load_published() -> Paper:
    """Read the packaged transcription."""
    source = files(__package__).joinpath("published.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(source)
    references = {number: Reference(number, short) for number, short in raw["references"].items()}
    tables = [_table(entry, references) for entry in raw["tables"]]
    return Paper(
        title=raw["title"],
        authors=raw["authors"],
        settings=tuple(_setting(entry) for entry in raw["settings"]),
        unmentioned=tuple(Option(**entry) for entry in raw["unmentioned"]),
        tables={table.number: table for table in tables},
        notes=raw["notes"],
        slips=tuple(raw["slips"]),
    )


def own_arms(arms: Iterable[str]) -> list[str]:
    """The user's arms that reproduce no row of the paper."""
    known = {arm for table in load_published().tables.values() for arm in table.arms}
    return [arm for arm in dict.fromkeys(arms) if arm not in known]


def steps_to_own(own: Iterable[str], headline: str) -> list[tuple[str, str]]:
    """The steps from the headline to each of the user's arms."""
    return [(headline, arm) for arm in own if arm != headline]


def planned_steps(arms: Sequence[str], headline: str) -> list[tuple[str, str]]:
    """The steps that a report judges: the paper's, and from the headline to the user's own arms."""
    steps = [step for table in load_published().tables.values() for step in table.steps]
    steps += steps_to_own(own_arms(arms), headline)
    return [step for step in dict.fromkeys(steps) if set(step) <= set(arms)]


def _setting(raw: dict[str, Any]) -> Setting:
    return Setting(
        keys=tuple(raw["keys"]),
        values=tuple(raw.get("values", ())),
        product=raw.get("product"),
        stated=raw["stated"],
    )


def _table(raw: dict[str, Any], references: dict[int, Reference]) -> Table:
    return Table(
        number=raw["number"],
        title=raw["title"],
        legend=raw.get("legend", ""),
        columns=tuple(Column(**column) for column in raw["columns"]),
        rows=tuple(_row(row, references) for row in raw["rows"]),
        steps=tuple((before, after) for before, after in raw.get("steps", [])),
    )


def _row(raw: dict[str, Any], references: dict[int, Reference]) -> Row:
    number = raw.get("reference")
    return Row(
        method=raw["method"],
        reference=None if number is None else references[number],
        optical_flow=raw.get("optical_flow", False),
        arm=raw.get("arm"),
        values=tuple(None if value is None else float(value) for value in raw["values"]),
    )
