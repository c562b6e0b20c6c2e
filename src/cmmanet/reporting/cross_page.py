"""The page of cross-dataset results: trained on one dataset, tested on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.records import ArmResult, CrossResult
from cmmanet.params import CrossPlan
from cmmanet.reporting import conditions
from cmmanet.reporting.document import Document, render, table
from cmmanet.reporting.formats import measured
from cmmanet.reporting.inputs import title
from cmmanet.reporting.settings import settings_line


def build_cross(
    plan: CrossPlan,
    crossed: Mapping[tuple[str, str, str], CrossResult],
    within: Mapping[tuple[str, str], ArmResult],
) -> Document:
    """Return the page reports/cross.md.

    Args:
        plan: names the pairs and arms.
        crossed: by (source, target, arm).
        within: results of arms trained on the target, by (target, arm).
    """
    # A source has the same networks on every target.
    trained: dict[str, dict[str, ArmResult]] = {
        pair.source: {arm: crossed[pair.source, pair.target, arm] for arm in plan.arms}
        for pair in plan.pairs
    }
    return render(
        "cross.md.j2",
        runs=conditions.runs_table(trained),
        pairs=[
            _pair(
                pair.source,
                [crossed[pair.source, pair.target, arm] for arm in plan.arms],
                [within[pair.target, arm] for arm in plan.arms],
                Scoring(plan.distance, plan.test_frames),
            )
            for pair in plan.pairs
        ],
    )


def _pair(
    source: str, results: Sequence[CrossResult], own: Sequence[ArmResult], scoring: Scoring
) -> dict[str, Any]:
    first, target = results[0], results[0].dataset
    rows = [
        [f"`{crossed.arm}`", title(on), *(measured(result, scoring, m) for m in METRICS)]
        for crossed, within in zip(results, own, strict=True)
        for on, result in ((source, crossed), (target, within))
    ]
    names = f"{title(source)} to {title(target)}"
    partial = {
        source: any(result.source_partial for result in results),
        target: any(result.partial for result in results),
    }
    return {
        "source": title(source),
        "target": title(target),
        "table": table(names, ["arm", "trained on", *METRICS.values()], rows, texts=2),
        "conditions": f"{conditions.count_runs(results)} per arm, {conditions.in_words(scoring)}",
        "protocol": conditions.protocol(results),
        "splits": first.splits,
        "settings": settings_line(results),
        "partial": [title(dataset) for dataset, part in partial.items() if part],
    }
