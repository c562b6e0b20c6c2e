"""Cost of each arm: counted on the network, and measured in the runs behind its numbers."""

from collections.abc import Mapping, Sequence

from cmmanet.evaluation.records import ArmResult, Cost, Environment
from cmmanet.reporting.markdown import DASH, by_arm, paragraph, table


def costs(arms: Mapping[str, ArmResult]) -> list[str]:
    """Return the table of costs: one row per arm, over all its runs.

    Times are those of the stages as they ran, with decoding, warm-up and other load on the machine.
    """
    header = ["arm", "parameters", "multiply-adds a frame"]
    for stage in ("training", "embedding"):
        header += [f"{stage}, frames/s", f"{stage}, peak memory", f"{stage}, time"]
    runs = {arm: [run.cost for run in result.trials] for arm, result in arms.items()}
    rows = [[f"`{arm}`", *_cells(each)] for arm, each in runs.items()]
    how = f"{_measured_how(list(arms.values()))} {_noise(arms, runs)}"
    return ["### What it costs", table(header, rows, texts=1), paragraph(how)]


def _cells(runs: Sequence[Cost]) -> list[str]:
    trained = sum(run.train_seconds for run in runs)
    embedded = sum(run.embed_seconds for run in runs)
    return [
        f"{runs[0].parameters / 1e6:.1f} M",
        # `#` keeps the last zeros of 0.300.
        f"{runs[0].multiply_adds / 1e9:#.3g}".rstrip(".") + " G",
        _rate(sum(run.train_frames for run in runs), trained),
        _bytes(max(run.train_peak_memory for run in runs)),
        _duration(trained),
        _rate(sum(run.embed_frames for run in runs), embedded),
        _bytes(max(run.embed_peak_memory for run in runs)),
        _duration(embedded),
    ]


def _measured_how(arms: Sequence[ArmResult]) -> str:
    trained = by_arm({result.arm: _machine(result.environment) for result in arms})
    embedded = by_arm({result.arm: _machine(result.embedding) for result in arms})
    machines = f"Trained on {trained}"
    if embedded != trained:
        machines += f", embedded on {embedded}"
    return (
        f"{machines}. Parameters and multiply-adds are those of embedding a frame, without the "
        "classifier; multiply-adds those of convolutions and matrix products. Times are of all "
        "trials together, frames a second are over whole runs, decoding included, and with "
        "whatever else the machine was doing. Peak memory is what PyTorch allocated on a GPU; on a "
        "CPU it is that of the main process, its libraries included, without the workers that "
        "decode."
    )


def _noise(arms: Mapping[str, ArmResult], runs: Mapping[str, Sequence[Cost]]) -> str:
    """Compare the embedding rates of arms that do the same work; empty where none do."""
    alike: dict[tuple[int, int, str], list[tuple[float, str]]] = {}
    for arm, each in runs.items():
        frames = sum(run.embed_frames for run in each)
        seconds = sum(run.embed_seconds for run in each)
        if frames and seconds:
            work = each[0].parameters, each[0].multiply_adds
            same = *work, _machine(arms[arm].embedding)
            alike.setdefault(same, []).append((frames / seconds, arm))
    if not alike:
        return ""
    ends = [(max(rates), min(rates)) for rates in alike.values()]
    (fast, first), (slow, last) = max(ends, key=lambda pair: pair[0][0] / pair[1][0])
    if fast == slow:
        return ""
    return (
        f"`{first}` and `{last}` have the same parameters and multiply-adds and were embedded on "
        f"the same kind of machine, at rates that differ by {100 * (fast / slow - 1):.0f} %: "
        "smaller differences between rates of embedding mean nothing."
    )


def _machine(used: Environment) -> str:
    return f"{used.device}, {used.precision}"


def _rate(frames: int, seconds: float) -> str:
    return f"{frames / seconds:,.0f}" if seconds else DASH


def _bytes(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _duration(seconds: float) -> str:
    """Format seconds with the unit that suits them.

    >>> _duration(38.04), _duration(5400), _duration(200_000)
    ('38 s', '1.5 h', '55.6 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
