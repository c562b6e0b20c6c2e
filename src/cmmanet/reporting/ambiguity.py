"""The ambiguity table: what each silence of the paper is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmmanet.evaluation.metrics import Scoring
from cmmanet.params import READING
from cmmanet.reporting.cells import DASH, measured, paragraph, table
from cmmanet.reporting.conditions import conditions, not_the_papers, reranked_with
from cmmanet.reporting.results import ArmResult, Comparison, Gain, is_partial, title
from cmmanet.reporting.settings import changes
from cmmanet.reporting.steps import NO_TELLING, sureness, verdict, with_half_width
from cmmanet.reporting.warned import warned

HEADER = [
    "reading",
    "in place of the default",
    "R1",
    "gain in R1",
    "mAP",
    "gain in mAP",
    "verdict on R1",
]

LEGEND = (
    "Each row has one reading changed: the arm trained anew with the same seeds, or its networks "
    "scored otherwise. Values are percent, mean ± sample standard deviation over trials. Gains are "
    "over the default, ± half of their 95 % interval; resolved means that the interval leaves out "
    f"zero. {NO_TELLING} Other queries: some have no right answer left, so that nothing can be "
    "subtracted. Many rows are judged at once and nothing is corrected for that: of twenty "
    "readings that change nothing, one is expected to look resolved. More on metrics and "
    "protocols: [tables.md](tables.md)."
)


def render_ambiguity(
    plan: Mapping[str, Any],
    results: Mapping[tuple[str, str], Any],
    trained: Mapping[str, Comparison],
    scored: Mapping[str, Comparison],
) -> str:
    """The page reports/ambiguity.md.

    From plan/readings.json, the results by (dataset, arm), and by dataset the comparisons of the
    arm with its readings, and of its scorings among each other.
    """
    scoring = Scoring(plan["distance"], plan["test_frames"])
    arm = plan["arm"]
    parts = [
        "# What the paper leaves open, and what it is worth",
        paragraph(
            f"The paper's own arm, `{arm}`, under other readings of what the paper does not say. "
            "What each default is and why stands in the [README](../README.md)."
        ),
        paragraph(LEGEND),
    ]
    for dataset in plan["datasets"]:
        own: ArmResult = results[dataset, arm]
        readings = [f"{READING}{name}" for name in plan["readings"]]
        arms: dict[str, ArmResult] = {name: results[dataset, name] for name in (arm, *readings)}
        named = {name.removeprefix(READING): result for name, result in arms.items()}
        parts.append(f"## {title(dataset)}")
        if is_partial(arms.values()):
            parts.append("**Partial data:** only a part of the dataset was there.")
        parts += [
            *not_the_papers(named),
            "### Trained otherwise",
            table(HEADER, _trained(arms, arm, scoring, trained[dataset]), 2, last_text=True),
            sureness(dataset, trained[dataset]),
            *warned(named),
            "### Scored otherwise",
            "The same networks as the first row above.",
            table(HEADER, _scored(own, scoring, scored[dataset]), 2, last_text=True),
            *reranked_with([own]),
            conditions([own], scoring, with_map=True),
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _trained(
    arms: Mapping[str, ArmResult], first: str, scoring: Scoring, comparison: Comparison
) -> list[list[str]]:
    gains = {step["after"]: step["metrics"] for step in comparison["steps"]}
    rows = []
    for arm, result in arms.items():
        r1, mean_ap = (measured(result, scoring, metric) for metric in ("rank1", "map"))
        if arm == first:
            rows.append([f"`{arm}`", "the default", r1, DASH, mean_ap, DASH, DASH])
        else:
            name = f"`{arm.removeprefix(READING)}`"
            what = ", ".join(changes(arms[first]["config"], result["config"]))
            if what:
                rows.append([name, what, r1, *_gained(gains[arm], mean_ap)])
            else:
                rows.append([name, "as this recipe has it", r1, DASH, mean_ap, DASH, DASH])
    return rows


def _scored(result: ArmResult, scoring: Scoring, comparison: Comparison) -> list[list[str]]:
    gains = {step["after"]: step["metrics"] for step in comparison["steps"]}
    rows = []
    for other in scoring.variations():
        if str(other) not in result["mean"]:
            continue
        r1, mean_ap = (measured(result, other, metric) for metric in ("rank1", "map"))
        told = [DASH, mean_ap, DASH, "other queries"]
        if str(other) in gains:
            told = _gained(gains[str(other)], mean_ap)
        rows.append([f"`{other}`", f"`{scoring}`", r1, *told])
    step = measured(result, scoring, "map_step")
    rows.append(["step AP", "trapezoid AP", DASH, DASH, step, DASH, DASH])
    return rows


def _gained(gains: Mapping[str, Gain], mean_ap: str) -> list[str]:
    rank1 = gains["rank1"]
    return [with_half_width(rank1), mean_ap, with_half_width(gains["map"]), verdict(rank1)]
