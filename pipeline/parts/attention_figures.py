"""Fig. 1 and Fig. 3: tracklets chosen by rules, and what the networks of trial 0 look at there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cmmanet.datasets.rendered.canvas import Part
from cmmanet.evaluation.attention.labels import open_labels, read_labels
from cmmanet.evaluation.metrics import Scoring
from cmmanet.params import PAPER_ARM, ReportPlan
from cmmanet.reporting.figures.choice import (
    FRAMES,
    MEDIAN_RULE,
    OCCLUDED_RULE,
    evenly_spaced,
    half_occluded_row,
    median_row,
)
from cmmanet.reporting.figures.entry import Entry, not_drawn
from cmmanet.reporting.figures.heatmaps import (
    HOW,
    Block,
    greatest,
    heatmaps,
    mean_greatest,
    occlusion,
)
from cmmanet.reporting.figures.sheet import png
from pipeline.parts.attention_viewer import AttentionViewer
from pipeline.parts.frame_names import first_frames
from pipeline.parts.indexed_data import Dataset
from pipeline.parts.query_tables import read_queries

WITH, WITHOUT = PAPER_ARM, "multi_mam"

_FIG_1A = ("attention-with-and-without.png", "Attention with and without the loss", "Fig. 1a")
_FIG_1B = ("attention-two-grains.png", "Attention of both MAMs", "Fig. 1b")
_FIG_3 = ("attention-occlusion.png", "Maximum weights under occlusion", "Fig. 3")


class _Subject(NamedTuple):
    """The tracklet that a figure shows: its frames' rows, and what captions say of it."""

    frames: Sequence[int]
    told: str


def attention_figures(dataset: str, plan: ReportPlan, opened: Dataset) -> list[Entry]:
    """Fig. 1a of each MAM, Fig. 1b and Fig. 3; or why one is not drawn."""
    split = opened.trials["splits"][opened.trials["trials"][0]]
    rows = [row for row in split["query"] if opened.tracklets.length[row] >= FRAMES]
    precision = _precision(dataset, plan, rows)
    if not precision:
        reason = f"no query of trial 0 has {FRAMES} frames and a right answer"
        return [not_drawn(*figure, reason) for figure in (_FIG_1A, _FIG_1B, _FIG_3)]
    viewer = AttentionViewer(dataset, opened)
    row = median_row(precision)
    rule = MEDIAN_RULE.format(arm=plan.headline)
    subject = _subject(opened, row, f"{rule}, {precision[row]:.3f}")
    return [
        *_with_and_without(plan, viewer, subject),
        _two_grains(plan.headline, viewer, subject),
        _occlusion(plan.headline, viewer, opened, rows, subject),
    ]


def _precision(dataset: str, plan: ReportPlan, rows: Sequence[int]) -> dict[int, float]:
    """The official average precision of those queries that have one, by row."""
    scoring = Scoring(plan.distance, plan.test_frames)
    queries = read_queries(dataset, plan.headline, scoring)
    queries = queries[(queries["trial"] == 0) & queries["query"].isin(rows)]
    return dict(zip(queries["query"].tolist(), queries["ap_trapezoid"].tolist(), strict=True))


def _subject(opened: Dataset, row: int, rule: str) -> _Subject:
    tracklets = opened.tracklets
    first, length = int(tracklets.first[row]), int(tracklets.length[row])
    return _Subject(
        evenly_spaced(first, length),
        f"Tracklet: pid {tracklets.pid[row]}, camera {tracklets.camera[row]}, first frame "
        f"{first_frames(opened)[row]}, {FRAMES} evenly spaced of its {length} frames; {rule}.",
    )


def _with_and_without(plan: ReportPlan, viewer: AttentionViewer, subject: _Subject) -> list[Entry]:
    file, title, paper = _FIG_1A
    missing = [arm for arm in (WITH, WITHOUT) if arm not in plan.arms]
    if missing:
        return [not_drawn(*_FIG_1A, f"{' and '.join(missing)} not in the plan")]
    stages = [stage for stage in viewer.stages(WITH) if stage in viewer.stages(WITHOUT)]
    if not stages:
        return [not_drawn(*_FIG_1A, f"{WITH} and {WITHOUT} have no MAM behind the same stage")]
    entries = []
    for stage in stages:
        blocks = [
            viewer.block(f"with the loss: {WITH}", WITH, stage, subject.frames),
            viewer.block(f"without: {WITHOUT}", WITHOUT, stage, subject.frames),
        ]
        caption = (
            f"Submodules of the MAM behind stage {stage}, trained with the concentration loss "
            f"(left) and without it (right), trial 0. {_scale(blocks)} "
            f"{subject.told} The paper does not say which MAM its figure shows."
        )
        entries.append(
            Entry(
                file.replace(".png", f"-stage{stage}.png"),
                f"{title}, behind stage {stage}",
                paper,
                caption,
                _described(blocks),
                png(heatmaps(blocks)),
            )
        )
    return entries


