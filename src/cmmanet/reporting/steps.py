"""Which steps between arms are larger than their spread."""

from collections.abc import Iterable, Mapping
from statistics import fmean, stdev

from cmmanet.reporting.cells import paragraph, percent, signed, span
from cmmanet.reporting.results import ArmResult


def judge_steps(
    pairs: Iterable[tuple[str, str]], arms: Mapping[str, ArmResult], frames: str
) -> str:
    """Say which steps in rank-1 exceed their own standard deviation over trials.

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
    larger: list[str] = []
    unresolved: list[str] = []
    for (before, after), values in gains.items():
        mean, spread = fmean(values), stdev(values)
        text = f"`{before}` → `{after}` ({signed(100 * mean)} ± {percent(spread)})"
        (larger if abs(mean) > spread else unresolved).append(text)
    caveat = " From 2 trials the spread is itself hardly known." if min(counts) < 3 else ""
    return paragraph(
        f"Steps in R1 larger than their spread over {span(counts)} trials: "
        f"{', '.join(larger) or 'none'}. Not resolved: {', '.join(unresolved) or 'none'}.{caveat}"
    )


def _gains(before: ArmResult, after: ArmResult, frames: str) -> list[float]:
    old, new = _rank1(before, frames), _rank1(after, frames)
    return [new[trial] - old[trial] for trial in sorted(old.keys() & new.keys())]


def _rank1(result: ArmResult, frames: str) -> dict[int, float]:
    return {trial["trial"]: trial["metrics"][frames]["rank1"] for trial in result["trials"]}
