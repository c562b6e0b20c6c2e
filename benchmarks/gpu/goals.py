"""Goals for the figures of a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks._report import Bar
from benchmarks.gpu.record import Record


def goals(records: Mapping[str, Record]) -> list[Bar]:
    """Return the goals, with the steps' figures as far as they were measured on a GPU."""

    def figure(step: str, name: str) -> Any:
        return records[step].figures.get(name) if step in records else None

    on_h100 = "H100" in str(figure("machine", "card"))
    waiting = figure("training", "decoders_14_waiting")
    rank = figure("ranking", "rank_device_s")
    bars = [
        Bar("CMMANet's step: frames/s, ratio to the bare network", 0.95,
            figure("resnet50", "cmmanet_to_bare")),
        Bar("ResNet-50 in bf16 on an H100: frames/s", 4000,
            figure("resnet50", "cmmanet_frames_per_second") if on_h100 else None),
        Bar("share of time that 14 decoders keep the GPU busy", 0.95,
            None if waiting is None else 1 - waiting),
        Bar("ranking at MARS's size: 0.2 s / seconds", 1,
            None if rank is None else 0.2 / rank),
    ]  # fmt: skip
    if figure("machine", "memory_gb") is None:  # no GPU
        return [Bar(bar.bar, bar.required, None) for bar in bars]
    return bars
