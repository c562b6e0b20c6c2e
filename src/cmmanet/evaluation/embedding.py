"""Embedding tracklets: one pass over their frames serves both kinds of test frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cmmanet.clips.normalise import normalise
from cmmanet.clips.sampling import chunk_first
from cmmanet.datasets.tracklets import Tracklets
from cmmanet.evaluation.folding import for_inference
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
from cmmanet.model.network import CMMANet
from cmmanet.training.device import deterministic

if TYPE_CHECKING:
    from cmmanet.params import TestFrames

# Frames that go through the network at a time, at most and across the bounds of tracklets:
# memory does not depend on the longest one. Batches are of one size but for a frame, so that
# none is left with a few.
BATCH = 128


class Embeddings(NamedTuple):
    """Tracklet features float32 [M, D], by the frames that they average (Eq. 5).

    And the operations for which the device has no deterministic kernel.
    """

    dense: Tensor
    chunk_first: Tensor
    nondeterministic: list[str]

    @property
    def features(self) -> dict[TestFrames, Tensor]:
        """The same by name."""
        return {"dense": self.dense, "chunk_first": self.chunk_first}


class _Frames(Dataset[Tensor]):
    def __init__(self, store: FrameStore, rows: Sequence[int], height: int, width: int) -> None:
        self._store = store
        self._rows = rows
        self._size = (height, width)

    def __len__(self) -> int:
        return -(-len(self._rows) // BATCH)

    def __getitem__(self, batch: int) -> Tensor:
        begin, end = (len(self._rows) * edge // len(self) for edge in (batch, batch + 1))
        rows = self._rows[begin:end]
        return torch.from_numpy(read_frames(self._store, rows, *self._size)).permute(0, 3, 1, 2)


@torch.inference_mode()
def embed(
    network: CMMANet,
    store: FrameStore,
    tracklets: Tracklets,
    rows: Sequence[int],
    *,
    chunks: int,
    height: int,
    width: int,
    device: torch.device,
    precision: torch.dtype,
    workers: int,
    on_frames: Callable[[int], None],
) -> Embeddings:
    """Embed the tracklets in `rows` from every frame, and from the first of each chunk.

    Both are weighted means of the same frame features, since Eq. 5 is linear.

    Args:
        network: used in evaluation mode.
        store: where the frames are read.
        tracklets: the tracklet table.
        rows: which tracklets, and in which order.
        chunks: N, the number of chunks.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        device: where the network computes.
        precision: of the matrix products.
        workers: processes that decode.
        on_frames: told the number of frames done after each batch.

    Raises:
        DecodeError: for a frame that does not decode, named with its archive.
    """
    network = for_inference(network.to(device), precision)
    length = tracklets.length[rows]
    frame, place = tracklets.frames_of(rows)
    owner = torch.from_numpy(place).to(device)
    dense_weight = torch.from_numpy(1 / np.repeat(length, length)).float()
    chunk_weight = torch.cat(
        [
            torch.bincount(chunk_first(int(frames), chunks), minlength=int(frames)) / chunks
            for frames in length
        ]
    )
    weights = torch.stack([dense_weight, chunk_weight]).to(device)
    loader = DataLoader(
        _Frames(store, frame.tolist(), height, width),
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else it draws from the global one
    )
    sums = torch.zeros(2, len(rows), network.classifier.in_features, device=device)
    done = 0
    with deterministic(device) as met:
        for batch in loader:
            part = slice(done, done + len(batch))
            pixels = batch.to(device, non_blocking=True)
            add_frames(sums, network, pixels, owner[part], weights[:, part], precision=precision)
            done += len(batch)
            on_frames(done)
    dense, first = sums.cpu()
    return Embeddings(dense, first, sorted(met))


def add_frames(
    sums: Tensor,
    network: CMMANet,
    pixels: Tensor,
    owner: Tensor,
    weights: Tensor,
    *,
    precision: torch.dtype,
) -> None:
    """Add the weighted features of a batch of frames to their tracklets' sums, in place.

    All tensors are on the network's device; nothing waits for it.

    Args:
        sums: float32 [W, M, D], one sum of each tracklet for each of W weightings.
        network: as `for_inference` returns it.
        pixels: uint8 [F, 3, H, W].
        owner: int64 [F], the tracklet of each frame.
        weights: float32 [W, F], of each frame.
        precision: of the matrix products.
    """
    with torch.autocast(pixels.device.type, precision, enabled=precision != torch.float32):
        features = network.frame_features(normalise(pixels))
    for total, weight in zip(sums, weights, strict=True):
        total.index_add_(0, owner, features.float() * weight[:, None])
