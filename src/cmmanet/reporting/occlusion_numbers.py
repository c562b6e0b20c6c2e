"""The numbers of the occlusion study as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.records import OcclusionResult
from cmmanet.evaluation.robustness import Quantity, Robustness
from cmmanet.params import OcclusionPlan


def numbers(
    plan: OcclusionPlan,
    results: Mapping[tuple[float, str], OcclusionResult],
    found: Robustness,
) -> dict[str, Any]:
    """Return the content of reports/occlusion.json, all fractions, for the page and the figure.

    Raises:
        ValueError: the plan has no rendered data.
    """
    if plan.render is None:
        raise ValueError("add `synthetic` to `datasets` of params.yaml: only it can be occluded")
    return {
        "dataset": "synthetic",
        "scoring": str(Scoring(plan.distance, plan.test_frames)),
        "trained_at": plan.render.occlusion,
        "levels": [
            {"level": level, **_measured_share(results[level, plan.arms[0]])}
            for level in plan.levels
        ],
        "queries": found.queries,
        "people": found.people,
        "trials": found.trials,
        "bootstrap": {"draws": DRAWS, "seed": SEED},
        "arms": {
            arm: {
                "levels": {
                    metric: [interval._asdict() for interval in intervals]
                    for metric, intervals in found.levels[arm].items()
                },
                "kept": {m: _of_arm(judged, arm) for m, judged in found.kept.items()},
                "overall": {m: _of_arm(judged, arm) for m, judged in found.overall.items()},
            }
            for arm in plan.arms
        },
        "training": {
            "kept": {metric: _spread(judged) for metric, judged in found.kept.items()},
            "overall": {metric: _spread(judged) for metric, judged in found.overall.items()},
        },
    }


def _of_arm(judged: Quantity, arm: str) -> dict[str, Any] | None:
    """Return a quantity of an arm with its gain over the baseline; None where it is undefined."""
    if arm not in judged.arms:
        return None
    gain = judged.over_baseline.get(arm)
    over_baseline = None if gain is None else gain._asdict()
    return {**judged.arms[arm]._asdict(), "over_baseline": over_baseline}


def _spread(judged: Quantity) -> dict[str, float | None]:
    variance = judged.training
    std = variance.value**0.5 if variance.degrees else None
    return {"std": std, "degrees": variance.degrees}


def _measured_share(result: OcclusionResult) -> dict[str, Any]:
    frames, occluded = result.frames, result.occluded
    return {"frames": frames, "occluded": occluded, "measured": occluded / frames}
