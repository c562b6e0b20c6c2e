"""Measures of attention maps, frame by frame and by tracklet, as functions of tensors.

Attention a is [F, K, h, w]: of F frames, by K submodules, each map summing to 1 (Eq. 2). A cell of
a map stands for the pixels whose nearest centre of a receptive field is its own, whatever the
network sees beyond them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cmmanet.datasets.rendered.canvas import Part
from cmmanet.evaluation.attention.table import BOUND, MEASURES
from cmmanet.losses import stripe_log_mass_eq9

BODY = slice(Part.HEAD, Part.BAG + 1)
"""The parts of a person, and what it carries, among all parts."""

NOTHING = [Part.BACKGROUND, Part.OCCLUDER]
"""What is no person: the regions without meaning for re-identification."""


def part_areas(labels: Tensor, edges: tuple[Sequence[float], Sequence[float]]) -> Tensor:
    """The share that each part has of each cell's area: float32 [F, P, rows, columns].

    Pixels of the label maps uint8 [F, H, W] that an edge cuts count to both sides by their area.
    Over the parts, shares sum to 1.

    Args:
        labels: of frames.
        edges: of the rows [rows + 1] and columns [columns + 1] of cells, from 0 to the frame's
            height and width at the size that the network sees.
    """
    parts = torch.tensor(list(Part), dtype=torch.uint8, device=labels.device)
    onehot = (labels[:, None] == parts[:, None, None]).float()
    down, across = (
        _shares(pixels, along).to(labels.device)
        for pixels, along in zip(labels.shape[-2:], edges, strict=True)
    )
    return down @ onehot @ across.mT


def _shares(pixels: int, edges: Sequence[float]) -> Tensor:
    """The share that each pixel of a label map has of each cell along one axis: [cells, pixels]."""
    places = torch.tensor(edges, dtype=torch.float64) * (pixels / edges[-1])
    begin, end = places[:-1, None], places[1:, None]
    pixel = torch.arange(pixels, dtype=torch.float64)
    shared = torch.minimum(end, pixel + 1) - torch.maximum(begin, pixel)
    return (shared.clamp(min=0) / (end - begin)).float()


class PartMeasures(NamedTuple):
    """What the label maps say of one MAM's attention in each frame."""

    attention: Tensor  # [F, K, h, w], as it was
    areas: Tensor  # [F, P, h, w], as they were
    mass: Tensor  # [F, K, P]
    astray: Tensor  # [F, K]
    largest: Tensor  # [F, P]


class FrameMeasures(NamedTuple):
    """What one MAM does in each frame."""

    entropy: Tensor  # [F, K]
    field: Tensor  # [F, K]
    overlap: Tensor  # [F]; NaN if K is 1
    own_stripe: Tensor  # [F]
    parts: PartMeasures | None  # None without label maps


def measure_frames(attention: Tensor, areas: Tensor | None) -> FrameMeasures:
    """Measure attention [F, K, h, w], with `part_areas` [F, P, h, w] where there are label maps.

    - entropy: −Σ a·log a / log(h·w); 1 if uniform, 0 if all on one cell.
    - field: exp(−Σ a·log a) / (h·w), the effective share of the image; 1 if uniform, 1/hw if all
      on one cell.
    - overlap: mean over pairs j ≠ k of ⟨√a_j, √a_k⟩ (Eq. 7 and 8); 1 if alike, 0 if disjoint.
    - own_stripe: mean over k of Â_{k,k} (Eq. 9), what Eq. 10 draws to 1; 1/K if uniform.
    - mass: Σ over cells of a · (the share of the cell's area that is part p).
    - astray: whether more than half of the cell with the largest a shows no person; of cells with
      the same largest a, the share of which that is true.
    - largest: max over cells of the share that p has of a cell's area; no mass on p is larger.

    Raises:
        ValueError: if K does not divide h·w.
    """
    submodules, cells = attention.shape[1], attention.shape[-2:].numel()
    entropy = torch.special.entr(attention).sum((-2, -1))
    root = attention.flatten(-2).sqrt()
    pairs = root @ root.mT
    others = pairs.sum((-2, -1)) - pairs.diagonal(dim1=-2, dim2=-1).sum(-1)
    stripes = stripe_log_mass_eq9(attention.log()).exp()
    return FrameMeasures(
        entropy=entropy / math.log(cells),
        field=entropy.exp() / cells,
        overlap=others / (submodules * (submodules - 1)),  # 0 / 0 if there is one
        own_stripe=stripes.diagonal(dim1=-2, dim2=-1).mean(-1),
        parts=None if areas is None else _measure_parts(attention, areas),
    )


def _measure_parts(attention: Tensor, areas: Tensor) -> PartMeasures:
    best = attention == attention.amax((-2, -1), keepdim=True)
    nobody = (areas[:, NOTHING].sum(1) > 0.5)[:, None]
    return PartMeasures(
        attention=attention,
        areas=areas,
        mass=attention.flatten(-2) @ areas.flatten(-2).mT,
        astray=(best & nobody).sum((-2, -1)) / best.sum((-2, -1)),
        largest=areas.flatten(-2).amax(-1),
    )


