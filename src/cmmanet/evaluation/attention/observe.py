"""Measure what the attention of a network attends to, over every frame of some tracklets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

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
from cmmanet.evaluation.folding import for_inference
from cmmanet.evaluation.frame_batches import frame_batches, read_pixels
from cmmanet.frames.archive import FrameStore
from cmmanet.geometry import View, edges_between
from cmmanet.model.network import CMMANet
from cmmanet.training.device import Runtime, deterministic


@torch.inference_mode()
def attention_maps(network: CMMANet, frames: Tensor) -> list[Tensor]:
    """Return the attention float32 [F, K, h, w] of each MAM, the shallowest first.

    Args:
        network: left in evaluation mode.
        frames: uint8 [F, 3, H, W], on any device.
    """
    device = next(network.parameters()).device
    clips = normalise(frames.to(device, non_blocking=True))[:, None]
    return [maps.squeeze(1).float().exp() for maps in network.eval()(clips).log_attention]


def observe(
    network: CMMANet,
    store: FrameStore,
    labels: FrameStore | None,
    tracklets: Tracklets,
    rows: Sequence[int],
    *,
    view: View,
    runtime: Runtime,
    on_frames: Callable[[int], None],
) -> dict[int, dict[str, Tensor]]:
    """Measure the attention of each MAM over every frame of the tracklets in `rows`.

    Args:
        network: used in evaluation mode.
        store: where the frames are read.
        labels: where their label maps are read; None if there are none.
        tracklets: the tracklet table.
        rows: which tracklets, and in which order.
        view: size of the network's input.
        runtime: where and how the network computes.
        on_frames: called with the number of frames done after each batch.

    Returns:
        By the stage that a MAM follows: the measures of `measure_tracklets` [len(rows)]; the same
        measures of uniform attention as "uniform_…" and of the mean map as "fixed_…", which show
        what is due to the frames alone and to a fixed place; and h·w as "cells".

    Raises:
        DecodeError: for a frame or label map that does not decode, named with its archive.
    """
    stages = [int(stage) for stage in network.mams]
    edges = {stage: _edges(network, view, stage) for stage in stages}
    network = for_inference(network.to(runtime.device), runtime.precision)
    frame, place = tracklets.frames_of(rows)
    owner = torch.from_numpy(place)
    batches = frame_batches(frame.tolist(), partial(_read, store, labels, view), runtime)
    seen: dict[int, list[FrameMeasures]] = {stage: [] for stage in stages}
    sums: dict[int, Tensor] = {}
    occluded: list[Tensor] = []
    done = 0
    with deterministic(runtime.device):
        for pixels, parts in batches:
            with runtime.autocast():
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
        stage: _with_others(seen[stage], (sums[stage] / len(owner)).float(), hidden, owner)
        for stage in stages
    }


def _read(
    store: FrameStore, labels: FrameStore | None, view: View, rows: Sequence[int]
) -> tuple[Tensor, Tensor | None]:
    """Read frames uint8 [F, 3, H, W] and their label maps uint8 [F, H, W]."""
    pixels = read_pixels(store, view, rows)
    return pixels, None if labels is None else torch.from_numpy(read_labels(labels, rows))


def _with_others(
    batches: Sequence[FrameMeasures], mean: Tensor, occluded: Tensor | None, owner: Tensor
) -> dict[str, Tensor]:
    """Measure each tracklet, and uniform attention and the mean map [K, h, w] on its frames."""
    tracklets, cells = int(owner.max()) + 1, mean[0].numel()
    others = {UNIFORM: torch.full_like(mean, 1 / cells), FIXED: mean}
    measured = {
        "cells": torch.full((tracklets,), cells),
        **measure_tracklets(_joined(batches), occluded, owner, tracklets),
    }
    for name, same in others.items():
        always = _joined([_measure_always(same, batch) for batch in batches])
        measures = measure_tracklets(always, occluded, owner, tracklets)
        measured |= {f"{name}{measure}": values for measure, values in measures.items()}
    return measured


def _edges(network: CMMANet, view: View, stage: int) -> tuple[list[float], list[float]]:
    rows, columns = network.backbone.cell_centres(*view, stage=stage)
    return edges_between(rows, view.height), edges_between(columns, view.width)


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
