"""Frames in batches, for a network that no longer learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
from cmmanet.geometry import View
from cmmanet.training.device import Runtime

# The most frames that go through the network at a time, across the bounds of tracklets: memory
# does not depend on the longest one.
BATCH = 128

Batch = TypeVar("Batch")


class _Batches(Dataset[Batch]):
    """Batches whose sizes differ by at most one frame, so none is left with a few."""

    def __init__(self, rows: Sequence[int], read: Callable[[Sequence[int]], Batch]) -> None:
        self._rows = rows
        self._read = read

    def __len__(self) -> int:
        return -(-len(self._rows) // BATCH)

    def __getitem__(self, batch: int) -> Batch:
        begin, end = (len(self._rows) * edge // len(self) for edge in (batch, batch + 1))
        return self._read(self._rows[begin:end])


def frame_batches(
    rows: Sequence[int], read: Callable[[Sequence[int]], Batch], runtime: Runtime
) -> DataLoader[Batch]:
    """Return what `read` gives for the frames in `rows`, a batch at a time and in order."""
    return DataLoader(
        _Batches(rows, read),
        batch_size=None,
        num_workers=runtime.workers,
        pin_memory=runtime.device.type == "cuda",
        generator=torch.Generator(),  # else it draws from the global one
    )


def read_pixels(store: FrameStore, view: View, rows: Sequence[int]) -> Tensor:
    """Read frames as uint8 [F, 3, H, W], channels_last in memory.

    Raises:
        DecodeError: for a frame that does not decode, named with its archive.
    """
    return torch.from_numpy(read_frames(store, rows, *view)).permute(0, 3, 1, 2)
