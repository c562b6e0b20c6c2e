"""Cost of each arm: counted on the network, and measured during its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cmmanet.evaluation.records import ArmResult, Cost
from cmmanet.reporting.document import Table, table
from cmmanet.reporting.environments import machine
from cmmanet.reporting.formats import DASH


def costs_table(caption: str, arms: Mapping[str, ArmResult]) -> Table:
    """Return the cost of each arm over all its runs.

    Times are those of the stages as they ran, with decoding, warm-up and other load on the machine.
    """
    header = ["arm", "parameters, M", "multiply-adds per frame, G"]
    for stage in ("training", "embedding"):
        header += [f"{stage}, frames/s", f"{stage}, peak memory, GiB", f"{stage}, time"]
    rows = [
        [f"`{arm}`", *_cells([run.cost for run in result.trials])] for arm, result in arms.items()
    ]
    return table(caption, header, rows, texts=1)


def noise(arms: Mapping[str, ArmResult]) -> tuple[str, str, int] | None:
    """Return the two arms of equal work whose embedding rates differ most, and by how many percent.

    None where no two arms do the same work on the same kind of machine at different rates.
    """
    alike: dict[tuple[int, int, str], list[tuple[float, str]]] = {}
    for arm, result in arms.items():
        costs = [run.cost for run in result.trials]
        frames = sum(cost.embed_frames for cost in costs)
        seconds = sum(cost.embed_seconds for cost in costs)
        if frames and seconds:
            work = costs[0].parameters, costs[0].multiply_adds, machine(result.embedding)
            alike.setdefault(work, []).append((frames / seconds, arm))
    if not alike:
        return None
    ends = [(max(rates), min(rates)) for rates in alike.values()]
    (fast, first), (slow, last) = max(ends, key=lambda pair: pair[0][0] / pair[1][0])
    return None if fast == slow else (first, last, round(100 * (fast / slow - 1)))


def _cells(runs: Sequence[Cost]) -> list[str]:
    trained = sum(run.train_seconds for run in runs)
    embedded = sum(run.embed_seconds for run in runs)
    return [
        f"{runs[0].parameters / 1e6:.1f}",
        # `#` keeps the last zeros of 0.300.
        f"{runs[0].multiply_adds / 1e9:#.3g}".rstrip("."),
        _rate(sum(run.train_frames for run in runs), trained),
        _gibibytes(max(run.train_peak_memory for run in runs)),
        _duration(trained),
        _rate(sum(run.embed_frames for run in runs), embedded),
        _gibibytes(max(run.embed_peak_memory for run in runs)),
        _duration(embedded),
    ]


def _rate(frames: int, seconds: float) -> str:
    return f"{frames / seconds:,.0f}" if seconds else DASH


def _gibibytes(count: int) -> str:
    return f"{count / 2**30:.2f}"


def _duration(seconds: float) -> str:
    """Format seconds with the unit that suits them.

    >>> _duration(38.04), _duration(5400), _duration(200_000)
    ('38 s', '1.5 h', '55.6 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
