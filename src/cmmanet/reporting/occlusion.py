"""The page of the occlusion study: what occluded frames take from each arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.occlusion import MEASURED, Interval, Robustness
from cmmanet.reporting.cells import DASH, measured, paragraph, percent, signed, table
from cmmanet.reporting.conditions import conditions, not_the_papers
from cmmanet.reporting.results import ArmResult, Gain
from cmmanet.reporting.steps import NO_TELLING, verdict, with_half_width
from cmmanet.reporting.warned import warned

BASELINE = "baseline"
"""The arm without attention."""


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
                "change": {m: change._asdict() for m, change in found.change[arm].items()},
                "over_baseline": {
                    m: gain._asdict() for m, gain in found.over_baseline.get(arm, {}).items()
                },
            }
            for arm in plan["arms"]
        },
        "training": {
            metric: {
                "std": variance.value**0.5 if variance.degrees else None,
                "degrees": variance.degrees,
            }
            for metric, variance in found.training.items()
        },
    }


def render_occlusion(
    plan: Mapping[str, Any], results: Mapping[tuple[float, str], Any], content: Mapping[str, Any]
) -> str:
    """The page reports/occlusion.md.

    From plan/occlusion.json, the results by (level, arm), and what `numbers` made of them.
    """
    scoring = Scoring(plan["distance"], plan["test_frames"])
    arms: dict[str, ArmResult] = {arm: results[plan["levels"][0], arm] for arm in plan["arms"]}
    low, high = (_share(level) for level in (content["levels"][0], content["levels"][-1]))
    parts = [
        "# What occlusion takes from each arm",
        paragraph(
            'The paper proposes its modules to "make the attention more robust to the occlusions" '
            "(III-B). Here the trained networks are tested on the same rendered people with fewer "
            "and more frames, of queries and gallery alike, in which something passes before the "
            "person. People, poses, cameras and boxes are the same at every share; strangers and "
            "junk boxes are never occluded. "
            f"The networks were trained once, with {100 * content['trained_at']:g} % of frames "
            "occluded (data.synthetic.render.occlusion), and are not trained again. Shares are "
            "those measured in the label maps, near what `occlusion` of params.yaml asks for; how "
            "much of the person is hidden in an occluded frame is left to chance."
        ),
        *not_the_papers(arms),
        "![R1 and mAP against the share of occluded frames](occlusion.png)",
        paragraph(
            "Bars are 95 % intervals over the choice of people, and stand a little aside of one "
            "another to be seen. The upright line is the share that the networks were trained "
            "with. Values below are percent: mean ± sample standard deviation over trials."
        ),
    ]
    for metric in MEASURED:
        header = ["arm", *map(_share, content["levels"])]
        rows = [
            [
                f"`{arm}`",
                *(measured(results[level, arm], scoring, metric) for level in plan["levels"]),
            ]
            for arm in plan["arms"]
        ]
        parts += [f"## {METRICS[metric]}", table(header, rows, texts=1)]
    parts += [
        f"## What {high} takes that {low} leaves",
        _question(plan["arms"]),
        table(
            ["arm", "metric", "change", "95 % interval", "over the baseline's", "by our data"],
            _changes(content),
            texts=2,
            last_text=True,
        ),
        _sureness(content),
        *warned(arms),
        conditions(
            [results[level, arm] for level in plan["levels"] for arm in plan["arms"]],
            scoring,
            with_map=True,
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _measured_share(result: Mapping[str, Any]) -> dict[str, Any]:
    frames, occluded = result["frames"], result["occluded"]
    return {"frames": frames, "occluded": occluded, "measured": occluded / frames}


def _share(level: Mapping[str, Any]) -> str:
    return f"{percent(level['measured'])} %"


def _question(arms: list[str]) -> str:
    changes = "Changes are in points, their intervals over the choice of people."
    if BASELINE not in arms:
        return paragraph(
            f"Whether attention helps cannot be told: `arms` of params.yaml has no `{BASELINE}`. "
            + changes
        )
    return paragraph(
        f"Does an arm lose less than `{BASELINE}`, which has no attention? {changes} *Over the "
        "baseline's* is an arm's change less the baseline's, ± half of its 95 % interval over "
        "other trainings and other people: positive where the arm loses less. Resolved means "
        f"that the interval leaves out zero. {NO_TELLING} An arm that begins lower has less to "
        "lose: read the change beside the first column above. Each arm is judged by itself, and "
        "nothing is corrected for that."
    )


def _changes(content: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for arm, found in content["arms"].items():
        for metric in MEASURED:
            change = Interval(**found["change"][metric])
            ends = " to ".join(signed(100 * end) for end in (change.low, change.high))
            gain: Gain | None = found["over_baseline"].get(metric)
            told = [DASH, DASH] if gain is None else [with_half_width(gain), _verdict(gain)]
            rows.append([f"`{arm}`", METRICS[metric], signed(100 * change.value), ends, *told])
    return rows


def _verdict(gain: Gain) -> str:
    words = verdict(gain)
    if not gain["resolved"]:
        return words
    return f"{words}: loses {'less' if gain['gain'] > 0 else 'more'}"


def _sureness(content: Mapping[str, Any]) -> str:
    spread = content["training"]["rank1"]
    known = (
        f"trainings of one arm differ in their change by {percent(spread['std'])} points of R1 "
        f"(standard deviation, pooled over arms, {spread['degrees']} degrees of freedom)"
        if spread["degrees"]
        else "from one trial or one arm nobody knows what another training would give"
    )
    return paragraph(
        f"How sure: {content['queries']:,} queries are of {content['people']:,} people; {known}."
    )
