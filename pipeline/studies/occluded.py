"""Stage occluded: the test identities, rendered with another share of occluded frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.datasets.rendered.canvas import Part
from cmmanet.datasets.tracklets import TRAIN, Tracklets
from cmmanet.evaluation.attention.labels import open_labels, read_labels
from cmmanet.frames.archive import FrameStore, digest_part, list_members
from cmmanet.frames.index import build_index, load_tracklets
from cmmanet.params import OcclusionPlan, Render
from pipeline.parts import workspace
from pipeline.parts.command import Level, run
from pipeline.parts.rendering import render_once


def main(level: Level) -> None:
    """Render the test part at LEVEL and index it into occlusion/data/LEVEL/.

    Runs at every `dvc repro` of the study, since DVC cannot see the raw data folder, where the
    rendered archives stay. Identities, poses, cameras and boxes are the same at every LEVEL. The
    actual share is measured in the label maps and written to index.json.
    """
    plan = workspace.read_plan(OcclusionPlan, "occlusion.json")
    name, raw = render_once(occluded_render(plan, level))
    synthetic, data = DATASETS["synthetic"], workspace.occluded_folder(level)
    try:
        parts = synthetic.find_parts(raw)
        members = [list_members(part, synthetic.image_suffix) for part in parts]
        listing = synthetic.read_listing(raw, members)
        missing = build_index(listing, members, data).missing
        if missing:
            raise ValueError(f"{len(missing):,} frames are missing, such as {missing[0]}")
        occluded = occluded_frames(data, raw)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{error} (rendered data: delete {raw}, run this again)") from None
    trials = synthetic.trials(load_tracklets(data), raw, count=1, test_half=None)
    workspace.write_json(data / "trials.json", trials)
    frames = {
        "folder": name,
        # With their hashes: other pixels of the same sizes must be embedded again.
        "archives": {
            part.name: digest_part(part, own, listing.member).sha256
            for part, own in zip(parts, members, strict=True)
        },
    }
    workspace.write_json(data / "frames.json", frames)
    counts = {"level": level, "frames": len(occluded), "occluded": sum(occluded)}
    workspace.write_json(data / "index.json", counts)
    print(f"{level:.0%} of frames occluded: {sum(occluded):,} of {len(occluded):,}")


def occluded_render(plan: OcclusionPlan, level: float) -> Render:
    """Return what to render: the dataset's own test identities, and the fewest training ones.

    Raises:
        ValueError: if synthetic is not run, or the level is not in the plan.
    """
    if plan.render is None:
        raise ValueError(
            "only rendered pedestrians can be occluded at will: add `synthetic` to `datasets` of "
            "params.yaml"
        )
    if level not in plan.levels:
        planned = ", ".join(map(str, plan.levels))
        raise ValueError(f"{level} is not in `occlusion` of params.yaml ({planned})")
    # Each identity has its own generator: the training identities change nothing here.
    return plan.render.model_copy(update={"occlusion": level, "train_identities": 2})


def occluded_frames(data: Path, raw: Path) -> list[bool]:
    """Return whether each frame of the test identities has an occluder.

    Junk and distractors are left out.

    Raises:
        ValueError: if a frame has no label map.
    """
    store, tracklets = open_labels(data, raw), load_tracklets(data)
    if store is None:
        raise ValueError(f"{raw}: no label maps")
    tested = np.flatnonzero((tracklets.role != TRAIN) & (tracklets.pid > 0))
    return [
        bool(hidden)
        for row in tested
        for hidden in (_labels(store, tracklets, int(row)) == Part.OCCLUDER).any((1, 2))
    ]


def _labels(store: FrameStore, tracklets: Tracklets, row: int) -> npt.NDArray[np.uint8]:
    first = int(tracklets.first[row])
    return read_labels(store, range(first, first + int(tracklets.length[row])))


if __name__ == "__main__":
    run(main)
