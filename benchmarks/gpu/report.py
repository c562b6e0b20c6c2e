"""`python -m benchmarks.gpu.report [DIR …]`: the table of what GPUs have measured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu.record import Record, read_figures
from benchmarks.gpu.steps import STEPS

HOME = Path(__file__).parent
COMMITTED = HOME / "figures"

Records = dict[str, Record]


class Row(NamedTuple):
    """A line of the table: a step's figure, how it is printed, and what it should reach."""

    label: str
    step: str
    figure: str
    text: Callable[[Any], str] = str
    goal: str = ""


def _fixed(digits: int, unit: str = "") -> Callable[[Any], str]:
    return lambda value: f"{value:,.{digits}f}{unit}"


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _yes(value: bool) -> str:
    return "yes" if value else "**no**"


def _listed(values: Sequence[str]) -> str:
    return ", ".join(f"`{value}`" for value in values) or "none"


def _waits(value: bool | str) -> str:
    return f"**yes**: {value}" if value else "no"


def _gigabytes(value: float) -> str:
    return f"{value:.1f} GB"


def _networks(step: str, goal: str, goal_in_frames: str) -> list[Row]:
    """Return the rows of a comparison of training steps."""
    names = {
        "cmmanet": "CMMANet",
        "baseline": "the baseline arm",
        "bare": "torchvision's network with cross-entropy",
        "plain": "CMMANet as written plainly (fp32, TF32 convolutions)",
    }
    rows = []
    for name, label in names.items():
        rows += [
            Row(f"{label}: ms per step", step, f"{name}_ms", _fixed(1)),
            Row(
                "– frames per second",
                step,
                f"{name}_frames_per_second",
                _fixed(0),
                goal_in_frames if name == "cmmanet" else "",
            ),
            Row("– peak memory", step, f"{name}_peak_gb", _gigabytes),
        ]
    return [
        *rows,
        Row("CMMANet's speed over torchvision's", step, "cmmanet_to_bare", _fixed(3), goal),
        Row("the baseline's over torchvision's", step, "baseline_to_bare", _fixed(3)),
        Row("CMMANet's over the plain one's", step, "cmmanet_to_plain", _fixed(1, " ×")),
        Row("CMMANet: arithmetic", step, "cmmanet_tflops", _fixed(0, " TFLOP/s")),
        Row("– share of the data sheet's peak", step, "cmmanet_share_of_peak", _percent),
    ]


TABLE: dict[str, list[Row]] = {
    "Machine": [
        Row("card", "machine", "card"),
        Row("memory", "machine", "memory_gb", _gigabytes),
        Row("driver", "machine", "driver"),
        Row("torch", "machine", "torch"),
        Row("torchvision", "machine", "torchvision"),
        Row("cuDNN", "machine", "cudnn"),
        Row("Python", "machine", "python"),
        Row("processor cores", "machine", "processors"),
        Row("shared memory", "machine", "shared_memory_gb", _gigabytes),
        Row("date", "machine", "date"),
        Row("commit", "machine", "commit", lambda value: f"`{value[:7]}`"),
        Row("bf16 product of 8192² matrices", "machine", "matmul_tflops", _fixed(0, " TFLOP/s")),
    ],
    "Correctness": [
        Row("a training step waits for the device", "waiting", "training_step_waits", _waits, "no"),
        Row("embedding a batch waits for it", "waiting", "embedding_waits", _waits, "no"),
        *(
            Row(f"{name}: {label}", "repeatability", f"{key}_{figure}", text, goal)
            for name, key in (
                ("ResNet-18 in fp32", "resnet18_fp32"),
                ("ResNet-50 in bf16", "resnet50_bf16"),
            )
            for label, figure, text, goal in (
                ("a second run has the same bits", "repeated", _yes, "yes"),
                ("a resumed run has the same bits", "resumed", _yes, "yes"),
                ("no deterministic kernel for", "without_deterministic_kernel", _listed, ""),
            )
        ),
        Row("200 steps in bf16: losses stay finite", "finite", "bf16_finite", _yes, "yes"),
        Row("200 steps in fp32: losses stay finite", "finite", "fp32_finite", _yes, "yes"),
    ],
    "A training step: ResNet-50, 256×128, 28 clips of 6 frames, bf16": [
        *_networks("resnet50", "≥ 0.95", "≥ 4,000 (H100)"),
        Row("CMMANet: its kernels alone, ms", "kernels", "cmmanet_all_kernels_ms", _fixed(1)),
        Row("torchvision's: its kernels alone, ms", "kernels", "bare_all_kernels_ms", _fixed(1)),
        Row(
            "deterministic kernels: slower by",
            "deterministic",
            "slowdown",
            lambda value: f"{value - 1:.1%}",
        ),
        Row("clips of 6 frames that fit in memory", "largest_batch", "clips", _fixed(0)),
    ],
    "A training step: ResNet-18, 128×64, 28 clips of 6 frames, bf16": _networks("resnet18", "", ""),
    "From an archive (ResNet-50, 256×128, bf16)": [
        Row(
            "training, frames decoded already: frames per second",
            "training",
            "decoded_frames_per_second",
            _fixed(0),
        ),
        *(
            row
            for decoders in (4, 8, 14)
            for row in (
                Row(
                    f"training with {decoders} decoding processes: frames per second",
                    "training",
                    f"decoders_{decoders}_frames_per_second",
                    _fixed(0),
                ),
                Row(
                    "– share of time the GPU waits for data",
                    "training",
                    f"decoders_{decoders}_waiting",
                    _percent,
                    "< 5 %" if decoders == 14 else "",
                ),
            )
        ),
        *(
            Row(
                f"embedding with {decoders} decoding processes: frames per second",
                "embedding",
                f"decoders_{decoders}_frames_per_second",
                _fixed(0),
            )
            for decoders in (4, 8, 14)
        ),
        Row(
            "– the network alone, frames decoded already",
            "embedding",
            "network_alone_frames_per_second",
            _fixed(0),
        ),
    ],
    "Ranking at MARS's size (1,980 × 12,180, 2048-d)": [
        Row("ranking", "ranking", "rank_device_s", _fixed(3, " s"), "≤ 0.2 s"),
        Row("– on the same machine's CPU", "ranking", "rank_cpu_s", _fixed(2, " s")),
        Row("– labels", "ranking", "labels"),
        Row("– the same ranks of first true matches", "ranking", "same_ranks", _yes, "yes"),
        Row("k-reciprocal re-ranking", "ranking", "rerank_device_s", _fixed(2, " s")),
        Row("– on the same machine's CPU", "ranking", "rerank_cpu_s", _fixed(2, " s")),
    ],
}

