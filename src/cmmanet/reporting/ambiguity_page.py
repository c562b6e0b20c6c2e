"""The ambiguity page: sensitivity to details that the paper does not specify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cmmanet.evaluation.comparison import Comparison, Step
from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.records import ArmResult, EvaluateResult
from cmmanet.evaluation.uncertainty import Gain
from cmmanet.params import READING, ReadingsPlan
from cmmanet.reporting.conditions import conditions, not_the_papers, reranked_with
from cmmanet.reporting.inputs import is_partial, title
from cmmanet.reporting.markdown import DASH, measured, paragraph, table
from cmmanet.reporting.settings import changes
from cmmanet.reporting.steps import NO_TELLING, sureness, verdict, with_half_width
from cmmanet.reporting.training_warnings import list_warnings

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
    plan: ReadingsPlan,
    results: Mapping[tuple[str, str], EvaluateResult],
    trained: Mapping[str, Comparison],
    scored: Mapping[str, Sequence[Step]],
) -> str:
    """Render the page reports/ambiguity.md.

    Args:
        plan: names the arm, its readings and the datasets.
        results: by (dataset, arm).
        trained: by dataset, the arm compared with its readings.
        scored: by dataset, the steps from the arm's scoring to others.
    """
    scoring = Scoring(plan.distance, plan.test_frames)
    arm = plan.arm
    parts = [
        "# What the paper leaves open, and what it is worth",
        paragraph(
            f"The paper's own arm, `{arm}`, under other readings of what the paper does not say. "
            "What each default is and why stands in the [README](../README.md)."
        ),
        paragraph(LEGEND),
    ]
    for dataset in plan.datasets:
        own = results[dataset, arm]
        readings = [f"{READING}{name}" for name in plan.readings]
        arms = {name: results[dataset, name] for name in (arm, *readings)}
        named = {name.removeprefix(READING): result for name, result in arms.items()}
        parts.append(f"## {title(dataset)}")
        if is_partial(arms.values()):
            parts.append("**Partial data:** only a part of the dataset was there.")
        parts += [
            *not_the_papers(named),
            "### Trained otherwise",
            table(HEADER, _trained(arms, arm, scoring, trained[dataset]), 2, last_text=True),
            sureness(dataset, trained[dataset]),
            *list_warnings(named),
            "### Scored otherwise",
            "The same networks as the first row above.",
            table(HEADER, _scored(own, scoring, scored[dataset]), 2, last_text=True),
            *reranked_with([own]),
            conditions([own], scoring),
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _trained(
    arms: Mapping[str, ArmResult], first: str, scoring: Scoring, comparison: Comparison
) -> list[list[str]]:
    rows = []
    for arm, result in arms.items():
        r1, mean_ap = (measured(result, scoring, metric) for metric in ("rank1", "map"))
        if arm == first:
            rows.append([f"`{arm}`", "the default", r1, DASH, mean_ap, DASH, DASH])
        else:
            name = f"`{arm.removeprefix(READING)}`"
            what = ", ".join(changes(arms[first].config, result.config))
            if gains := comparison.gains(first, arm):
                rows.append([name, what, r1, *_gained(gains, mean_ap)])
            else:
                rows.append([name, "as this recipe has it", r1, DASH, mean_ap, DASH, DASH])
    return rows


def _scored(result: ArmResult, scoring: Scoring, steps: Sequence[Step]) -> list[list[str]]:
    gains = {step.after: step.metrics for step in steps}
    rows = []
    for other in scoring.variations():
        if str(other) not in result.mean:
            continue
        r1, mean_ap = (measured(result, other, metric) for metric in ("rank1", "map"))
        cells = [DASH, mean_ap, DASH, "other queries"]
        if str(other) in gains:
            cells = _gained(gains[str(other)], mean_ap)
        rows.append([f"`{other}`", f"`{scoring}`", r1, *cells])
    step = measured(result, scoring, "map_step")
    rows.append(["step AP", "trapezoid AP", DASH, DASH, step, DASH, DASH])
    return rows


def _gained(gains: Mapping[str, Gain], mean_ap: str) -> list[str]:
    rank1 = gains["rank1"]
    return [with_half_width(rank1), mean_ap, with_half_width(gains["map"]), verdict(rank1)]