def _two_grains(arm: str, viewer: AttentionViewer, subject: _Subject) -> Entry:
    stages = viewer.stages(arm)
    if len(stages) < 2:
        return not_drawn(*_FIG_1B, f"{arm} has no two MAMs")
    blocks = [
        viewer.block(f"behind stage {stage}", arm, stage, subject.frames)
        for stage in (stages[0], stages[-1])
    ]
    sizes = [" x ".join(map(str, block.attention.shape[2:])) for block in blocks]
    caption = (
        f"Submodules of the MAM behind stage {stages[0]} (left, maps of {sizes[0]}) and behind "
        f"stage {stages[-1]} (right, {sizes[1]}) of {arm}, trial 0. "
        f"{_scale(blocks)} {subject.told}"
    )
    return Entry(*_FIG_1B, caption, _described(blocks), png(heatmaps(blocks)))


def _occlusion(
    arm: str, viewer: AttentionViewer, opened: Dataset, rows: Sequence[int], subject: _Subject
) -> Entry:
    """Maximum weights over a half occluded tracklet; over `subject`'s where there are no masks."""
    file, title, paper = _FIG_3
    if not viewer.stages(arm):
        return not_drawn(*_FIG_3, f"{arm} has no MAM")
    stage = viewer.stages(arm)[0]
    hidden = _occluded(opened, rows)
    if hidden is None:
        title, marked = "Maximum weights over a tracklet", None
        told = "Nobody has marked which frames are occluded."
    else:
        share = {row: float(flags.mean()) for row, flags in hidden.items()}
        row = half_occluded_row(share)
        subject = _subject(opened, row, f"{OCCLUDED_RULE}, {share[row]:.2f}")
        every = _all_frames(opened, row)
        marked = [bool(hidden[row][every.index(frame)]) for frame in subject.frames]
        weights = viewer.attention(arm, stage, every).max((2, 3))
        told = (
            "Occluded frames, by the renderer's own masks, have a dashed frame. "
            f"{_fall(weights, hidden[row])}"
        )
    block = viewer.block(arm, arm, stage, subject.frames)
    attention = block.attention
    caption = (
        f"All submodules of the MAM behind stage {stage} of {arm}, trial 0; above each heatmap its "
        f"maximum weight, before upsampling. {told} "
        f"{HOW.format(greatest=float(attention.max()))} {subject.told}"
    )
    maxima = "; ".join(
        f"submodule {number}: {', '.join(f'{float(one.max()):.3f}' for one in maps)}"
        for number, maps in enumerate(attention.swapaxes(0, 1), start=1)
    )
    alt = f"{FRAMES} frames and the heatmaps of {attention.shape[1]} submodules. Maxima: {maxima}."
    return Entry(file, title, paper, caption, alt, png(occlusion(block, marked)))


def _fall(weights: npt.NDArray[np.float32], hidden: npt.NDArray[np.bool_]) -> str:
    """What occlusion does to the maximum weights [F, K] of a tracklet's frames, in words."""
    occluded, visible = weights[hidden], weights[~hidden]
    if not len(occluded) or not len(visible):
        return f"{'All' if len(occluded) else 'None'} of the tracklet's frames are occluded."
    told = ", ".join(
        f"submodule {number} {before:.3f} and {after:.3f}"
        for number, (before, after) in enumerate(
            zip(visible.mean(0), occluded.mean(0), strict=True), start=1
        )
    )
    return (
        f"Mean maximum weight of the tracklet's {len(visible)} visible and {len(occluded)} "
        f"occluded frames, shown here or not: {told}. The claims table has the weight under "
        "occlusion over all queries."
    )


def _occluded(opened: Dataset, rows: Sequence[int]) -> dict[int, npt.NDArray[np.bool_]] | None:
    """Of each tracklet, which frames have an occluder; None where there are no masks."""
    store = open_labels(opened.folder, opened.raw)
    if store is None:
        return None
    return {
        row: (read_labels(store, _all_frames(opened, row)) == Part.OCCLUDER).any((1, 2))
        for row in rows
    }


def _all_frames(opened: Dataset, row: int) -> range:
    first = int(opened.tracklets.first[row])
    return range(first, first + int(opened.tracklets.length[row]))


def _scale(blocks: Sequence[Block]) -> str:
    """What the colours mean, and how peaked each side is."""
    left, right = (f"{mean_greatest(block):.2f}" for block in blocks)
    return (
        f"{HOW.format(greatest=greatest(blocks))} Mean over frames and submodules of a map's "
        f"maximum: {left} left, {right} right."
    )


def _described(blocks: Sequence[Block]) -> str:
    """What heatmaps look like, in numbers: where each submodule looks most."""
    sides = []
    for block in blocks:
        mean = block.attention.mean(0)
        height = mean.shape[1]
        rows = [int(one.sum(1).argmax()) + 1 for one in mean]
        told = ", ".join(f"submodule {k} in row {row}" for k, row in enumerate(rows, start=1))
        sides.append(
            f"{block.title[0].upper()}{block.title[1:]}: most attention of {told} of {height}"
        )
    return f"{len(blocks[0].frames)} frames and heatmaps below them. {'. '.join(sides)}."
