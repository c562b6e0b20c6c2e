"""Stage occluded: the people to test on, rendered with another share of occluded frames."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

from cmmanet.datasets.canvas import Part
from cmmanet.datasets.protocol import files_of
from cmmanet.datasets.tracklets import TRAIN, Listing
from cmmanet.frames.archive import digest_part, list_members
from cmmanet.frames.index import build_index, load_tracklets
from cmmanet.params import OcclusionPlan, Render
from pipeline import workspace
from pipeline.command import Level, run
from pipeline.fetch import rendered


def main(level: Level) -> None:
    """Render the test part at LEVEL and index it into occlusion/data/LEVEL/.

    Runs at every `dvc repro` of the study, since DVC cannot see the raw data folder; what is
    rendered is kept there. People, poses, cameras and boxes are the same at every LEVEL. The share
    that was hit is measured in the label maps and written to index.json.
    """
    plan = workspace.read_plan(OcclusionPlan, "occlusion.json")
    # The raw data are shared by every copy of the repository.
    with workspace.locked(workspace.root() / ".locks", "fetch-synthetic", wait=True):
        raw = rendered(workspace.raw_folder() / "synthetic", occluded_render(plan, level))
    files, data = files_of("synthetic"), workspace.occluded_folder(level)
    try:
        parts = files.find_parts(raw)
        members = [list_members(part, files.IMAGE_SUFFIX) for part in parts]
        listing = files.read_listing(raw, members)
        occluded = occluded_frames(raw / "masks_test.zip", people_frames(listing))
        missing = build_index(listing, members, data).missing
        if missing:
            raise ValueError(f"{len(missing):,} frames are missing, such as {missing[0]}")
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{error} (rendered data: delete {raw}, run this again)") from None
    trials = files.trials(load_tracklets(data), raw, count=1, test_half=None)
    workspace.write_json(data / "trials.json", trials)
    content = {
        "level": level,
        "folder": raw.relative_to(workspace.raw_folder()).as_posix(),
        # With their hashes: other pixels of the same sizes must be embedded anew.
        "archives": {
            part.name: digest_part(part, found).sha256
            for part, found in zip(parts, members, strict=True)
        },
        "frames": len(occluded),
        "occluded": sum(occluded),
    }
    workspace.write_json(data / "index.json", content)
    print(f"{level:.0%} of frames occluded: {sum(occluded):,} of {len(occluded):,} are")


def occluded_render(plan: OcclusionPlan, level: float) -> Render:
    """What to render: the dataset's own test people, and as few to train on as there may be.

    Raises:
        ValueError: if synthetic is not run, or the level is not in the plan.
    """
    if plan.render is None:
        raise ValueError(
            "only rendered people can be occluded at will: add `synthetic` to `datasets` of "
            "params.yaml"
        )
    if level not in plan.levels:
        planned = ", ".join(map(str, plan.levels))
        raise ValueError(f"{level} is not in `occlusion` of params.yaml ({planned})")
    # Nobody is drawn from another person's generator: those to train on change nothing here.
    return plan.render.model_copy(update={"occlusion": level, "train_identities": 2})


def people_frames(listing: Listing) -> list[str]:
    """Frames of the real people to test on: no junk, no distractors."""
    tested = np.flatnonzero((listing.role != TRAIN) & (listing.pid > 0))
    return [
        name
        for row in tested
        for name in listing.member[listing.first[row] :][: listing.length[row]]
    ]


def occluded_frames(masks: Path, frames: Iterable[str]) -> list[bool]:
    """Whether each frame has something before the person, by an archive of label maps.

    Raises:
        ValueError: if the archive lacks the label map of a frame.
    """
    with ZipFile(masks) as archive:
        try:
            maps = [archive.read(f"{Path(name).with_suffix('.png')}") for name in frames]
        except KeyError as error:
            raise ValueError(f"{masks}: {error.args[0]}") from None
    return [
        bool((np.asarray(Image.open(io.BytesIO(labels))) == Part.OCCLUDER).any()) for labels in maps
    ]


if __name__ == "__main__":
    run(main)
