"""The conditions of measured numbers: one table of runs, and one line per table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.records import ArmResult, CrossResult, EvaluateResult
from cmmanet.reporting.document import Table, escape, table
from cmmanet.reporting.environments import commits, dates, devices, versions
from cmmanet.reporting.formats import distinct, names, span
from cmmanet.reporting.inputs import is_partial, title
from cmmanet.reporting.settings import difference

_FRAMES = {"dense": "all test frames", "chunk_first": "the first test frame of each chunk"}


def runs_table(results: Mapping[str, Mapping[str, ArmResult]]) -> Table:
    """Return the conditions of every arm by dataset; arms with the same conditions share a row."""
    rows = []
    for dataset, arms in results.items():
        alike: dict[tuple[str, ...], list[str]] = {}
        for arm, result in arms.items():
            alike.setdefault(_conditions(result), []).append(arm)
        for cells, having in alike.items():
            which = f"all {len(arms)}" if len(alike) == 1 else names(having)
            rows.append([title(dataset), which, *cells])
    header = [
        "dataset", "arms", "recipe", "differs from the paper's settings", "runs", "device", "torch",
        "date", "commit",
    ]  # fmt: skip
    return table("Runs", header, rows, texts=len(header))


def _conditions(result: ArmResult) -> tuple[str, ...]:
    return (
        result.recipe,
        escape(difference(result.config)) or "no",
        runs(result),
        devices(result),
        versions(result),
        dates([result]),
        commits(result),
    )


def runs(result: ArmResult) -> str:
    """Return the number of runs, and their seeds and iterations."""
    name, count = run_name(result), len(result.trials)
    seeds = sorted({run.seed for run in result.trials})
    iterations = span(run.iterations for run in result.trials)
    return (
        f"{count} {name}{'s' if count > 1 else ''} of {iterations} iterations, "
        f"seed{'s' if len(seeds) > 1 else ''} {span(seeds)}"
    )


def run_name(result: ArmResult) -> str:
    """Return what differs between runs: the split if the protocol has several, else the seed.

    A run tested on another dataset has scores that are means over its splits.
    """
    over_splits = result.protocol.name == "two-camera" and not isinstance(result, CrossResult)
    return "split" if over_splits else "run"


def count_runs(arms: Sequence[ArmResult]) -> str:
    """Return the number of runs per arm: `3 runs`."""
    counts = [len(result.trials) for result in arms]
    return f"{span(counts)} {run_name(arms[0])}{'s' if max(counts) > 1 else ''}"


def line(arms: Sequence[ArmResult], scoring: Scoring) -> str:
    """Return the conditions of a table in one line."""
    recipes = distinct(result.recipe for result in arms)
    return (
        f"{title(arms[0].dataset)}: recipe {recipes}, {count_runs(arms)} per arm, "
        f"{in_words(scoring)}"
    )


def in_words(scoring: Scoring) -> str:
    """Return a scoring in words."""
    return f"{scoring.distance} distance, {_FRAMES[scoring.test_frames]} ({scoring.test_frames})"


def protocol(arms: Sequence[ArmResult]) -> str:
    """Describe queries and gallery."""
    # One protocol serves all arms of a dataset: they share its plan and its splits.
    used = arms[0].protocol
    lost = max(
        int(metrics["queries"] - metrics["valid"])
        for result in arms
        for run in result.trials
        for name, metrics in run.metrics.items()
        if "without_queries" not in name  # not the protocol
    )
    dropped = f", up to {lost:,} without a true match left out" if lost else ""
    return (
        f"protocol {used.name}, splits of {used.splits}; {used.query:,} queries{dropped} "
        f"(one is {100 / used.query:.2f} points), gallery of {used.gallery:,} with "
        f"{used.distractors:,} distractors and {used.junk:,} junk"
    )


def reranking(arms: Iterable[ArmResult]) -> str:
    """Return the parameters of re-ranking; empty if nothing was re-ranked."""
    used = [
        ", ".join(f"{name} {value:g}" for name, value in result.reranking)
        for result in arms
        if result.reranking is not None
    ]
    return distinct(used)


def missing_data(arms: Sequence[EvaluateResult]) -> str:
    """Return the extent of partial data: `142,000 of 1,191,003 frames`; empty if in full."""
    if not is_partial(arms):
        return ""
    data = next(result.data for result in arms if result.partial)
    if data.official_frames is None:
        return f"{data.found_frames:,} frames"
    return f"{data.found_frames:,} of {data.official_frames:,} frames"
