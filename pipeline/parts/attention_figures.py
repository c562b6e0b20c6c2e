"""Fig. 1 and Fig. 3: tracklets chosen by rules, and what the networks of trial 0 look at there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cmmanet.datasets.canvas import Part
from cmmanet.evaluation.attention.labels import open_labels, read_labels
from cmmanet.evaluation.metrics import Scoring
from cmmanet.params import ReportPlan
from cmmanet.reporting.figures.choice import (
    FRAMES,
    MEDIAN_RULE,
    OCCLUDED_RULE,
    VARYING_RULE,
    evenly_spaced,
    half_occluded_row,
    median_row,
    most_varying_row,
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
from pipeline.parts.dataset import Dataset
from pipeline.parts.frame_names import first_frames
from pipeline.parts.looking import Looking
from pipeline.parts.rankings import read_queries
from pipeline.parts.watch import counting

WITH, WITHOUT = "cmmanet-random_interval", "multi_mam"

_FIG_1A = ("attention-with-and-without.png", "Attention with and without the loss", "Fig. 1a")
_FIG_1B = ("attention-two-grains.png", "Attention of both MAMs", "Fig. 1b")
_FIG_3 = ("attention-occlusion.png", "Maximum weights under occlusion", "Fig. 3")


class _Subject(NamedTuple):
    """The tracklet that a figure shows: its row, its frames' rows, and what captions say of it."""

    row: int
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
    looking = Looking(dataset, opened)
    row = median_row(precision)
    rule = MEDIAN_RULE.format(arm=plan.headline)
    subject = _subject(opened, row, f"{rule}, {precision[row]:.3f}")
    return [
        *_with_and_without(plan, looking, subject),
        _two_grains(plan.headline, looking, subject),
        _occlusion(plan.headline, looking, opened, rows),
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
        row,
        evenly_spaced(first, length),
        f"Tracklet: pid {tracklets.pid[row]}, camera {tracklets.camera[row]}, first frame "
        f"{first_frames(opened)[row]}, {FRAMES} evenly spaced of its {length} frames; {rule}.",
    )


def _with_and_without(plan: ReportPlan, looking: Looking, subject: _Subject) -> list[Entry]:
    file, title, paper = _FIG_1A
    missing = [arm for arm in (WITH, WITHOUT) if arm not in plan.arms]
    if missing:
        return [not_drawn(*_FIG_1A, f"{' and '.join(missing)} not in the plan")]
    stages = [stage for stage in looking.stages(WITH) if stage in looking.stages(WITHOUT)]
    if not stages:
        return [not_drawn(*_FIG_1A, f"{WITH} and {WITHOUT} have no MAM behind the same stage")]
    entries = []
    for stage in stages:
        blocks = [
            looking.block(f"with the loss: {WITH}", WITH, stage, subject.frames),
            looking.block(f"without: {WITHOUT}", WITHOUT, stage, subject.frames),
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


def _two_grains(arm: str, looking: Looking, subject: _Subject) -> Entry:
    stages = looking.stages(arm)
    if len(stages) < 2:
        return not_drawn(*_FIG_1B, f"{arm} has no two MAMs")
    blocks = [
        looking.block(f"behind stage {stage}", arm, stage, subject.frames)
        for stage in (stages[0], stages[-1])
    ]
    sizes = [" x ".join(map(str, block.attention.shape[2:])) for block in blocks]
    caption = (
        f"Submodules of the MAM behind stage {stages[0]} (left, maps of {sizes[0]}) and behind "
        f"stage {stages[-1]} (right, {sizes[1]}) of {arm}, trial 0. "
        f"{_scale(blocks)} {subject.told}"
    )
    return Entry(*_FIG_1B, caption, _described(blocks), png(heatmaps(blocks)))


def _occlusion(arm: str, looking: Looking, opened: Dataset, rows: Sequence[int]) -> Entry:
    if not looking.stages(arm):
        return not_drawn(*_FIG_3, f"{arm} has no MAM")
    stage = looking.stages(arm)[0]
    hidden = _occluded(opened, rows)
    if hidden is not None:
        share = {row: float(flags.mean()) for row, flags in hidden.items()}
        row = half_occluded_row(share)
        subject = _subject(opened, row, f"{OCCLUDED_RULE}, {share[row]:.2f}")
        marked = [bool(hidden[row][frame - subject.frames[0]]) for frame in subject.frames]
        told = "Occluded frames, by the renderer's own masks, have a dashed frame."
    else:
        deviation = _deviations(arm, stage, looking, opened, rows)
        row = most_varying_row(deviation)
        subject = _subject(opened, row, f"{VARYING_RULE}, {deviation[row]:.3f}")
        marked = None
        told = "Nobody has marked which frames are occluded."
    attention = looking.attention(arm, stage, subject.frames)
    # Of the paper's four, the stripes where it sees the shoulder and the leg.
    count = attention.shape[1]
    submodules = [1, count - 1] if count > 2 else list(range(count))
    shown = attention[:, submodules]
    caption = (
        f"Submodules {' and '.join(str(k + 1) for k in submodules)} of the MAM behind stage "
        f"{stage} of {arm}, trial 0; above each heatmap its maximum weight, before upsampling. "
        f"{told} {HOW.format(greatest=float(shown.max()))} {subject.told}"
    )
    weights = "; ".join(
        f"submodule {k + 1}: {', '.join(f'{float(m.max()):.3f}' for m in attention[:, k])}"
        for k in submodules
    )
    alt = f"{FRAMES} frames and the heatmaps of {len(submodules)} submodules. Maxima: {weights}."
    frames = looking.frames(arm, subject.frames)
    return Entry(*_FIG_3, caption, alt, png(occlusion(frames, attention, submodules, marked)))


def _occluded(opened: Dataset, rows: Sequence[int]) -> dict[int, npt.NDArray[np.bool_]] | None:
    """Of each tracklet, which frames have an occluder; None where there are no masks."""
    store = open_labels(opened.folder, opened.raw)
    if store is None:
        return None
    return {
        row: (read_labels(store, _all_frames(opened, row)) == Part.OCCLUDER).any((1, 2))
        for row in rows
    }


def _deviations(
    arm: str, stage: str, looking: Looking, opened: Dataset, rows: Sequence[int]
) -> dict[int, float]:
    """The standard deviation over each tracklet's frames of the maximum weight."""
    deviation = {}
    with counting("looking for a varying tracklet, queries", len(rows)) as told:
        for done, row in enumerate(rows, start=1):
            attention = looking.attention(arm, stage, _all_frames(opened, row))
            deviation[row] = float(attention.max((2, 3)).mean(1).std())
            told(done)
    return deviation


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
        sides.append(f"{block.title}: most attention of {told} of {height}")
    return f"{len(blocks[0].frames)} frames and heatmaps below them. {'; '.join(sides)}."
