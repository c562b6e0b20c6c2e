"""Frames in batches, for a network that no longer learns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
from cmmanet.geometry import View
from cmmanet.training.device import Runtime
from cmmanet.training.loading import load_batches

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
) -> Iterator[Batch]:
    """Yield what `read` gives for the frames in `rows`, a batch at a time and in order."""
    return load_batches(_Batches(rows, read), runtime, batch_size=None)


def read_pixels(store: FrameStore, view: View, rows: Sequence[int]) -> Tensor:
    """Read frames as uint8 [F, 3, H, W], channels_last in memory.

    Raises:
        DecodeError: for a frame that does not decode, named with its archive.
    """
    return torch.from_numpy(read_frames(store, rows, *view)).permute(0, 3, 1, 2)
