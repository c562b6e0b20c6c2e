"""Every measured number of one dataset, published counterpart or not."""

from collections.abc import Iterable, Mapping

from cmmanet.evaluation.metrics import METRICS
from cmmanet.params import TEST_FRAMES, TestFrames
from cmmanet.reporting.cells import DASH, escape, measured, paragraph, percent, table, where
from cmmanet.reporting.conditions import conditions, in_words, trial_name
from cmmanet.reporting.paper_tables import PARTIAL, own_arms, own_steps
from cmmanet.reporting.published import Paper
from cmmanet.reporting.results import ArmResult, Planned, is_partial, title
from cmmanet.reporting.settings import deviation_mark
from cmmanet.reporting.steps import judge_steps
from cmmanet.reporting.warned import warned

ABOUT = {
    "synthetic": "Rendered by this project, to see the whole pipeline work without licensed data.",
    "prid2011": "A public dataset that the paper does not report on.",
}


def dataset_section(dataset: str, plan: Planned, paper: Paper) -> str:
    """All arms on one dataset: both test-frame modes, both AP definitions, each trial."""
    arms = plan.results[dataset]
    published = paper.tables_on(dataset)
    names = paper.tables["III"].arms | paper.tables["IV"].arms
    parts = [f"## {title(dataset)}: {'every metric' if published else 'not in the paper'}"]
    if dataset in ABOUT:
        parts.append(paragraph(ABOUT[dataset]))
    if is_partial(arms.values()):
        parts.append(paragraph(f"**Partial data:** {PARTIAL}"))
    parts += _marks(arms)
    parts += warned(arms)
    if published:
        # The steps between arms are judged under the paper's own tables.
        parts += _comparison("All arms", arms, names, (), plan.test_frames)
    else:
        parts += _comparisons(arms, plan, paper)
    for frames in TEST_FRAMES:
        if frames != plan.test_frames:
            parts += [
                f"### Tested on {in_words(frames)}",
                _metrics(arms, names, frames),
                f"As above, but for the test frames ({frames}).",
            ]
    parts += _trials(arms, plan.test_frames)
    return "\n\n".join(part for part in parts if part)


def _marks(arms: Mapping[str, ArmResult]) -> list[str]:
    """What sets these trainings apart from the paper's, before any of their numbers."""
    marks = where({arm: deviation_mark(result) for arm, result in arms.items()})
    return [paragraph(f"**Not the paper's settings:** {escape(mark)}.") for mark in marks]


def _comparisons(arms: Mapping[str, ArmResult], plan: Planned, paper: Paper) -> list[str]:
    """The paper's two questions, which component and which sampling, on another dataset."""
    own = own_arms(plan, paper)
    components, sampling = paper.tables["IV"], paper.tables["III"]
    compared = {arm: arms[arm] for arm in [*components.arms, *own] if arm in arms}
    sampled = {arm: arms[arm] for arm in sampling.arms if arm in arms}
    steps = [*components.steps, *own_steps(plan, own)]
    return [
        *_comparison("Component analysis", compared, components.arms, steps, plan.test_frames),
        *_comparison("Sampling", sampled, sampling.arms, sampling.steps, plan.test_frames),
    ]


def _comparison(
    heading: str,
    arms: Mapping[str, ArmResult],
    names: Mapping[str, str],
    steps: Iterable[tuple[str, str]],
    frames: TestFrames,
) -> list[str]:
    if not arms:
        return []
    return [
        f"### {heading}",
        _metrics(arms, names, frames),
        conditions(list(arms.values()), frames, with_map=True),
        judge_steps(steps, arms, frames),
    ]


def _metrics(arms: Mapping[str, ArmResult], names: Mapping[str, str], frames: TestFrames) -> str:
    return table(
        ["arm", "the paper's name", *METRICS.values()],
        [
            [f"`{arm}`", names.get(arm, DASH)]
            + [measured(result, frames, metric) for metric in METRICS]
            for arm, result in arms.items()
        ],
        texts=2,
    )


def _trials(arms: Mapping[str, ArmResult], frames: TestFrames) -> list[str]:
    numbers = sorted({trial["trial"] for result in arms.values() for trial in result["trials"]})
    if len(numbers) < 2:
        return []
    name = trial_name(next(iter(arms.values())))
    rows = []
    for arm, result in arms.items():
        rank1 = {trial["trial"]: trial["metrics"][frames]["rank1"] for trial in result["trials"]}
        cells = [percent(rank1[number]) if number in rank1 else DASH for number in numbers]
        rows.append([f"`{arm}`", *cells])
    return [
        f"### R1 of each {name}",
        table(["arm", *(f"{name} {number}" for number in numbers)], rows, texts=1),
        f"Test frames: {in_words(frames)} ({frames}).",
    ]
