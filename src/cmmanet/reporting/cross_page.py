"""The page of cross-dataset results: trained on one dataset, tested on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.records import ArmResult, CrossResult
from cmmanet.params import CrossPlan
from cmmanet.reporting.conditions import in_words, not_the_papers, protocol
from cmmanet.reporting.environments import provenance
from cmmanet.reporting.inputs import title
from cmmanet.reporting.markdown import bullets, measured, paragraph, span, table
from cmmanet.reporting.settings import settings


def render_cross(
    plan: CrossPlan,
    crossed: Mapping[tuple[str, str, str], CrossResult],
    within: Mapping[tuple[str, str], ArmResult],
) -> str:
    """Render the page reports/cross.md.

    Args:
        plan: names the pairs and arms.
        crossed: by (source, target, arm).
        within: results of arms trained on the target, by (target, arm).
    """
    scoring = Scoring(plan.distance, plan.test_frames)
    parts = [
        "# Trained on one dataset, tested on another",
        paragraph(
            "Of each arm the first row is the crossed one: nothing of the tested dataset was used "
            "in its training, that dataset's training half neither. The second, to set beside it, "
            "was trained on the tested dataset; what it depends on stands in "
            "[tables.md](tables.md). Values are percent: mean ± sample standard deviation over "
            "trials. A crossed trial's number is its mean over all splits of the tested dataset."
        ),
    ]
    for pair in plan.pairs:
        source, target = pair.source, pair.target
        results = [crossed[source, target, arm] for arm in plan.arms]
        rows = [
            [f"`{arm}`", title(on), *(measured(result, scoring, m) for m in METRICS)]
            for arm in plan.arms
            for on, result in (
                (source, crossed[source, target, arm]),
                (target, within[target, arm]),
            )
        ]
        parts += [
            f"## {title(source)} → {title(target)}",
            *not_the_papers({result.arm: result for result in results}),
            table(["arm", "trained on", *METRICS.values()], rows, texts=2),
            bullets(_depends(source, target, results, scoring)),
        ]
    return "\n\n".join(parts) + "\n"


def _depends(
    source: str, target: str, results: Sequence[CrossResult], scoring: Scoring
) -> list[str]:
    partial = [
        f"**partial data:** only a part of {title(dataset)} was there"
        for dataset, is_partial in (
            (source, any(result.source_partial for result in results)),
            (target, any(result.partial for result in results)),
        )
        if is_partial
    ]
    first, counts = results[0], [len(result.trials) for result in results]
    trials = f"{span(counts)} trial{'s' if max(counts) > 1 else ''}"
    return [
        *partial,
        protocol(results),
        f"splits of {title(target)} tested on: {first.splits}; test frames: {in_words(scoring)} "
        f"({scoring.test_frames}); {scoring.distance} distance; mAP: official (trapezoid)",
        f"trained on {title(source)}, {trials}, recipe {first.recipe}: {settings(results)}",
        provenance(results),
    ]
