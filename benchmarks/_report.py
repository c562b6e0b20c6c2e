"""What the benchmarks share: timing, processes, and the JSON line that each of them ends with."""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Bar:
    """A figure that must reach `required`; `measured` is None where this machine cannot tell."""

    bar: str
    required: float
    measured: float | None


def median_seconds(
    function: Callable[[], object], repeats: int, device: torch.device, warm_up: int = 1
) -> float:
    """Wall time of one call, the median of `repeats`, waiting for the device to finish."""
    seconds = []
    for call in range(warm_up + repeats):
        start = time.perf_counter()
        function()
        wait(device)
        if call >= warm_up:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def side_by_side(
    functions: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    warm_up: int = 1,
    calls: int = 1,
) -> dict[str, list[float]]:
    """Wall times of one call of each, in rounds in which they take turns, to and fro.

    A turn is `calls` calls, after which the device is waited for: on a GPU, calls overlap.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warm_up + rounds):
        names = list(functions)
        for name in reversed(names) if turn % 2 else names:
            wait(device)
            start = time.perf_counter()
            for _ in range(calls):
                functions[name]()
            wait(device)
            seconds[name].append((time.perf_counter() - start) / calls)
    return {name: values[warm_up:] for name, values in seconds.items()}


def wait(device: torch.device) -> None:
    """Wait until the device has finished; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def times_as_fast(seconds: Mapping[str, Sequence[float]], ours: str, other: str) -> float:
    """The median over the rounds of how many times as fast as the other ours was.

    What else the machine does changes from round to round more than within one.
    """
    rounds = zip(seconds[ours], seconds[other], strict=True)
    return statistics.median(theirs / own for own, theirs in rounds)


def measured(module: str, *arguments: str | Path) -> dict[str, float]:
    """Run a module of this package in a process of its own, which has its own peak of memory."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return dict(json.loads(done.stdout.splitlines()[-1]))


def describe(device: torch.device) -> str:
    """Name the device and what ran on it, for the figures to be read beside."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


def judged(bars: Sequence[Bar]) -> list[dict[str, object]]:
    """Return the bars as JSON; `holds` is null where `measured` is."""
    return [
        asdict(bar) | {"holds": None if bar.measured is None else bar.measured >= bar.required}
        for bar in bars
    ]


def report(benchmark: str, device: torch.device, bars: Sequence[Bar]) -> None:
    """Print the bars as one line of JSON, the last that a benchmark prints."""
    print(json.dumps({"benchmark": benchmark, "device": describe(device), "bars": judged(bars)}))
