"""The ambiguity page: sensitivity to details that the paper does not specify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmmanet.evaluation.comparison import Comparison, Step
from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.records import ArmResult, EvaluateResult
from cmmanet.evaluation.uncertainty import Gain
from cmmanet.params import READING, ReadingsPlan
from cmmanet.reporting import conditions
from cmmanet.reporting.contrasts import INCONCLUSIVE, uncertainty, verdict, with_half_width
from cmmanet.reporting.document import Document, Table, render, table
from cmmanet.reporting.formats import DASH, measured
from cmmanet.reporting.inputs import is_partial, title
from cmmanet.reporting.settings import changes, settings_line
from cmmanet.reporting.training_warnings import list_warnings

HEADER = [
    "interpretation",
    "in place of the default",
    "R1",
    "gain in R1",
    "mAP",
    "gain in mAP",
    "verdict on R1",
]


def build_ambiguity(
    plan: ReadingsPlan,
    results: Mapping[tuple[str, str], EvaluateResult],
    trained: Mapping[str, Comparison],
    scored: Mapping[str, Sequence[Step]],
) -> Document:
    """Return the page reports/ambiguity.md.

    Args:
        plan: names the arm, its interpretations and the datasets.
        results: by (dataset, arm).
        trained: by dataset, the arm compared with its interpretations.
        scored: by dataset, the contrasts of the arm's scoring with others.
    """
    names = [plan.arm, *(f"{READING}{name}" for name in plan.readings)]
    arms = {
        dataset: {name.removeprefix(READING): results[dataset, name] for name in names}
        for dataset in plan.datasets
    }
    return render(
        "ambiguity.md.j2",
        arm=plan.arm,
        inconclusive=INCONCLUSIVE,
        runs=conditions.runs_table(arms),
        datasets=[
            _dataset(plan, dataset, arms[dataset], trained[dataset], scored[dataset])
            for dataset in plan.datasets
        ],
    )


def _dataset(
    plan: ReadingsPlan,
    dataset: str,
    arms: Mapping[str, EvaluateResult],
    trained: Comparison,
    scored: Sequence[Step],
) -> dict[str, Any]:
    scoring = Scoring(plan.distance, plan.test_frames)
    own, every = arms[plan.arm], list(arms.values())
    return {
        "name": title(dataset),
        "partial": is_partial(every),
        "conditions": conditions.line(every, scoring),
        "protocol": conditions.protocol([own]),
        "settings": settings_line([own]),
        "trained": _table(
            f"{title(dataset)}: trained differently", _trained(arms, plan.arm, scoring, trained)
        ),
        "uncertainty": uncertainty(trained),
        "warnings": list_warnings(arms),
        "scored": _table(f"{title(dataset)}: scored differently", _scored(own, scoring, scored)),
        "reranking": conditions.reranking([own]),
    }


def _table(caption: str, rows: list[list[str]]) -> Table:
    return table(caption, HEADER, rows, texts=2, alignment="llrrrrl")


def _trained(
    arms: Mapping[str, ArmResult], first: str, scoring: Scoring, comparison: Comparison
) -> list[list[str]]:
    rows = []
    for name, result in arms.items():
        r1, mean_ap = (measured(result, scoring, metric) for metric in ("rank1", "map"))
        what = ", ".join(changes(arms[first].config, result.config))
        if name == first:
            what, cells = "the default", [DASH, mean_ap, DASH, DASH]
        elif gains := comparison.gains(first, f"{READING}{name}"):
            cells = _gained(gains, mean_ap)
        else:
            what, cells = "already in this recipe", [DASH, mean_ap, DASH, DASH]
        rows.append([f"`{name}`", what, r1, *cells])
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
