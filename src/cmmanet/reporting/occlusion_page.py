"""The page of the occlusion study: what occluded frames leave of each arm's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.records import EvaluateResult, OcclusionResult
from cmmanet.evaluation.robustness import MEASURED
from cmmanet.evaluation.uncertainty import Gain
from cmmanet.params import OcclusionPlan
from cmmanet.reporting.conditions import conditions, not_the_papers
from cmmanet.reporting.markdown import DASH, measured, paragraph, percent, signed, table
from cmmanet.reporting.published import load_published
from cmmanet.reporting.steps import (
    NO_TELLING,
    published_difference,
    verdict,
    with_half_width,
)
from cmmanet.reporting.training_warnings import list_warnings

BASELINE = "baseline"
"""The arm without attention."""

COMPONENTS = ("IV", "V")
"""The paper's tables of its components."""

_DAGGER = " †"


def render_occlusion(
    plan: OcclusionPlan,
    results: Mapping[tuple[float, str], OcclusionResult],
    content: Mapping[str, Any],
    trained: Mapping[str, EvaluateResult],
) -> str:
    """Render the page reports/occlusion.md.

    Args:
        plan: names the levels and arms.
        results: by (level, arm).
        content: of reports/occlusion.json.
        trained: by arm, its result on the dataset that it was trained on.
    """
    scoring = Scoring(plan.distance, plan.test_frames)
    arms = {arm: results[plan.levels[0], arm] for arm in plan.arms}
    low, high = (f"{100 * content['levels'][end]['measured']:.0f} %" for end in (0, -1))
    collapsed = {arm for arm in plan.arms if _collapsed(trained[arm])}
    marked = {arm: f"`{arm}`{_DAGGER if arm in collapsed else ''}" for arm in plan.arms}
    asked = f"{100 * content['trained_at']:g} %"
    parts = [
        "# What occlusion takes from each arm",
        paragraph(
            'The paper proposes its modules to "make the attention more robust to the occlusions" '
            f"(III-B). {_resolution(content)}"
        ),
        paragraph(
            "The trained networks are tested on the same rendered people with fewer and more "
            "frames, of queries and gallery alike, in which something passes before the person. "
            "People, poses, cameras and boxes are the same at every share; strangers and junk "
            f"boxes are never occluded. The networks were trained once, with {asked} of frames "
            "occluded asked for (data.synthetic.render.occlusion), and are not trained again. "
            "Shares are those measured in the label maps of the people tested, near what "
            "`occlusion` of params.yaml asks for; how much of the person is hidden in an occluded "
            "frame is left to chance. The shares are not one family: up to 50 % asked for, more "
            "means more tracklets that are hit, each in 25 to 75 % of its frames, and above it "
            "nearly all are hit and more means more of their frames, in some all of them."
        ),
        *not_the_papers(arms),
        "![R1 and mAP against the share of occluded frames](occlusion.png)",
        paragraph(
            "Bars are 95 % intervals over the choice of people, and stand a little aside of one "
            "another to be seen. All arms are tested on the same people, so that bars which "
            "overlap say nothing of a difference: the last two tables do. The upright line is the "
            f"share that was asked for in training, {asked}, and not one measured as those of the "
            "axis are. Values below are percent: mean ± sample standard deviation over trials."
        ),
    ]
    if collapsed:
        parts.append(
            paragraph(
                "† In training, attention behind a stage of this arm collapsed to one place an "
                "image (the end of this page has the stage). Where it stayed so, that attention "
                "cannot respond to occlusion, and what the arm keeps is no merit of it."
            )
        )
    for metric in MEASURED:
        header = ["arm", *map(_share, content["levels"])]
        rows = [
            [
                marked[arm],
                *(measured(results[level, arm], scoring, metric) for level in plan.levels),
            ]
            for arm in plan.arms
        ]
        parts += [f"## {METRICS[metric]}", table(header, rows, texts=1)]
    told = ["95 % interval", "over the baseline's", "by our data"]
    parts += [
        f"## What is lost from {low} to {high} of frames occluded",
        _question(plan.arms),
        table(
            ["arm", "metric", "change", "kept", *told],
            [
                [marked[arm], METRICS[metric], _change(of, metric), *_judged(of["kept"][metric])]
                for arm, of in content["arms"].items()
                for metric in MEASURED
            ],
            texts=2,
            last_text=True,
        ),
        "## The mean over all shares",
        paragraph(
            "Each share counts alike. If all arms end alike, one that begins lower keeps the "
            "larger share all the same: more robust is an arm that keeps more and whose mean is "
            "no lower."
        ),
        table(
            ["arm", "metric", "mean", *told],
            [
                [marked[arm], METRICS[metric], *_judged(of["overall"][metric])]
                for arm, of in content["arms"].items()
                for metric in MEASURED
            ],
            texts=2,
            last_text=True,
        ),
        _sureness(content),
        *list_warnings(trained),
        conditions(
            [results[level, arm] for level in plan.levels for arm in plan.arms],
            scoring,
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _collapsed(result: EvaluateResult) -> bool:
    """Return whether any run warned of collapsed attention."""
    return any(sign.startswith("collapsed") for run in result.trials for sign in run.warnings)


def _resolution(content: Mapping[str, Any]) -> str:
    """What differences this study can see at all, beside those that the paper publishes."""
    tables = [load_published().tables[number] for number in COMPONENTS]
    published = [
        abs(difference)
        for of in tables
        for before, after in of.steps
        for place, column in enumerate(of.columns)
        if column.metric == "rank1"
        and (difference := published_difference(of, before, after, place)) is not None
    ]
    theirs = (
        f"the {len(published)} steps between the paper's components are of "
        f"{min(published):.1f} to {max(published):.1f} points of R1 (its Tables "
        f"{' and '.join(COMPONENTS)}, real data)"
    )
    gains = [of["overall"]["rank1"]["over_baseline"] for of in content["arms"].values()]
    widths = [100 * gain["half_width"] for gain in gains if gain and gain["half_width"] is not None]
    if not widths:
        return f"How small a difference this study sees cannot be told; {theirs}."
    ends = dict.fromkeys(f"{end:.1f}" for end in (min(widths), max(widths)))
    small = sum(step < min(widths) for step in published)
    return (
        f"This study sees a difference from `{BASELINE}` in R1, a mean over all shares, only where "
        f"it is larger than {' to '.join(ends)} points, the half-widths of the 95 % intervals "
        f"below; {theirs}, of which {small} are smaller than the narrowest."
    )


def _share(level: Mapping[str, Any]) -> str:
    return f"{percent(level['measured'])} %"


def _question(arms: Sequence[str]) -> str:
    quantities = (
        "The change in points goes with where an arm begins: one that begins higher has more to "
        "lose. It is told and not judged. *Kept* is the number at the last share as percent of "
        "that at the first, within each trial; intervals are over the choice of people."
    )
    if BASELINE not in arms:
        return paragraph(
            f"Whether attention helps cannot be told: `arms` of params.yaml has no `{BASELINE}`. "
            + quantities
        )
    return paragraph(
        f"Does an arm keep more than `{BASELINE}`, which has no attention? {quantities} *Over the "
        "baseline's*, here and in the next table, is what an arm has more than the baseline, in "
        "percentage points, ± half of its 95 % interval over other trainings and other people. "
        f"Resolved means that the interval leaves out zero. {NO_TELLING} Each arm is judged by "
        "itself, and nothing is corrected for that."
    )


def _change(of_arm: Mapping[str, Any], metric: str) -> str:
    levels = of_arm["levels"][metric]
    return signed(100 * (levels[-1]["value"] - levels[0]["value"]))


def _judged(found: Mapping[str, Any] | None) -> list[str]:
    """A quantity with its interval, what it is over the baseline's, and the verdict."""
    if found is None:
        return [DASH, DASH, DASH, "not judged: 0 at the first share"]
    ends = " to ".join(percent(found[end]) for end in ("low", "high"))
    gain = None if found["over_baseline"] is None else Gain(**found["over_baseline"])
    cells = [DASH, DASH] if gain is None else [with_half_width(gain), _verdict(gain)]
    return [percent(found["value"]), ends, *cells]


def _verdict(gain: Gain) -> str:
    words = verdict(gain)
    return f"{words}: {'more' if gain.gain > 0 else 'less'}" if gain.resolved else words


def _sureness(content: Mapping[str, Any]) -> str:
    overall, kept = (content["training"][name]["rank1"] for name in ("overall", "kept"))
    known = "from one trial or one arm nobody knows what another training would give"
    if overall["degrees"]:
        known = (
            f"trainings of one arm differ by {percent(overall['std'])} points of R1, a mean over "
            f"all shares, and by {percent(kept['std'])} points of the share kept of it (standard "
            f"deviations, pooled over arms, {overall['degrees']} degrees of freedom)"
        )
    return paragraph(
        f"How sure: {content['queries']:,} queries are of {content['people']:,} people; {known}."
    )
