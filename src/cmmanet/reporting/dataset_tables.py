"""Every measured number of one dataset, with or without a published counterpart."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.records import ArmResult
from cmmanet.reporting.claims_table import claims_section
from cmmanet.reporting.conditions import (
    conditions,
    in_words,
    not_the_papers,
    reranked_with,
    trial_name,
)
from cmmanet.reporting.costs import costs
from cmmanet.reporting.illustrations import illustrations
from cmmanet.reporting.inputs import ReportInputs, is_partial, title
from cmmanet.reporting.markdown import DASH, measured, paragraph, percent, table
from cmmanet.reporting.paper_tables import PARTIAL
from cmmanet.reporting.published import Paper, own_arms, steps_to_own
from cmmanet.reporting.steps import own_steps, sureness
from cmmanet.reporting.training_warnings import list_warnings


def dataset_section(dataset: str, plan: ReportInputs, paper: Paper) -> str:
    """Return the section of a dataset: every metric, uncertainty, other scorings, each run."""
    arms = plan.results[dataset]
    published = paper.tables_on(dataset)
    names = paper.tables["III"].arms | paper.tables["IV"].arms
    parts = [f"## {title(dataset)}: {'every metric' if published else 'not in the paper'}"]
    if note := DATASETS[dataset].note:
        parts.append(paragraph(note))
    if is_partial(arms.values()):
        parts.append(paragraph(f"**Partial data:** {PARTIAL}"))
    parts += not_the_papers(arms)
    parts += list_warnings(arms)
    if published:
        # The steps between arms are judged under the paper's own tables.
        parts += _comparison("All arms", dataset, arms, names, (), plan)
    else:
        parts += _comparisons(dataset, plan, paper)
    parts.append("### Conditions")
    parts.append(conditions(list(arms.values()), plan.scoring))
    parts += _intervals(dataset, plan)
    parts += illustrations(dataset, plan.figures[dataset])
    parts.append(claims_section(plan.claims[dataset]))
    parts += _otherwise(arms, plan.scoring)
    parts += _trials(arms, plan.scoring)
    parts += costs(arms)
    return "\n\n".join(part for part in parts if part)


def _comparisons(dataset: str, plan: ReportInputs, paper: Paper) -> list[str]:
    """Return the paper's two comparisons, of components and of sampling, on another dataset."""
    arms, own = plan.results[dataset], own_arms(plan.arms)
    components, sampling = paper.tables["IV"], paper.tables["III"]
    compared = {arm: arms[arm] for arm in [*components.arms, *own] if arm in arms}
    sampled = {arm: arms[arm] for arm in sampling.arms if arm in arms}
    steps = [*components.steps, *steps_to_own(own, plan.headline)]
    return [
        *_comparison("Component analysis", dataset, compared, components.arms, steps, plan),
        *_comparison("Sampling", dataset, sampled, sampling.arms, sampling.steps, plan),
    ]


def _comparison(
    heading: str,
    dataset: str,
    arms: Mapping[str, ArmResult],
    names: Mapping[str, str],
    steps: Iterable[tuple[str, str]],
    plan: ReportInputs,
) -> list[str]:
    if not arms:
        return []
    judged = own_steps(plan, dataset, steps)
    return [
        f"### {heading}",
        _metrics(arms, names, plan),
        *([judged, sureness(dataset, plan.comparisons[dataset])] if judged else []),
    ]


def _metrics(arms: Mapping[str, ArmResult], names: Mapping[str, str], plan: ReportInputs) -> str:
    """Return every metric of the arms, the headline's re-ranked as well."""
    reranked = replace(plan.scoring, reranked=True)
    rows = []
    for arm, result in arms.items():
        name = names.get(arm, DASH)
        rows.append([f"`{arm}`", name, *_values(result, plan.scoring)])
        if arm == plan.headline and str(reranked) in result.mean:
            rows.append([f"`{arm}`, re-ranked", DASH, *_values(result, reranked)])
    return table(["arm", "the paper's name", *METRICS.values()], rows, texts=2)


def _values(result: ArmResult, scoring: Scoring) -> list[str]:
    return [measured(result, scoring, metric) for metric in METRICS]


def _intervals(dataset: str, plan: ReportInputs) -> list[str]:
    """Return the uncertainty of each number over identities."""
    comparison = plan.comparisons[dataset]
    intervals = comparison.intervals
    if not intervals:
        return []
    shown = ("rank1", "rank5", "map")
    rows = [
        [f"`{arm}`"]
        + [
            f"{percent(result.mean[str(plan.scoring)][metric])} "
            f"({percent(intervals[arm][metric][0])} to {percent(intervals[arm][metric][1])})"
            for metric in shown
        ]
        for arm, result in plan.results[dataset].items()
    ]
    return [
        "### With other people",
        table(["arm", *(METRICS[metric] for metric in shown)], rows, texts=1),
        paragraph(
            f"95 % bootstrap intervals over the {comparison.people:,} people of the queries, "
            "each drawn with all their queries; trainings and gallery stay as they are. Arms share "
            "the people, so that their differences are surer than these intervals suggest."
        ),
    ]


def _otherwise(arms: Mapping[str, ArmResult], headline: Scoring) -> list[str]:
    """Return the same networks under each scoring that differs from the headline's in one thing."""
    # Which there are depends on the protocol and on whether anything was re-ranked: alike in all.
    held = next(iter(arms.values())).mean
    scorings = [headline, *(other for other in headline.variations() if str(other) in held)]
    parts = ["### The same networks, scored otherwise"]
    for metric in ("rank1", "map"):
        rows = [
            [f"`{arm}`", *(measured(result, scoring, metric) for scoring in scorings)]
            for arm, result in arms.items()
        ]
        header = [METRICS[metric], *(_difference(headline, scoring) for scoring in scorings)]
        parts.append(table(header, rows, texts=1))
    return [*parts, *reranked_with(arms.values())]


def _difference(headline: Scoring, other: Scoring) -> str:
    if other == headline:
        return f"{headline.distance}, {headline.test_frames}"
    if other.without_queries:
        return "queries not in gallery"
    if other.reranked:
        return "re-ranked"
    return other.distance if other.distance != headline.distance else other.test_frames


def _trials(arms: Mapping[str, ArmResult], scoring: Scoring) -> list[str]:
    numbers = sorted({run.trial for result in arms.values() for run in result.trials})
    if len(numbers) < 2:
        return []
    name = trial_name(next(iter(arms.values())))
    parts = []
    for metric in ("rank1", "map"):
        rows = []
        for arm, result in arms.items():
            values = {run.trial: run.metrics[str(scoring)][metric] for run in result.trials}
            cells = [percent(values.get(number)) for number in numbers]
            rows.append([f"`{arm}`", *cells])
        header = [METRICS[metric], *(f"{name} {number}" for number in numbers)]
        parts.append(table(header, rows, texts=1))
    return [
        f"### Each {name}",
        *parts,
        f"Test frames: {in_words(scoring)} ({scoring.test_frames}); {scoring.distance} distance.",
    ]
