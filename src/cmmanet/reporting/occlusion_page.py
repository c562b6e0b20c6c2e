"""The page of the occlusion study: each arm under more and fewer occluded frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.records import EvaluateResult, OcclusionResult
from cmmanet.evaluation.robustness import MEASURED
from cmmanet.evaluation.uncertainty import Gain
from cmmanet.params import OcclusionPlan
from cmmanet.reporting import conditions
from cmmanet.reporting.contrasts import (
    INCONCLUSIVE,
    published_difference,
    verdict,
    with_half_width,
)
from cmmanet.reporting.document import Document, Table, render, table
from cmmanet.reporting.formats import DASH, measured, percent, signed
from cmmanet.reporting.published import load_published
from cmmanet.reporting.settings import settings_line
from cmmanet.reporting.training_warnings import list_warnings

BASELINE = "baseline"
"""The arm without attention."""

COMPONENTS = ("IV", "V")
"""The paper's tables of its components."""


def build_occlusion(
    plan: OcclusionPlan,
    results: Mapping[tuple[float, str], OcclusionResult],
    content: Mapping[str, Any],
    trained: Mapping[str, EvaluateResult],
) -> Document:
    """Return the page reports/occlusion.md.

    Args:
        plan: names the levels and arms.
        results: by (level, arm).
        content: of reports/occlusion.json.
        trained: by arm, its result on the dataset that it was trained on.
    """
    scoring = Scoring(plan.distance, plan.test_frames)
    arms = {arm: results[plan.levels[0], arm] for arm in plan.arms}
    dataset = {content["dataset"]: arms}
    every = [results[level, arm] for level in plan.levels for arm in plan.arms]
    low, high = (f"{100 * content['levels'][end]['measured']:.0f} %" for end in (0, -1))
    collapsed = {arm for arm in plan.arms if _collapsed(trained[arm])}
    marked = {arm: f"`{arm}`{' †' * (arm in collapsed)}" for arm in plan.arms}
    overall, kept = (content["training"][name]["rank1"] for name in ("overall", "kept"))
    return render(
        "occlusion.md.j2",
        resolution=resolution(content),
        baseline=BASELINE,
        has_baseline=BASELINE in plan.arms,
        inconclusive=INCONCLUSIVE,
        asked=f"{100 * content['trained_at']:g} %",
        low=low,
        high=high,
        collapsed=collapsed,
        levels={
            METRICS[metric]: table(
                f"{METRICS[metric]} by share of occluded frames",
                ["arm", *(f"{percent(level['measured'])} %" for level in content["levels"])],
                [
                    [marked[arm]]
                    + [measured(results[level, arm], scoring, metric) for level in plan.levels]
                    for arm in plan.arms
                ],
                texts=1,
            )
            for metric in MEASURED
        },
        kept=_judged_table("kept", content, marked),
        overall=_judged_table("overall", content, marked),
        queries=f"{content['queries']:,}",
        identities=f"{content['people']:,}",
        spread=(percent(overall["std"]), percent(kept["std"]), overall["degrees"])
        if overall["degrees"]
        else None,
        warnings=list_warnings(trained),
        runs=conditions.runs_table(dataset),
        conditions=conditions.line(every, scoring),
        protocol=conditions.protocol(every),
        settings=settings_line(list(arms.values())),
    )


def resolution(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the half-widths of the differences from the baseline, and the published ones."""
    tables = [load_published().tables[number] for number in COMPONENTS]
    published = [
        abs(difference)
        for each in tables
        for before, after in each.steps
        for place, column in enumerate(each.columns)
        if column.metric == "rank1"
        and (difference := published_difference(each, before, after, place)) is not None
    ]
    gains = [arm["overall"]["rank1"]["over_baseline"] for arm in content["arms"].values()]
    widths = [100 * gain["half_width"] for gain in gains if gain and gain["half_width"] is not None]
    ends = (min(widths), max(widths)) if widths else ()
    return {
        "steps": len(published),
        "least": f"{min(published):.1f}",
        "most": f"{max(published):.1f}",
        "tables": " and ".join(COMPONENTS),
        "widths": list(dict.fromkeys(f"{end:.1f}" for end in ends)),
        "smaller": sum(step < min(widths) for step in published) if widths else None,
    }


def _judged_table(name: str, content: Mapping[str, Any], marked: Mapping[str, str]) -> Table:
    """Return a quantity of each arm with its interval and its difference from the baseline."""
    kept = name == "kept"
    header = ["arm", "metric", *(["change", "kept"] if kept else ["mean"])]
    header += ["95 % interval", "over the baseline", "verdict"]
    rows = [
        [
            marked[arm],
            METRICS[metric],
            *([_change(values, metric)] if kept else []),
            *_judged(values[name][metric]),
        ]
        for arm, values in content["arms"].items()
        for metric in MEASURED
    ]
    caption = "Loss under occlusion" if kept else "Mean over all shares"
    numbers = len(header) - 3
    return table(caption, header, rows, texts=2, alignment=f"ll{'r' * numbers}l")


def _collapsed(result: EvaluateResult) -> bool:
    """Return whether any run warned of collapsed attention."""
    return any(sign.startswith("collapsed") for run in result.trials for sign in run.warnings)


def _change(values: Mapping[str, Any], metric: str) -> str:
    levels = values["levels"][metric]
    return signed(100 * (levels[-1]["value"] - levels[0]["value"]))


def _judged(quantity: Mapping[str, Any] | None) -> list[str]:
    """Return a quantity with its interval, the difference from the baseline, and the verdict."""
    if quantity is None:
        return [DASH, DASH, DASH, "not judged: 0 at the first share"]
    ends = " to ".join(percent(quantity[end]) for end in ("low", "high"))
    gain = None if quantity["over_baseline"] is None else Gain(**quantity["over_baseline"])
    cells = [DASH, DASH] if gain is None else [with_half_width(gain), _verdict(gain)]
    return [percent(quantity["value"]), ends, *cells]


def _verdict(gain: Gain) -> str:
    words = verdict(gain)
    return f"{words}: {'more' if gain.gain > 0 else 'less'}" if gain.resolved else words
