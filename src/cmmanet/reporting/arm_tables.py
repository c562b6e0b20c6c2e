"""Tables of the arms of one dataset: every metric, intervals, other scorings, each run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cmmanet.evaluation.comparison import Comparison
from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.records import ArmResult
from cmmanet.reporting.conditions import run_name
from cmmanet.reporting.document import Table, notes, table
from cmmanet.reporting.formats import DASH, measured, percent
from cmmanet.reporting.inputs import title

HEADLINES = ("rank1", "map")


def metrics_table(
    dataset: str,
    arms: Mapping[str, ArmResult],
    papers_names: Mapping[str, str],
    scoring: Scoring,
    headline: str,
) -> Table:
    """Return every metric of the arms, and the re-ranked ones of the headline."""
    reranked = replace(scoring, reranked=True)
    rows = []
    for arm, result in arms.items():
        rows.append([f"`{arm}`", papers_names.get(arm, DASH), *_values(result, scoring)])
        if arm == headline and str(reranked) in result.mean:
            rows.append([f"`{arm}`, re-ranked", DASH, *_values(result, reranked)])
    header = ["arm", "the paper's name", *METRICS.values()]
    return table(f"{title(dataset)}: every metric", header, rows, texts=2)


def intervals_table(
    dataset: str, arms: Mapping[str, ArmResult], scoring: Scoring, comparison: Comparison
) -> Table | None:
    """Return the 95 % intervals over identities; None where every run has its own split."""
    if not comparison.intervals:
        return None
    metrics = ("rank1", "rank5", "map")
    rows = [
        [f"`{arm}`"]
        + [
            f"{percent(result.mean[str(scoring)][metric])} "
            f"({' to '.join(map(percent, comparison.intervals[arm][metric]))})"
            for metric in metrics
        ]
        for arm, result in arms.items()
    ]
    header = ["arm", *(METRICS[metric] for metric in metrics)]
    caption = f"{title(dataset)}: 95 % intervals over identities"
    note = notes("intervals", identities=f"{comparison.people:,}")
    return table(caption, header, rows, texts=1, detail=True, notes=note)


def scorings_tables(dataset: str, arms: Mapping[str, ArmResult], headline: Scoring) -> list[Table]:
    """Return R1 and mAP of the same networks under every scoring."""
    # The protocol and re-ranking decide which there are: the same in all arms.
    scored = next(iter(arms.values())).mean
    scorings = [headline, *(other for other in headline.variations() if str(other) in scored)]
    header = [difference(headline, scoring) for scoring in scorings]
    return [
        table(
            f"{title(dataset)}: {METRICS[metric]} under other scorings",
            [METRICS[metric], *header],
            [
                [f"`{arm}`", *(measured(result, scoring, metric) for scoring in scorings)]
                for arm, result in arms.items()
            ],
            texts=1,
            detail=True,
            notes=notes("scorings"),
        )
        for metric in HEADLINES
    ]


def difference(headline: Scoring, other: Scoring) -> str:
    """Return what distinguishes a scoring from the headline's."""
    if other == headline:
        return f"{headline.distance}, {headline.test_frames}"
    if other.without_queries:
        return "queries not in gallery"
    if other.reranked:
        return "re-ranked"
    return other.distance if other.distance != headline.distance else other.test_frames


def runs_tables(dataset: str, arms: Mapping[str, ArmResult], scoring: Scoring) -> list[Table]:
    """Return R1 and mAP of each run; empty if there is one run per arm."""
    numbers = sorted({run.trial for result in arms.values() for run in result.trials})
    if len(numbers) < 2:
        return []
    name = run_name(next(iter(arms.values())))
    return [
        table(
            f"{title(dataset)}: {METRICS[metric]} of each {name}",
            [METRICS[metric], *(f"{name} {number}" for number in numbers)],
            [
                [f"`{arm}`", *_each(result, numbers, scoring, metric)]
                for arm, result in arms.items()
            ],
            texts=1,
        )
        for metric in HEADLINES
    ]


def _each(
    result: ArmResult, numbers: Sequence[int], scoring: Scoring, metric: str
) -> Iterable[str]:
    values = {run.trial: run.metrics[str(scoring)][metric] for run in result.trials}
    return [percent(values.get(number)) for number in numbers]


def _values(result: ArmResult, scoring: Scoring) -> list[str]:
    return [measured(result, scoring, metric) for metric in METRICS]
