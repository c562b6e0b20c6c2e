"""The report: one Markdown page, and the headline numbers for DVC.

Both are functions of the report's inputs and the packaged transcription of the paper alone.
"""

from collections.abc import Sequence

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.records import ArmResult, EvaluateResult
from cmmanet.params.strict import Strict
from cmmanet.reporting.dataset_tables import dataset_section
from cmmanet.reporting.environments import dates, devices
from cmmanet.reporting.inputs import ReportInputs, is_partial, title
from cmmanet.reporting.markdown import (
    DASH,
    bullets,
    distinct,
    escape,
    paragraph,
    span,
    table,
    where,
)
from cmmanet.reporting.paper_tables import paper_table
from cmmanet.reporting.published import Paper, load_published
from cmmanet.reporting.settings import deviation_mark, stated_settings, unmentioned_options
from cmmanet.reporting.steps import NO_TELLING
from cmmanet.reporting.summary import summary

READING = (
    "**R1, R5, R10, R20**: cumulative matching characteristic (CMC), the share of queries with a "
    "right answer among the first 1, 5, 10, 20 of the gallery, in percent.",
    "**mAP**: mean average precision as the official MARS code computes it. With right answers at "
    "ranks r_1 < … < r_R, AP = (1/R) Σ ½ [(i−1)/(r_i−1) + i/r_i], the first term being 1 where "
    "r_i = 1 (trapezoid). **mAP (step)** is the other common form, AP = (1/R) Σ i/r_i. On MARS the "
    "two differ by 0.4 to 2.2 points; the paper does not say which it reports. Differences to "
    "published values are those of the official form.",
    "**Test frames**: a tracklet's feature is the mean over all its frames (dense), or over the "
    "first frame of each of N equal chunks (chunk_first). The paper does not say which it uses, "
    "nor which distance.",
    "**Queries not in gallery**: some public loaders take the queries' own rows out of the "
    "gallery, where they are right answers to other queries; on MARS 140 queries then have none. "
    "Not the official protocol.",
    "**Protocol mars**: the gallery holds every test tracklet; each query leaves out junk and its "
    "own identity in its own camera, and distractors count as wrong answers. **Protocol "
    "two-camera**: queries from one camera, a gallery with one right answer each from the other.",
    "**88.1 ± 0.4**: mean and sample standard deviation over trials (seeds, or splits where the "
    "dataset has several; those overlap, so that it is no standard error there). A number without "
    "± comes from a single trial.",
    "**(−0.6)**: measured minus published, in percentage points, from the mean as printed. The "
    "paper gives no spread. **(~−0.6)**: the published value lies within the measured one's 95 % "
    "interval over the choice of people, so that the two are not told apart. Other trainings that "
    "interval does not cover, and where every trial has its own split there is none: the lack of "
    "a tilde proves no difference.",
    "**+1.2 ± 0.9, resolved**: the gain from one arm to another, and half of its 95 % interval. It "
    "is taken query by query and trial by trial. Where all trials answer the same queries it "
    "covers other trainings and other people (Obuchowski and Rockette 1995, Hillis 2007), and is "
    "never shorter than other people alone make it; where each trial is a random split it is "
    "Nadeau and Bengio's corrected resampled t (2003). "
    "Resolved: the interval leaves out zero. The paper's lies outside: the published gain is not "
    f"in the interval. {NO_TELLING} The spread of trainings is pooled over all arms; nothing is "
    "corrected for the number of steps. Arms are ranked by nothing else.",
    "**Re-ranked**: by k-reciprocal encoding (Zhong et al., CVPR 2017). It looks at all queries "
    "and the whole gallery at once, which a system that answers one query cannot.",
    "Every number is of the network after its last iteration; none was chosen on test data.",
)


def render_tables(plan: ReportInputs) -> str:
    """Render the page reports/tables.md."""
    paper = load_published()
    parts = [
        "# CMMANet: published and measured",
        paragraph(
            f"Tables I–V of *{paper.title}* ({paper.authors}), every published row, and under the "
            "paper's own rows what this repository measured. Values are percent. The colours with "
            "which the paper marks best results are left out."
        ),
        _verdict(plan, paper),
        summary(plan, paper),
        "## Status",
        _status(plan, paper),
        *(paper_table(published, plan, paper) for published in paper.tables.values()),
        *(dataset_section(dataset, plan, paper) for dataset in plan.results),
        "## How to read these numbers",
        bullets([*READING, _settings()]),
        "## Slips in the paper",
        bullets(paper.slips),
        "## Ambiguities",
        paragraph(
            "What the paper leaves open, and what is done here: see the [README](../README.md). "
            "What another choice would change: [ambiguity.md](ambiguity.md), where it was run."
        ),
    ]
    return "\n\n".join(parts) + "\n"


