"""The page of cross-dataset results: trained on one dataset, tested on another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.reporting.cells import bullets, measured, paragraph, span, table
from cmmanet.reporting.conditions import in_words, not_the_papers, protocol
from cmmanet.reporting.provenance import provenance
from cmmanet.reporting.results import title
from cmmanet.reporting.settings import settings


def render_cross(
    plan: Mapping[str, Any],
    crossed: Mapping[tuple[str, str, str], Any],
    within: Mapping[tuple[str, str], Any],
) -> str:
    """The page reports/cross.md.

    From plan/cross.json, the crossed results by (source, target, arm) and, to set beside them,
    those of arms trained on the target itself, by (target, arm).
    """
    scoring = Scoring(plan["distance"], plan["test_frames"])
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
    if not plan["pairs"]:
        parts.append("`cross` of params.yaml names no pair of datasets.")
    for pair in plan["pairs"]:
        source, target = pair["source"], pair["target"]
        results = [crossed[source, target, arm] for arm in plan["arms"]]
        rows = [
            [f"`{result['arm']}`", title(on), *(measured(result, scoring, m) for m in METRICS)]
            for arm_result in results
            for on, result in (
                (source, arm_result),
                (target, within[target, arm_result["arm"]]),
            )
        ]
        parts += [
            f"## {title(source)} → {title(target)}",
            *not_the_papers({result["arm"]: result for result in results}),
            table(["arm", "trained on", *METRICS.values()], rows, texts=2),
            bullets(_depends(source, target, results, scoring)),
        ]
    return "\n\n".join(parts) + "\n"


def _depends(source: str, target: str, results: list[Any], scoring: Scoring) -> list[str]:
    partial = [
        f"**partial data:** only a part of {title(dataset)} was there"
        for dataset, key in ((source, "source_partial"), (target, "partial"))
        if any(result[key] for result in results)
    ]
    first, most = results[0], max(len(result["trials"]) for result in results)
    trials = f"{span(len(result['trials']) for result in results)} trial{'s' if most > 1 else ''}"
    return [
        *partial,
        protocol(results),
        f"splits of {title(target)} tested on: {first['splits']}; test frames: {in_words(scoring)} "
        f"({scoring.test_frames}); {scoring.distance} distance; mAP: official (trapezoid)",
        f"trained on {title(source)}, {trials}, recipe {first['recipe']}: {settings(results)}",
        provenance(results),
    ]
