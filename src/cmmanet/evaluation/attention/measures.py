"""Measures of attention maps, frame by frame and by tracklet, as functions of tensors.

Attention a is [F, K, h, w]: of F frames, by K submodules, each map summing to 1 (Eq. 2). A cell of
a map stands for its share of the image's area, whatever the network sees beyond it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cmmanet.datasets.canvas import Part
from cmmanet.evaluation.attention.table import BOUND
from cmmanet.losses import stripe_log_mass_eq9

BODY = slice(Part.HEAD, Part.BAG + 1)
"""The parts of a person, and what it carries, among all parts."""


def part_areas(labels: Tensor, rows: int, columns: int) -> Tensor:
    """The share that each part has of each cell's area: float32 [F, P, rows, columns].

    Cells are equal blocks of the label maps uint8 [F, H, W]; pixels that a border cuts count to
    both sides by their area. Over the parts, shares sum to 1.
    """
    parts = torch.tensor(list(Part), dtype=torch.uint8, device=labels.device)
    onehot = (labels[:, None] == parts[:, None, None]).float()
    height, width = labels.shape[-2:]
    down, across = _blocks(height, rows), _blocks(width, columns)
    return down.to(labels.device) @ onehot @ across.to(labels.device).mT


def _blocks(pixels: int, cells: int) -> Tensor:
    """The share that each pixel has of each cell along one axis: [cells, pixels]."""
    # In units of 1/(pixels·cells) of the axis: whole numbers, so that nothing is rounded.
    cell = torch.arange(cells)[:, None] * pixels
    pixel = torch.arange(pixels) * cells
    shared = torch.minimum(cell + pixels, pixel + cells) - torch.maximum(cell, pixel)
    return shared.clamp(min=0).float() / pixels


class FrameMeasures(NamedTuple):
    """What one MAM does in each frame; the last two are None without label maps."""

    entropy: Tensor  # [F, K]
    field: Tensor  # [F, K]
    peak: Tensor  # [F, K]
    overlap: Tensor  # [F]; NaN if K is 1
    own_stripe: Tensor  # [F]
    part_mass: Tensor | None  # [F, K, P]
    largest: Tensor | None  # [F, P]


def measure_frames(attention: Tensor, areas: Tensor | None) -> FrameMeasures:
    """Measure attention [F, K, h, w], with `part_areas` [F, P, h, w] where there are label maps.

    - entropy: −Σ a·log a / log(h·w); 1 if uniform, 0 if all on one cell.
    - field: exp(−Σ a·log a) / (h·w), the effective share of the image; 1 if uniform, 1/hw if all
      on one cell.
    - peak: max over h·w of a.
    - overlap: mean over pairs j ≠ k of ⟨√a_j, √a_k⟩ (Eq. 7 and 8); 1 if alike, 0 if disjoint.
    - own_stripe: mean over k of Â_{k,k} (Eq. 9), what Eq. 10 draws to 1; 1/K if uniform.
    - part_mass: Σ over cells of a · (the share of the cell's area that is part p).
    - largest: max over cells of the share that p has of a cell's area; no mass on p is larger.

    Raises:
        ValueError: if K does not divide h·w.
    """
    submodules, cells = attention.shape[1], attention.shape[-2:].numel()
    entropy = torch.special.entr(attention).sum((-2, -1))
    root = attention.flatten(-2).sqrt()
    with torch.autocast(root.device.type, enabled=False):
        pairs = root @ root.mT
        mass = None if areas is None else attention.flatten(-2) @ areas.flatten(-2).mT
    others = pairs.sum((-2, -1)) - pairs.diagonal(dim1=-2, dim2=-1).sum(-1)
    stripes = stripe_log_mass_eq9(attention.log()).exp()
    return FrameMeasures(
        entropy=entropy / math.log(cells),
        field=entropy.exp() / cells,
        peak=attention.amax((-2, -1)),
        overlap=others / (submodules * (submodules - 1)),  # 0 / 0 if there is one
        own_stripe=stripes.diagonal(dim1=-2, dim2=-1).mean(-1),
        part_mass=mass,
        largest=None if areas is None else areas.flatten(-2).amax(-1),
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


def coverage(part_mass: Tensor) -> Tensor:
    """How many body parts are some submodule's best, argmax_p m_{k,p}: [Q] of [Q, K, P].

    From 1 to K, or to the number of parts. Of equal masses the first part is the best.
    """
    best = part_mass[..., BODY].argmax(-1)
    body = BODY.stop - BODY.start
    return functional.one_hot(best, body).amax(-2).sum(-1).double()


def weight_ratio(peak: Tensor, occluded: Tensor, owner: Tensor, tracklets: int) -> Tensor:
    """Mean over k of (mean peak in occluded frames) / (mean peak in the others) − 1: [tracklets].

    The weights above the pictures of Fig. 3: below 0 if a submodule's largest weight falls under
    occlusion. NaN for a tracklet without frames of both kinds.
    """
    hidden = over_frames(peak, owner, tracklets, occluded)
    visible = over_frames(peak, owner, tracklets, ~occluded)
    return (hidden / visible - 1).mean(-1)


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
        "entropy": mean(frames.entropy).mean(-1),
        "field": mean(frames.field).mean(-1),
        "overlap": mean(frames.overlap),
        "own_stripe": mean(frames.own_stripe),
        "purity": nothing,
        "coverage": nothing,
        "background": nothing,
        "occluder": nothing,
        "weight_ratio": nothing,
        BOUND: nothing,
    }
    if frames.part_mass is None or frames.largest is None or occluded is None:
        return measures
    mass = mean(frames.part_mass)
    under = mean(frames.part_mass, occluded)
    return measures | {
        "purity": purity(mass),
        "coverage": coverage(mass),
        "background": mass[..., Part.BACKGROUND].mean(-1),
        "occluder": under[..., Part.OCCLUDER].mean(-1),
        "weight_ratio": weight_ratio(frames.peak, occluded, owner, tracklets),
        BOUND: mean(frames.largest)[..., BODY].amax(-1),
    }