def over_frames(
    values: Tensor, owner: Tensor, tracklets: int, where: Tensor | None = None
) -> Tensor:
    """Mean of values [F, …] over each tracklet's frames: float64 [tracklets, …].

    `owner` [F] says whose a frame is; `where` [F] which frames count. NaN where none does.
    """
    if where is not None:
        values, owner = values[where], owner[where]
    sums = torch.zeros(tracklets, *values.shape[1:], dtype=torch.float64)
    sums.index_add_(0, owner, values.double())
    counts = torch.bincount(owner, minlength=tracklets).double()
    return sums / counts.reshape(-1, *[1] * (values.dim() - 1))


def purity(part_mass: Tensor) -> Tensor:
    """Mean over k of max over body parts p of m_{k,p}: [Q] of a tracklet's mean mass [Q, K, P].

    A share of all the submodule's attention: what lies on background counts against it.
    """
    return part_mass[..., BODY].amax(-1).mean(-1)


def coverage(part_mass: Tensor, areas: Tensor) -> Tensor:
    """How many body parts are some submodule's best, argmax_p m_{k,p}: [Q] of [Q, K, P].

    A part counts where it has more of the submodule's attention than of the cells' area, `areas`
    [Q, P]; else a submodule that looks at nobody would have a part too. From 0 to K, or to the
    number of parts. Of equal masses the first part is the best.
    """
    mass = part_mass[..., BODY]
    best = functional.one_hot(mass.argmax(-1), mass.shape[-1]).bool()
    # What uniform attention gives is the area itself, but for rounding.
    sought = mass > areas[:, None, BODY] + 1e-6
    return (best & sought).any(-2).sum(-1).double()


def weight_change(
    attention: Tensor, occluder: Tensor, occluded: Tensor, owner: Tensor, tracklets: int
) -> Tensor:
    """By how much a map's maximum changes where an occluder covers what it looks at: [tracklets].

    The weights above the pictures of Fig. 3. A submodule looks where its mean map of the
    tracklet's visible frames has its attention; c_{f,k} is the share of that which falls on the
    occluder of frame f. With m_{f,k} the maximum and v_k its mean over the visible frames, the
    change is Σ c_{f,k} (m_{f,k} − v_k) / Σ c_{f,k}, over the occluded frames and all submodules:
    below 0 if weights fall under occlusion, 0 if nothing that is looked at is ever covered.

    NaN for a tracklet without frames of both kinds.

    Args:
        attention: [F, K, h, w].
        occluder: share of each cell's area, [F, h, w].
        occluded: whether any of a frame is, bool [F].
        owner: of which tracklet a frame is, [F].
        tracklets: how many there are.
    """
    usual = over_frames(attention, owner, tracklets, ~occluded)
    peak = attention.amax((-2, -1)).double()
    visible = over_frames(peak, owner, tracklets, ~occluded)
    covered = (usual[owner] * occluder[:, None].double()).sum((-2, -1))
    changed = over_frames(covered * (peak - visible[owner]), owner, tracklets, occluded).sum(-1)
    cover = over_frames(covered, owner, tracklets, occluded).sum(-1)
    return torch.where(cover == 0, 0.0, changed / cover)


def measure_tracklets(
    frames: FrameMeasures, occluded: Tensor | None, owner: Tensor, tracklets: int
) -> dict[str, Tensor]:
    """Each measure of each tracklet, float64 [tracklets]; NaN where it is not defined.

    Means over its frames, then over submodules. `background` and `occluder` are shares of the
    attention, the latter in `occluded` [F] frames only. `BOUND` is the largest purity that there is
    in these frames: that of attention to one part, always on the cell that shows most of it.
    """

    def mean(values: Tensor, where: Tensor | None = None) -> Tensor:
        return over_frames(values, owner, tracklets, where)

    nothing = torch.full((tracklets,), math.nan, dtype=torch.float64)
    measures = {
        **dict.fromkeys((*MEASURES, BOUND), nothing),
        "entropy": mean(frames.entropy).mean(-1),
        "field": mean(frames.field).mean(-1),
        "overlap": mean(frames.overlap),
        "own_stripe": mean(frames.own_stripe),
    }
    parts = frames.parts
    if parts is None or occluded is None:
        return measures
    mass, under = mean(parts.mass), mean(parts.mass, occluded)
    occluder = parts.areas[:, Part.OCCLUDER]
    return measures | {
        "purity": purity(mass),
        "coverage": coverage(mass, mean(parts.areas.mean((-2, -1)))),
        "background": mass[..., Part.BACKGROUND].mean(-1),
        "astray": mean(parts.astray).mean(-1),
        "occluder": under[..., Part.OCCLUDER].mean(-1),
        "weight_change": weight_change(parts.attention, occluder, occluded, owner, tracklets),
        BOUND: mean(parts.largest)[..., BODY].amax(-1),
    }