HEAD = """\
# Figures of GPUs

Written by `python -m benchmarks.gpu.report`; no figure is typed by hand. How they are measured:
[README.md](README.md). A figure that no run has measured says so.
"""


def table(columns: Sequence[Records]) -> str:
    """Return the page: a column per run, or one that says `not run`."""
    columns = list(columns) or [{}]
    names = [_name(records) for records in columns]
    lines = [HEAD]
    for title, rows in TABLE.items():
        lines += [f"## {title}\n", *_header("goal", names)]
        for row in rows:
            cells = [_cell(row, records) for records in columns]
            lines.append(f"| {row.label} | {row.goal} | {' | '.join(cells)} |")
        lines.append("")
    lines += [*_agreement(columns, names), *_kernels(columns, names)]
    lines += _unfinished(columns, names)
    return "\n".join(lines)


def _header(limit: str, names: Sequence[str]) -> list[str]:
    return [f"| | {limit} | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]


def _name(records: Records) -> str:
    if "machine" not in records:
        return "not run"
    figures = records["machine"].figures
    tried = " (code tried, nothing measured)" if figures.get("tiny") else ""
    return f"{figures.get('card')}, {figures.get('date')}{tried}"


def _cell(row: Row, records: Records) -> str:
    if row.step not in records:
        return "not run"
    record = records[row.step]
    value = record.figures.get(row.figure)
    if value is not None:
        return row.text(value)
    return "not measured" if record.status == "done" else record.status


def _agreement(columns: Sequence[Records], names: Sequence[str]) -> list[str]:
    """List the differences from the CPU, of every function that a run has compared."""
    figures = [r["agreement"].figures if "agreement" in r else {} for r in columns]
    lines = [
        "## Agreement with the CPU\n",
        "The largest difference over the largest value, in fp32 (ranking in float64).\n",
        *_header("tolerance", names),
    ]
    for name in dict.fromkeys(name for column in figures for name in column):
        cells, tolerance = [], ""
        for column in figures:
            row = column.get(name)
            cells.append("not run" if row is None else f"{row['difference']:.1e}")
            if row is not None:
                tolerance = f"{row['tolerance']:.0e}"
                cells[-1] = cells[-1] if row["holds"] else f"**{cells[-1]}**"
        lines.append(f"| `{name}` | {tolerance} | {' | '.join(cells)} |")
    if not any(figures):
        lines.append(f"| all | | {' | '.join('not run' for _ in names)} |")
    return [*lines, ""]


def _kernels(columns: Sequence[Records], names: Sequence[str]) -> list[str]:
    """List the operations whose kernels take longest in a step of each network."""
    lines = []
    for records, name in zip(columns, names, strict=True):
        figures = records["kernels"].figures if "kernels" in records else {}
        for network, label in (("cmmanet", "CMMANet"), ("bare", "torchvision's network")):
            if spent := figures.get(f"{network}_ms"):
                lines += [f"{name}, {label}:\n", "| operation | ms |", "|---|---|"]
                lines += [f"| `{key}` | {ms:.2f} |" for key, ms in list(spent.items())[:12]]
                lines.append("")
    return ["## The longest operations of a step, by their kernels\n", *(lines or ["not run\n"])]


def _unfinished(columns: Sequence[Records], names: Sequence[str]) -> list[str]:
    """List the steps that did not end well, with the reason."""
    lines = [
        f"- {name}, {step.name}: {records[step.name].status}, {records[step.name].reason}"
        for name, records in zip(names, columns, strict=True)
        for step in STEPS
        if step.name in records and records[step.name].status != "done"
    ]
    return ["## Steps that did not end\n", *lines, ""] if lines else []


def main() -> None:
    """Write the table of the figures in some folders."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu.report", description=main.__doc__)
    committed = sorted(path for path in COMMITTED.glob("*") if path.is_dir())
    parser.add_argument(
        "folders", type=Path, nargs="*", help="default: all in benchmarks/gpu/figures"
    )
    parser.add_argument("--to", type=Path, default=HOME / "FIGURES.md", help="the page")
    given = parser.parse_args()
    folders: list[Path] = given.folders or committed
    try:
        page = table([read_figures(folder) for folder in folders])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    given.to.write_text(page, encoding="utf-8")
    print(f"{given.to}: {len(folders)} runs")


if __name__ == "__main__":
    main()
