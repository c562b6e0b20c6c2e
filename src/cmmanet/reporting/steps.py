"""Which steps between arms the trials resolve."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev

from scipy.special import stdtrit

from cmmanet.reporting.cells import DASH, finite, paragraph, percent, signed, span
from cmmanet.reporting.results import ArmResult

CONFIDENCE = 0.95

# Two gains can agree by chance to the last query, and their spread is then nothing.
FEWEST_TRIALS = 3


def judge_steps(
    pairs: Iterable[tuple[str, str]], arms: Mapping[str, ArmResult], frames: str
) -> str:
    """Say which steps in rank-1 have a 95 % interval over trials that leaves out zero.

    Trials are paired: two arms share a trial's seed and, where there are several, its split,
    and an easy split lifts both. Pairs with an arm that was not run are left out.
    """
    gains = {
        (before, after): _gains(arms[before], arms[after], frames)
        for before, after in pairs
        if before in arms and after in arms
    }
    if not gains:
        return ""
    if max(map(len, gains.values())) < FEWEST_TRIALS:
        listed = ", ".join(
            f"`{before}` → `{after}` ({signed(100 * fmean(values)) if values else DASH})"
            for (before, after), values in gains.items()
        )
        return paragraph(
            f"Steps in R1: {listed}. Fewer than {FEWEST_TRIALS} trials cannot tell a step from "
            "chance, so that the order of these arms means nothing."
        )
    resolved: list[str] = []
    unresolved: list[str] = []
    lost: list[str] = []
    for (before, after), values in gains.items():
        step = f"`{before}` → `{after}`"
        if len(values) < FEWEST_TRIALS:
            lost.append(step)
            continue
        half = half_width(values)
        text = f"{step} ({signed(100 * fmean(values))} ± {percent(half)})"
        (resolved if abs(fmean(values)) > half else unresolved).append(text)
    counts = [len(values) for values in gains.values() if len(values) >= FEWEST_TRIALS]
    without = f" Too few trials to judge by: {', '.join(lost)}." if lost else ""
    return paragraph(
        f"Steps in R1 that {span(counts)} trials resolve: {', '.join(resolved) or 'none'}. Not "
        f"resolved, so that the order of these arms means nothing: "
        f"{', '.join(unresolved) or 'none'}. (± here: the 95 % interval of the paired "
        f"gain.){without}"
    )


def half_width(gains: Sequence[float]) -> float:
    """Half of the paired gain's 95 % interval: Student's t over n trials, n at least 2."""
    quantile = float(stdtrit(len(gains) - 1, (1 + CONFIDENCE) / 2))
    return quantile * stdev(gains) / math.sqrt(len(gains))


def _gains(before: ArmResult, after: ArmResult, frames: str) -> list[float]:
    old, new = _rank1(before, frames), _rank1(after, frames)
    return [new[trial] - old[trial] for trial in sorted(old.keys() & new.keys())]


def _rank1(result: ArmResult, frames: str) -> dict[int, float]:
    values = {trial["trial"]: trial["metrics"][frames]["rank1"] for trial in result["trials"]}
    return {trial: value for trial, rank1 in values.items() if (value := finite(rank1)) is not None}
