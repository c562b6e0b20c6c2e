"""The conditions of measured numbers, as text for a page."""

from collections.abc import Iterable, Mapping, Sequence

from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.records import ArmResult
from cmmanet.reporting.environments import provenance
from cmmanet.reporting.inputs import title
from cmmanet.reporting.markdown import bullets, distinct, escape, paragraph, span, where
from cmmanet.reporting.settings import deviation_mark, settings

_WORDS = {"dense": "every frame", "chunk_first": "the first frame of each chunk"}


def conditions(arms: Sequence[ArmResult], scoring: Scoring) -> str:
    """Describe everything that can change these numbers without changing the method."""
    tested = (
        f"test frames: {in_words(scoring)} ({scoring.test_frames}); {scoring.distance} distance"
    )
    recipes = distinct(result.recipe for result in arms)
    items = [
        protocol(arms),
        f"{tested}; mAP: official (trapezoid); {_trials(arms)}",
        f"recipe {recipes}: {settings(arms)}",
        provenance(arms),
    ]
    return f"What the numbers on {title(arms[0].dataset)} depend on:\n\n{bullets(items)}"


def not_the_papers(arms: Mapping[str, ArmResult]) -> list[str]:
    """Describe how these runs differ from the paper's; for the place before their numbers."""
    marks = where({arm: deviation_mark(result) for arm, result in arms.items()})
    return [paragraph(f"**Not the paper's settings:** {escape(mark)}.") for mark in marks]


def reranked_with(arms: Iterable[ArmResult]) -> list[str]:
    """Return the parameters of re-ranking, where it was done."""
    used = [
        ", ".join(f"{name} {value:g}" for name, value in result.reranking)
        for result in arms
        if result.reranking is not None
    ]
    return [f"Re-ranked with {distinct(used)}."] if used else []


def in_words(scoring: Scoring) -> str:
    """Return the test frames of a scoring in words."""
    return _WORDS[scoring.test_frames]


def trial_name(result: ArmResult) -> str:
    """Return what a run varies: the split where the protocol has several, else the seed alone."""
    return "split" if result.protocol.name == "two-camera" else "trial"


def protocol(arms: Sequence[ArmResult]) -> str:
    """Describe how queries met the gallery."""
    # One protocol serves all arms of a dataset: they share its plan and its splits.
    used = arms[0].protocol
    lost = max(
        int(metrics["queries"] - metrics["valid"])
        for result in arms
        for run in result.trials
        for name, metrics in run.metrics.items()
        if "without_queries" not in name  # not the protocol
    )
    dropped = f", up to {lost:,} of them dropped for want of a right answer" if lost else ""
    return (
        f"protocol {used.name}, splits of {used.splits}: "
        f"{used.query:,} queries{dropped} (one is {100 / used.query:.2f} points), "
        f"gallery {used.gallery:,} with {used.distractors:,} distractors and "
        f"{used.junk:,} junk"
    )


def _trials(arms: Sequence[ArmResult]) -> str:
    counts = [len(result.trials) for result in arms]
    name = trial_name(arms[0])
    overlap = " (they overlap: ± is no standard error)" if name == "split" else ""
    seeds = sorted({run.seed for result in arms for run in result.trials})
    iterations = span(run.iterations for result in arms for run in result.trials)
    return (
        f"{span(counts)} {name}{'s' if max(counts) > 1 else ''}{overlap} of {iterations} "
        f"iterations, seed{'s' if len(seeds) > 1 else ''} {span(seeds)}"
    )
