"""What the page shows of a dataset besides the text, in the form its template prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmmanet.reporting.formats import DASH, percent
from cmmanet.reporting.inputs import title
from cmmanet.reporting.page.charts import Rows, cmc_chart, training_chart
from cmmanet.reporting.page.images import thumbnail_source

# Of each trial's log: points of its curve, and rows of the table for who does not see curves.
POINTS, LINES = 200, 12
_NO_TERMS = {"arm", "trial", "epoch", "iterations"}


@dataclass(frozen=True)
class DatasetContent:
    """The images, curves and retrievals of a dataset; empty or None if their stages were not run.

    `pictures` are the PNG files by their names in figures.json; `cmc` and `training` are the rows
    of curves/, `retrievals` is retrievals/<dataset>.json.
    """

    dataset: str
    pictures: Mapping[str, bytes]
    cmc: Rows
    training: Rows
    retrievals: Mapping[str, Any] | None


def figure_files(shown: DatasetContent) -> dict[str, bytes]:
    """The pictures, by their files as reports/tables.md names them."""
    return {f"figures/{shown.dataset}/{file}": png for file, png in shown.pictures.items()}


def dataset_view(shown: DatasetContent, arms: Sequence[str], headline: str) -> dict[str, Any]:
    """Everything that the template prints of a dataset; queries are in the headline's order."""
    return {
        "name": shown.dataset,
        "title": title(shown.dataset),
        "cmc": _cmc(shown.cmc, _in_order(shown.cmc, arms)) if shown.cmc else None,
        "training": _training(shown.training, arms) if shown.training else None,
        "retrievals": _retrievals(shown.retrievals, headline) if shown.retrievals else None,
    }


def evenly(rows: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the rows, evenly spaced, the first and the last among them.

    >>> evenly(range(10), 4), evenly([1, 2], 4)
    ([0, 3, 6, 9], [1, 2])
    """
    if len(rows) <= most:
        return list(rows)
    return [rows[place * (len(rows) - 1) // (most - 1)] for place in range(most)]


def _in_order(rows: Rows, arms: Sequence[str]) -> list[str]:
    """The planned arms of which there are rows."""
    there = {row["arm"] for row in rows}
    return [arm for arm in arms if arm in there]


def _cmc(rows: Rows, arms: Sequence[str]) -> dict[str, Any]:
    values = {(row["arm"], row["rank"]): row["cmc"] for row in rows}
    ranks = sorted({rank for _, rank in values})
    return {
        "arms": arms,
        "chart": cmc_chart([{**row, "cmc": round(row["cmc"], 5)} for row in rows], arms),
        "header": ["rank", *arms],
        "rows": [[rank, *(percent(values.get((arm, rank))) for arm in arms)] for rank in ranks],
    }


def _training(rows: Rows, arms: Sequence[str]) -> dict[str, Any]:
    terms = [
        name
        for name in rows[0]
        if name not in _NO_TERMS and any(row[name] is not None for row in rows)
    ]
    present = _in_order(rows, arms)
    runs: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        runs.setdefault((row["arm"], row["trial"]), []).append(row)
    drawn = [
        {"arm": row["arm"], "trial": row["trial"], "iterations": row["iterations"]}
        | {term: float(f"{row[term]:.5g}") for term in terms if row[term] is not None}
        for run in runs.values()
        for row in evenly(run, POINTS)
    ]
    listed = [row for arm in present for key, run in runs.items() if key[0] == arm
              for row in evenly(run, LINES)]  # fmt: skip
    start = "loss" if "loss" in terms else terms[0]
    return {
        "arms": present,
        "terms": terms,
        "start": start,
        "chart": training_chart(drawn, present, start),
        "header": ["arm", "trial", "iterations", *terms],
        "rows": [
            [row["arm"], row["trial"], row["iterations"], *(_short(row[term]) for term in terms)]
            for row in listed
        ],
        "thinned": any(len(run) > LINES for run in runs.values()),
    }


def _short(value: float | None) -> str:
    return DASH if value is None else f"{value:.4g}"


def _retrievals(found: Mapping[str, Any], headline: str) -> dict[str, Any]:
    arms = found["arms"]
    tracklets = {
        row: {**tracklet, "image": thumbnail_source(tracklet["image"])}
        for row, tracklet in found["tracklets"].items()
    }
    return {
        "data": {**found, "tracklets": tracklets},
        "start": headline,
        "header": ["query", "pid", "camera", *arms],
        "rows": [
            [
                query["name"],
                query["pid"],
                query["camera"],
                *(
                    f"{percent(query['answers'][arm]['ap'])}, "
                    f"{query['answers'][arm]['first_right_rank'] or DASH}"
                    for arm in arms
                ),
            ]
            for query in found["queries"]
        ],
    }