class Headline(Strict):
    """The headline arm's numbers on a dataset, as fractions: an entry of reports/metrics.json.

    `rank1_low` and `rank1_high` are the ends of the 95 % interval over identities, where there is
    one.
    """

    arm: str
    scoring: str
    rank1: float
    rank5: float
    rank10: float
    rank20: float
    map: float
    map_step: float
    rank1_std: float | None
    rank1_low: float | None
    rank1_high: float | None
    trials: int
    partial: bool
    recipe: str
    papers_settings: bool


def headline_metrics(plan: ReportInputs) -> dict[str, Headline]:
    """Return the content of reports/metrics.json, by planned dataset."""
    return {dataset: _headline(arms[plan.headline], plan) for dataset, arms in plan.results.items()}


def _headline(result: ArmResult, plan: ReportInputs) -> Headline:
    scoring = str(plan.scoring)
    interval = plan.comparisons[result.dataset].intervals.get(plan.headline)
    low, high = (None, None) if interval is None else interval["rank1"]
    return Headline(
        arm=plan.headline,
        scoring=scoring,
        rank1_std=None if result.std is None else result.std[scoring]["rank1"],
        rank1_low=low,
        rank1_high=high,
        trials=len(result.trials),
        partial=result.partial,
        recipe=result.recipe,
        papers_settings=not deviation_mark(result),
        **{metric: result.mean[scoring][metric] for metric in METRICS},
    )


def _verdict(plan: ReportInputs, paper: Paper) -> str:
    """Return the page's first lines: the parts of the paper that were reproduced."""
    in_paper = [dataset for dataset in DATASETS if paper.tables_on(dataset)]
    absent = [dataset for dataset in in_paper if dataset not in plan.results]
    partial = [d for d in in_paper if d in plan.results and is_partial(plan.results[d].values())]
    full = [dataset for dataset in in_paper if dataset not in {*absent, *partial}]
    beyond = [dataset for dataset in plan.results if dataset not in in_paper]
    sentences = [
        f"**Measured and set beside the published numbers: {_listed(full)}.**"
        if full
        else "**No number of the paper is reproduced here yet.**"
    ]
    for dataset in full:
        marks = {arm: deviation_mark(result) for arm, result in plan.results[dataset].items()}
        texts = where({arm: mark and f"with {mark}" for arm, mark in marks.items()})
        sentences += [escape(f"{title(dataset)} {text}.") for text in texts]
    if partial:
        sentences.append(f"On a part of its data, hence not comparable: {_listed(partial)}.")
    if absent:
        sentences.append(f"Not run: {_listed(absent)}.")
    if beyond:
        sentences.append(
            f"Run, though not in the paper: {_listed(beyond)}; those numbers cannot be compared "
            "with the published ones."
        )
    return paragraph(" ".join(sentences))


def _settings() -> str:
    return (
        f"**Settings**: the paper states {stated_settings()}. In Tables I–V a run that departs "
        "from any of these says so in its source column, whatever its recipe is called, and so "
        f"does one with an option that the paper does not mention ({unmentioned_options()}); all "
        "else the paper leaves open."
    )


def _listed(datasets: Sequence[str]) -> str:
    return " and ".join(title(dataset) for dataset in datasets)


def _status(plan: ReportInputs, paper: Paper) -> str:
    datasets = [d for d in DATASETS if d in plan.results or paper.tables_on(d)]
    return table(
        ["dataset", "in the paper", "run", "arms", "trials", "recipe", "device", "date"],
        [
            [
                title(dataset),
                ", ".join(paper.tables_on(dataset)) or "no",
                *_run(list(plan.results.get(dataset, {}).values())),
            ]
            for dataset in datasets
        ],
        texts=8,
    )


def _run(arms: Sequence[EvaluateResult]) -> list[str]:
    if not arms:
        return ["not run", *[DASH] * 5]
    return [
        _extent(arms),
        str(len(arms)),
        span(len(result.trials) for result in arms),
        distinct(result.recipe for result in arms),
        distinct(devices(arms)),
        dates(arms),
    ]


def _extent(arms: Sequence[EvaluateResult]) -> str:
    if not is_partial(arms):
        return "in full"
    data = next(result.data for result in arms if result.partial)
    if data.official_frames is None:
        return "partial data"
    return f"partial data: {data.found_frames:,} of {data.official_frames:,} frames"
