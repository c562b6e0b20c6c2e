"""What the attention of a network looks at, over every frame of some tracklets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cmmanet.clips.normalise import normalise
from cmmanet.datasets.rendered.canvas import Part
from cmmanet.datasets.tracklets import Tracklets
from cmmanet.evaluation.attention.labels import read_labels
from cmmanet.evaluation.attention.measures import (
    FrameMeasures,
    PartMeasures,
    measure_frames,
    measure_tracklets,
    part_areas,
)
from cmmanet.evaluation.attention.table import FIXED, UNIFORM
from cmmanet.evaluation.embedding import BATCH
from cmmanet.evaluation.folding import for_inference
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
from cmmanet.geometry import edges_between
from cmmanet.model.network import CMMANet
from cmmanet.training.device import deterministic


@torch.inference_mode()
def attention_maps(network: CMMANet, frames: Tensor) -> list[Tensor]:
    """Attention float32 [F, K, h, w] of each MAM, the shallowest first.

    Args:
        network: is left in evaluation mode.
        frames: uint8 [F, 3, H, W], on any device.
    """
    device = next(network.parameters()).device
    clips = normalise(frames.to(device, non_blocking=True))[:, None]
    return [maps.squeeze(1).float().exp() for maps in network.eval()(clips).log_attention]


class _Frames(Dataset[tuple[Tensor, Tensor | None]]):
    """Batches of frames uint8 [F, 3, H, W] with their label maps [F, H, W], where there are any."""

    def __init__(
        self,
        store: FrameStore,
        labels: FrameStore | None,
        rows: Sequence[int],
        size: tuple[int, int],
    ) -> None:
        self._store, self._labels, self._rows, self._size = store, labels, rows, size

    def __len__(self) -> int:
        return -(-len(self._rows) // BATCH)

    def __getitem__(self, batch: int) -> tuple[Tensor, Tensor | None]:
        begin, end = (len(self._rows) * edge // len(self) for edge in (batch, batch + 1))
        rows = self._rows[begin:end]
        pixels = torch.from_numpy(read_frames(self._store, rows, *self._size)).permute(0, 3, 1, 2)
        if self._labels is None:
            return pixels, None
        return pixels, torch.from_numpy(read_labels(self._labels, rows))


def observe(
    network: CMMANet,
    store: FrameStore,
    labels: FrameStore | None,
    tracklets: Tracklets,
    rows: Sequence[int],
    *,
    height: int,
    width: int,
    device: torch.device,
    precision: torch.dtype,
    workers: int,
    on_frames: Callable[[int], None],
) -> dict[int, dict[str, Tensor]]:
    """Measure the attention of each MAM over every frame of the tracklets in `rows`.

    Args:
        network: used in evaluation mode.
        store: where the frames are read.
        labels: where their label maps are; None if there are none.
        tracklets: the tracklet table.
        rows: which tracklets, and in which order.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        device: where the network computes.
        precision: of the matrix products.
        workers: processes that decode.
        on_frames: told the number of frames done after each batch.

    Returns:
        By the stage behind which a MAM sits, what `measure_tracklets` gives [len(rows)]; the same
        of uniform attention as "uniform_…" and of the mean map as "fixed_…", which show what is
        due to the frames alone and to a fixed place; and h·w as "cells".

    Raises:
        DecodeError: for a frame or label map that does not decode, named with its archive.
    """
    stages = [int(stage) for stage in network.mams]
    edges = {stage: _edges(network, height, width, stage) for stage in stages}
    network = for_inference(network.to(device), precision)
    frame, place = tracklets.frames_of(rows)
    owner = torch.from_numpy(place)
    loader = DataLoader(
        _Frames(store, labels, frame.tolist(), (height, width)),
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else it draws from the global one
    )
    seen: dict[int, list[FrameMeasures]] = {stage: [] for stage in stages}
    sums: dict[int, Tensor] = {}
    occluded: list[Tensor] = []
    done = 0
    with deterministic(device):
        for pixels, parts in loader:
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                maps = attention_maps(network, pixels)
            if parts is not None:
                occluded.append((parts == Part.OCCLUDER).flatten(1).any(1))
            for stage, attention in zip(stages, maps, strict=True):
                here = attention.cpu()
                areas = None if parts is None else part_areas(parts, edges[stage])
                seen[stage].append(measure_frames(here, areas))
                sums[stage] = sums.get(stage, 0) + here.sum(0, dtype=torch.float64)
            done += len(pixels)
            on_frames(done)
    hidden = torch.cat(occluded) if occluded else None
    return {
        stage: _beside_others(seen[stage], (sums[stage] / len(owner)).float(), hidden, owner)
        for stage in stages
    }


def _beside_others(
    batches: Sequence[FrameMeasures], mean: Tensor, occluded: Tensor | None, owner: Tensor
) -> dict[str, Tensor]:
    """Each tracklet's measures, beside those of uniform attention and of the mean map [K, h, w]."""
    tracklets, cells = int(owner.max()) + 1, mean[0].numel()
    others = {UNIFORM: torch.full_like(mean, 1 / cells), FIXED: mean}
    found = {
        "cells": torch.full((tracklets,), cells),
        **measure_tracklets(_joined(batches), occluded, owner, tracklets),
    }
    for name, same in others.items():
        always = _joined([_measure_always(same, batch) for batch in batches])
        measures = measure_tracklets(always, occluded, owner, tracklets)
        found |= {f"{name}{measure}": values for measure, values in measures.items()}
    return found


def _edges(
    network: CMMANet, height: int, width: int, stage: int
) -> tuple[list[float], list[float]]:
    rows, columns = network.backbone.cell_centres(height, width, stage=stage)
    return edges_between(rows, height), edges_between(columns, width)


def _measure_always(same: Tensor, batch: FrameMeasures) -> FrameMeasures:
    """Measure attention [K, h, w] that is the same in all frames of a batch."""
    areas = None if batch.parts is None else batch.parts.areas
    return measure_frames(same.expand(len(batch.entropy), *same.shape), areas)


def _joined(batches: Sequence[FrameMeasures]) -> FrameMeasures:
    known = [batch.parts for batch in batches if batch.parts is not None]
    return FrameMeasures(
        torch.cat([batch.entropy for batch in batches]),
        torch.cat([batch.field for batch in batches]),
        torch.cat([batch.overlap for batch in batches]),
        torch.cat([batch.own_stripe for batch in batches]),
        PartMeasures(*map(torch.cat, zip(*known, strict=True))) if known else None,
    )
