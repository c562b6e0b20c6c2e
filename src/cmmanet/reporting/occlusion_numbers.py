"""The numbers of the occlusion study, as JSON holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.occlusion import Judged, Robustness


def numbers(
    plan: Mapping[str, Any], results: Mapping[tuple[float, str], Any], found: Robustness
) -> dict[str, Any]:
    """What reports/occlusion.json holds, all fractions; the page and the figure are made of it."""
    first = plan["arms"][0]
    return {
        "dataset": "synthetic",
        "scoring": str(Scoring(plan["distance"], plan["test_frames"])),
        "trained_at": plan["render"]["occlusion"],
        "levels": [
            {"level": level, **_measured_share(results[level, first])} for level in plan["levels"]
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
            for arm in plan["arms"]
        },
        "training": {
            "kept": {metric: _spread(judged) for metric, judged in found.kept.items()},
            "overall": {metric: _spread(judged) for metric, judged in found.overall.items()},
        },
    }


def _of_arm(judged: Judged, arm: str) -> dict[str, Any] | None:
    """A judged quantity of an arm; None where it is not defined."""
    if arm not in judged.arms:
        return None
    gain = judged.over_baseline.get(arm)
    told = None if gain is None else gain._asdict()
    return {**judged.arms[arm]._asdict(), "over_baseline": told}


def _spread(judged: Judged) -> dict[str, float | None]:
    variance = judged.training
    std = variance.value**0.5 if variance.degrees else None
    return {"std": std, "degrees": variance.degrees}


def _measured_share(result: Mapping[str, Any]) -> dict[str, Any]:
    frames, occluded = result["frames"], result["occluded"]
    return {"frames": frames, "occluded": occluded, "measured": occluded / frames}
