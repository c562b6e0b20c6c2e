"""Audit of the comparison that the paper publishes: findings as data, and their table.

The findings live in ``audit.yaml`` next to this file, each with its evidence and grade.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from cmmanet.evaluation.metrics import METRICS
from cmmanet.reporting.document import Table, table
from cmmanet.reporting.formats import DASH, signed
from cmmanet.reporting.published import HEADLINE, Paper

GRADES = {"original": "original", "third": "third party", "inferred": "inferred"}
"""Read in the original paper or code; from a third party's table; inferred."""


@dataclass(frozen=True)
class Finding:
    """A fault of some rows; `right` has the right values by metric, None if not published."""

    number: int
    rows: tuple[tuple[str, str], ...]
    problem: str
    what: str
    right: Mapping[str, float | None]
    evidence: str
    grade: str

    @property
    def mark(self) -> str:
        """The finding's mark in Tables I and II."""
        return f"§{self.number}"


@dataclass(frozen=True)
class Missing:
    """A method published earlier that a table leaves out."""

    method: str
    table: str
    values: Mapping[str, float]
    evidence: str
    grade: str


@dataclass(frozen=True)
class Audit:
    """The findings, the missing methods, and the gains that they change."""

    findings: tuple[Finding, ...]
    missing: tuple[Missing, ...]
    claims: tuple[Mapping[str, str], ...]


@cache
def load_audit() -> Audit:
    """Read the packaged findings."""
    raw = yaml.safe_load(files(__package__).joinpath("audit.yaml").read_text(encoding="utf-8"))
    return Audit(
        findings=tuple(
            _finding(number, entry) for number, entry in enumerate(raw["findings"], start=1)
        ),
        missing=tuple(Missing(**entry) for entry in raw["missing"]),
        claims=tuple(raw["claims"]),
    )


def marks(number: str, method: str) -> str:
    """Return the marks of a row of Table `number`; empty if nothing is wrong with it."""
    return " ".join(f.mark for f in load_audit().findings if (number, method) in f.rows)


def findings_table() -> Table:
    """Return one row per finding."""
    header = ["mark", "rows", "problem", "finding", "right value", "evidence", "grade"]
    rows = [
        [f.mark, _rows(f), f.problem, f.what, _values(f.right), f.evidence, GRADES[f.grade]]
        for f in load_audit().findings
    ]
    return table("Audit of the published comparison", header, rows, texts=7)


def missing_table() -> Table:
    """Return one row per method that the tables leave out."""
    rows = [
        [m.method, m.table, _values(m.values), m.evidence, GRADES[m.grade]]
        for m in load_audit().missing
    ]
    header = ["method", "table", "published", "evidence", "grade"]
    return table("Methods that the comparison leaves out", header, rows, texts=5)


def consequences(paper: Paper) -> Table:
    """Return the gains of the paper's method, corrected, and as its tables give them."""
    metrics = ("rank1", "rank5", "rank10", "map")
    rows: dict[str, dict[str, str]] = {}
    for gain in corrected_gains(paper):
        text = signed(gain.corrected)
        if gain.printed is not None:
            text += f" (printed {signed(gain.printed)})"
        rows.setdefault(gain.over, {})[gain.metric] = text
    return table(
        "Gains of CMMANet, corrected",
        ["over", *(METRICS[metric] for metric in metrics)],
        [[over, *(cells.get(m, DASH) for m in metrics)] for over, cells in rows.items()],
        texts=1,
    )


class CorrectedGain(NamedTuple):
    """A gain of the paper's method over another, in points; `printed` is its tables'."""

    over: str
    metric: str
    printed: float | None
    corrected: float


def corrected_gains(paper: Paper) -> Iterator[CorrectedGain]:
    """Yield the gains over misquoted rows, then over methods that Table II leaves out."""
    audit = load_audit()
    for claim in audit.claims:
        number, method, metric = claim["table"], claim["method"], claim["metric"]
        right = next(
            value
            for f in audit.findings
            if (number, method) in f.rows and (value := f.right.get(metric)) is not None
        )
        own = _printed(paper, number, metric, arm=HEADLINE)
        printed = own - _printed(paper, number, metric, method=method)
        yield CorrectedGain(f"{method} (Table {number})", metric, printed, own - right)
    for missing in audit.missing:
        if missing.table == "II":
            for metric, value in missing.values.items():
                own = _printed(paper, missing.table, metric, arm=HEADLINE)
                over = f"{missing.method} (not in Table II)"
                yield CorrectedGain(over, metric, None, own - value)


def _printed(paper: Paper, number: str, metric: str, **row: str) -> float:
    """Return a published percentage of the row with these attributes."""
    published = paper.tables[number]
    place = [column.metric for column in published.columns].index(metric)
    for each in published.rows:
        value = each.values[place]
        if value is not None and all(getattr(each, name) == row[name] for name in row):
            return value
    raise ValueError(f"audit.yaml: Table {number} has no {metric} of {row}")


def _finding(number: int, raw: Mapping[str, Any]) -> Finding:
    rows = tuple(tuple(row.split(" ", 1)) for row in raw["rows"])
    return Finding(**{"right": {}, **raw, "rows": rows, "number": number})


def _rows(finding: Finding) -> str:
    by_table: dict[str, list[str]] = {}
    for number, method in finding.rows:
        by_table.setdefault(number, []).append(method)
    return "; ".join(f"{number} {', '.join(methods)}" for number, methods in by_table.items())


def _values(values: Mapping[str, float | None]) -> str:
    """Return `R1 86.3, R10 not published`; a dash without values."""
    texts = [
        f"{METRICS[metric]} {'not published' if value is None else f'{value:.1f}'}"
        for metric, value in values.items()
    ]
    return ", ".join(texts) or DASH
