"""Embed tracklets: one pass over their frames serves both kinds of test frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cmmanet.clips.normalise import normalise
from cmmanet.clips.sampling import chunk_first
from cmmanet.datasets.tracklets import Tracklets
from cmmanet.evaluation.folding import for_inference
from cmmanet.evaluation.frame_batches import frame_batches, read_pixels
from cmmanet.frames.archive import FrameStore
from cmmanet.geometry import View
from cmmanet.model.network import CMMANet
from cmmanet.training.device import Runtime, deterministic

if TYPE_CHECKING:
    from cmmanet.params import TestFrames


class Embeddings(NamedTuple):
    """Embeddings of M tracklets.

    Attributes:
        features: float32 [M, D], by the frames that they average (Eq. 5).
        nondeterministic: operations for which the device has no deterministic kernel.
    """

    features: dict[TestFrames, Tensor]
    nondeterministic: list[str]


@torch.inference_mode()
def embed(
    network: CMMANet,
    store: FrameStore,
    tracklets: Tracklets,
    rows: Sequence[int],
    *,
    chunks: int,
    view: View,
    runtime: Runtime,
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
        view: size of the network's input.
        runtime: where and how the network computes.
        on_frames: called with the number of frames done after each batch.

    Raises:
        DecodeError: for a frame that does not decode, named with its archive.
    """
    device = runtime.device
    network = for_inference(network.to(device), runtime.precision)
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
    batches = frame_batches(frame.tolist(), partial(read_pixels, store, view), runtime)
    sums = torch.zeros(2, len(rows), network.classifier.in_features, device=device)
    done = 0
    with deterministic(device) as nondeterministic:
        for batch in batches:
            part = slice(done, done + len(batch))
            pixels = batch.to(device, non_blocking=True)
            with runtime.autocast():
                add_frames(sums, network, pixels, owner[part], weights[:, part])
            done += len(batch)
            on_frames(done)
    dense, first = sums.cpu()
    return Embeddings({"dense": dense, "chunk_first": first}, sorted(nondeterministic))


def add_frames(
    sums: Tensor, network: CMMANet, pixels: Tensor, owner: Tensor, weights: Tensor
) -> None:
    """Add the weighted features of a batch of frames to their tracklets' sums, in place.

    All tensors are on the network's device; nothing waits for it.

    Args:
        sums: float32 [W, M, D], one sum of each tracklet for each of W weightings.
        network: as `for_inference` returns it.
        pixels: uint8 [F, 3, H, W].
        owner: int64 [F], the tracklet of each frame.
        weights: float32 [W, F], of each frame.
    """
    features = network.frame_features(normalise(pixels)).float()
    for total, weight in zip(sums, weights, strict=True):
        total.index_add_(0, owner, features * weight[:, None])
