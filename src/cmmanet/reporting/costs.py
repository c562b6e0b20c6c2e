"""What each arm costs: counted on the network, and measured in the run that gave its numbers."""

from collections.abc import Mapping, Sequence

from cmmanet.reporting.cells import DASH, by_arm, names, paragraph, table
from cmmanet.reporting.results import ArmResult, Environment, TrialCost


def costs(arms: Mapping[str, ArmResult]) -> list[str]:
    """One row an arm, over all its trials; arms of older results, which recorded none, are named.

    Times are those of the stages as they ran: decoding, warm-up and whatever else the machine was
    doing are in them.
    """
    recorded = {arm: [t["cost"] for t in arms[arm]["trials"] if "cost" in t] for arm in arms}
    known = {arm: trials for arm, trials in recorded.items() if trials}
    lost = [arm for arm in arms if arm not in known]
    parts = ["### What it costs"]
    if known:
        header = ["arm", "parameters", "multiply-adds a frame"]
        for stage in ("training", "embedding"):
            header += [f"{stage}, frames/s", f"{stage}, peak memory", f"{stage}, time"]
        rows = [[f"`{arm}`", *_cells(trials)] for arm, trials in known.items()]
        parts.append(table(header, rows, texts=1))
        how = _measured_how([arms[arm] for arm in known])
        parts.append(paragraph(f"{how} {_noise(arms, known)}"))
    if lost:
        of = f" of {names(lost)}" if known else ""
        parts.append(paragraph(f"What training and embedding{of} took was not recorded."))
    return parts


def _cells(trials: Sequence[TrialCost]) -> list[str]:
    parameters, multiply_adds = trials[0]["parameters"], trials[0]["multiply_adds"]
    trained = sum(trial["train_seconds"] for trial in trials)
    embedded = sum(trial["embed_seconds"] for trial in trials)
    return [
        f"{parameters / 1e6:.1f} M",
        # `#` keeps the last zeros of 0.300.
        f"{multiply_adds / 1e9:#.3g}".rstrip(".") + " G",
        _rate(sum(trial["train_frames"] for trial in trials), trained),
        _bytes(max(trial["train_peak_memory"] for trial in trials)),
        _duration(trained),
        _rate(sum(trial["embed_frames"] for trial in trials), embedded),
        _bytes(max(trial["embed_peak_memory"] for trial in trials)),
        _duration(embedded),
    ]


def _measured_how(arms: Sequence[ArmResult]) -> str:
    trained = by_arm({result["arm"]: _machine(result["environment"]) for result in arms})
    embedded = by_arm({result["arm"]: _machine(result["embedding"]) for result in arms})
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


def _noise(arms: Mapping[str, ArmResult], known: Mapping[str, Sequence[TrialCost]]) -> str:
    """By how much arms differ in embedding that do the same work there; empty where none do."""
    alike: dict[tuple[int, int, str], list[tuple[float, str]]] = {}
    for arm, trials in known.items():
        frames = sum(trial["embed_frames"] for trial in trials)
        seconds = sum(trial["embed_seconds"] for trial in trials)
        if frames and seconds:
            work = trials[0]["parameters"], trials[0]["multiply_adds"]
            same = *work, _machine(arms[arm]["embedding"])
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
    return f"{used['device']}, {used['precision']}"


def _rate(frames: int, seconds: float) -> str:
    return f"{frames / seconds:,.0f}" if seconds else DASH


def _bytes(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> _duration(38.04), _duration(5400), _duration(200_000)
    ('38 s', '1.5 h', '55.6 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
