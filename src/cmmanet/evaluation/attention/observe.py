"""What the attention of a network looks at, over every frame of some tracklets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cmmanet.clips.normalise import normalise
from cmmanet.datasets.canvas import Part
from cmmanet.datasets.tracklets import Tracklets
from cmmanet.evaluation.attention.labels import read_labels
from cmmanet.evaluation.attention.measures import (
    FrameMeasures,
    measure_frames,
    measure_tracklets,
    part_areas,
)
from cmmanet.evaluation.attention.table import UNIFORM
from cmmanet.evaluation.embedding import BATCH
from cmmanet.evaluation.folding import for_inference
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
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
        of uniform attention as "uniform_…", so that areas stand beside masses; and h·w as "cells".

    Raises:
        DecodeError: for a frame or label map that does not decode, named with its archive.
    """
    stages = [int(stage) for stage in network.mams]
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
    even: dict[int, list[FrameMeasures]] = {stage: [] for stage in stages}
    cells: dict[int, int] = {}
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
                cells[stage] = here.shape[-2:].numel()
                areas = None if parts is None else part_areas(parts, *here.shape[-2:])
                uniform = torch.full_like(here, 1 / cells[stage])
                seen[stage].append(measure_frames(here, areas))
                even[stage].append(measure_frames(uniform, areas))
            done += len(pixels)
            on_frames(done)
    hidden = torch.cat(occluded) if occluded else None
    return {
        stage: {
            "cells": torch.full((len(rows),), cells[stage]),
            **measure_tracklets(_joined(seen[stage]), hidden, owner, len(rows)),
            **_named(measure_tracklets(_joined(even[stage]), hidden, owner, len(rows))),
        }
        for stage in stages
    }


def _joined(parts: Sequence[FrameMeasures]) -> FrameMeasures:
    return FrameMeasures(
        *(
            None if column[0] is None else torch.cat(column)  # type: ignore[arg-type]
            for column in zip(*parts, strict=True)
        )
    )


def _named(measures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{UNIFORM}{name}": values for name, values in measures.items()}
