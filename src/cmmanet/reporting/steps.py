"""Which steps between arms the trials resolve."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev

from scipy.special import stdtrit

from cmmanet.reporting.cells import paragraph, percent, signed, span
from cmmanet.reporting.results import ArmResult

CONFIDENCE = 0.95


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
    counts = [len(values) for values in gains.values()]
    if min(counts) < 2:
        return paragraph("One trial: the spread is unknown, so no step between arms can be judged.")
    resolved: list[str] = []
    unresolved: list[str] = []
    for (before, after), values in gains.items():
        half = half_width(values)
        text = f"`{before}` → `{after}` ({signed(100 * fmean(values))} ± {percent(half)})"
        (resolved if abs(fmean(values)) > half else unresolved).append(text)
    return paragraph(
        f"Steps in R1 that {span(counts)} trials resolve: {', '.join(resolved) or 'none'}. Not "
        f"resolved, so that the order of these arms means nothing: "
        f"{', '.join(unresolved) or 'none'}. (± here: the 95 % interval of the paired gain.)"
    )


def half_width(gains: Sequence[float]) -> float:
    """Half of the paired gain's 95 % interval: Student's t over n trials, n at least 2."""
    quantile = float(stdtrit(len(gains) - 1, (1 + CONFIDENCE) / 2))
    return quantile * stdev(gains) / math.sqrt(len(gains))


def _gains(before: ArmResult, after: ArmResult, frames: str) -> list[float]:
    old, new = _rank1(before, frames), _rank1(after, frames)
    return [new[trial] - old[trial] for trial in sorted(old.keys() & new.keys())]


def _rank1(result: ArmResult, frames: str) -> dict[int, float]:
    return {trial["trial"]: trial["metrics"][frames]["rank1"] for trial in result["trials"]}
