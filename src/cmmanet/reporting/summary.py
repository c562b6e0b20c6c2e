"""Summary of the page: a few bullets for each dataset that was run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cmmanet.evaluation.comparison import Comparison
from cmmanet.evaluation.metrics import METRICS
from cmmanet.params import PAPER_SAMPLER
from cmmanet.reporting.inputs import ReportInputs, is_partial, title
from cmmanet.reporting.markdown import bullets, measured, percent
from cmmanet.reporting.published import HEADLINE, Paper
from cmmanet.reporting.settings import deviation_mark

_METRICS = ("rank1", "map")


def summary(plan: ReportInputs, paper: Paper) -> str:
    """Return the headline's numbers, the resolved gains and the claims of each dataset."""
    return bullets(
        f"**{title(dataset)}**, {words}"
        for dataset in plan.results
        for words in (
            _numbers(dataset, plan, paper),
            *_gains(plan.comparisons[dataset]),
            *_claims(plan.claims[dataset]),
        )
    )


def _numbers(dataset: str, plan: ReportInputs, paper: Paper) -> str:
    result = plan.results[dataset][plan.headline]
    intervals = plan.comparisons[dataset].intervals.get(plan.headline, {})
    shown = []
    for metric in _METRICS:
        words = f"{METRICS[metric]} {measured(result, plan.scoring, metric)}"
        if metric in intervals:
            low, high = map(percent, intervals[metric])
            words += f" (95 % over people: {low} to {high})"
        value = _published(dataset, metric, plan, paper)
        shown.append(words if value is None else f"{words}, published {value:.1f}")
    trials = len(result.trials)
    over = "1 trial" if trials == 1 else f"{trials} trials"
    return f"`{plan.headline}`: {'; '.join(shown)}; {over}."


def _published(dataset: str, metric: str, plan: ReportInputs, paper: Paper) -> float | None:
    """Return the published headline; None where there is none, or the two do not compare."""
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
    gains = [step.metrics[metric] for step in comparison.steps for metric in _METRICS]
    if not gains:
        return []
    ups, downs = (
        sum(gain.resolved is True and (gain.gain > 0) == up for gain in gains)
        for up in (True, False)
    )
    resolved = f"{ups + downs} are resolved, {ups} up and {downs} down"
    words = f"of {len(gains)} differences from arm to arm, in R1 and in mAP, "
    words += resolved if ups + downs else "none is resolved"
    unknown = sum(gain.resolved is None for gain in gains)
    if unknown:
        words += f"; of {unknown} nothing can be told from so few trials"
    return [f"{words}."]


def _claims(claims: Mapping[str, Any]) -> list[str]:
    """Count the comparisons with the paper's claims by their verdict."""
    every = claims["claims"]
    known = [claim for claim in every if not claim["verdict"].startswith("not measured")]
    if not every:
        return []
    told = [claim for claim in known if not claim["only_in_image"] and not claim["collapsed"]]
    count = Counter(claim["verdict"].partition(" in ")[0] for claim in told)
    asked = sum(claim["verdict"] == "holds" and claim["measure"] == "own_stripe" for claim in told)
    words = f"of {len(known)} comparisons with what the paper says of its attention, "
    words += f"{count['holds']} hold"
    if asked:
        words += f" ({asked} of them that submodules keep to the stripes that the loss asks for)"
    words += f" and {count['contradicted'] or 'none'} contradict it"
    also = {
        "more hold in each training, which says nothing of others": count["yes"],
        "do not hold in any training, which says nothing of others": count["no"],
        "hold in the image and not in cells": sum(claim["only_in_image"] for claim in known),
        "are not judged, as attention has collapsed": sum(claim["collapsed"] for claim in known),
        "are not resolved": count["not resolved"],
        "differ from training to training": count["the trainings disagree"],
        "are undecided": count["undecided"] + count["no telling"],
        "could not be measured": len(every) - len(known),
    }
    words += "".join(f"; {number} {what}" for what, number in also.items() if number)
    return [f"{words}. Nothing is corrected for the number of comparisons."]
