"""What the page comes to, in its first lines: a few bullets for each dataset that was run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cmmanet.evaluation.metrics import METRICS
from cmmanet.params import PAPER_SAMPLER
from cmmanet.reporting.cells import bullets, measured, percent
from cmmanet.reporting.published import HEADLINE, Paper
from cmmanet.reporting.results import Comparison, Planned, is_partial, title
from cmmanet.reporting.settings import deviation_mark

_METRICS = ("rank1", "map")


def summary(plan: Planned, paper: Paper) -> str:
    """Of each dataset the headline's numbers, how many gains are resolved, and the claims."""
    return bullets(
        f"**{title(dataset)}**, {words}"
        for dataset in plan.results
        for words in (
            _numbers(dataset, plan, paper),
            *_gains(plan.comparisons[dataset]),
            *_claims(plan.claims[dataset]),
        )
    )


def _numbers(dataset: str, plan: Planned, paper: Paper) -> str:
    result = plan.results[dataset][plan.headline]
    intervals = plan.comparisons[dataset]["intervals"].get(plan.headline, {})
    told = []
    for metric in _METRICS:
        words = f"{METRICS[metric]} {measured(result, plan.scoring, metric)}"
        if metric in intervals:
            low, high = map(percent, intervals[metric])
            words += f" (95 % over people: {low} to {high})"
        value = _published(dataset, metric, plan, paper)
        told.append(words if value is None else f"{words}, published {value:.1f}")
    trials = len(result["trials"])
    over = "1 trial" if trials == 1 else f"{trials} trials"
    return f"`{plan.headline}`: {'; '.join(told)}; {over}."


def _published(dataset: str, metric: str, plan: Planned, paper: Paper) -> float | None:
    """The paper's headline; None where it has none, or the measured one is not to be compared."""
    result = plan.results[dataset][plan.headline]
    if is_partial([result]) or plan.sampler != PAPER_SAMPLER or deviation_mark(result):
        return None
    for table in paper.tables.values():
        for place, column in enumerate(table.columns):
            for row in table.rows:
                if row.arm == HEADLINE and (column.dataset, column.metric) == (dataset, metric):
                    return row.values[place]
    return None


def _gains(comparison: Comparison) -> list[str]:
    gains = [step["metrics"][metric] for step in comparison["steps"] for metric in _METRICS]
    if not gains:
        return []
    resolved = sum(gain["resolved"] is True for gain in gains)
    words = f"of {len(gains)} gains from arm to arm, in R1 and in mAP, {resolved} resolved"
    untold = sum(gain["resolved"] is None for gain in gains)
    if untold:
        words += f"; of {untold} nothing can be told from so few trials"
    return [f"{words}."]


def _claims(claims: Mapping[str, Any]) -> list[str]:
    """How the comparisons with the paper's claims ended, a collapse not hidden behind them."""
    judged = claims["claims"]
    if not judged:
        return []
    count = Counter(
        claim["verdict"].partition(" in ")[0] for claim in judged if not claim["by_size"]
    )
    words = (
        f"of {len(judged)} comparisons with what the paper says of its attention, {count['holds']} "
        f"hold and {count['contradicted']} contradict it"
    )
    if size := sum(claim["by_size"] for claim in judged):
        words += f"; {size} more hold by the size of cells alone"
    if count["yes"] or count["no"]:
        words += f"; {count['yes']} hold in every training and {count['no']} contradict it there, "
        words += "of too few to speak of others"
    if collapsed := sum(claim["collapsed"] for claim in judged):
        words += f"; {collapsed} are not judged, as attention has collapsed to one cell"
    return [f"{words}; the rest are undecided."]
