"""Stage split: the training, query and gallery tracklets of each trial."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.datasets.tracklets import Tracklets, Trials, answerable
from cmmanet.frames.index import FRAMES, load_tracklets
from cmmanet.frames.members import DEFLATED, STORED
from cmmanet.params import SplitPlan
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run


def main(dataset: DatasetName) -> None:
    """Write DATASET's trials.json: tracklet rows by split, and the split of each trial.

    training.json names the archives, with a digest of the training frames in each.

    MARS and synthetic data have one split: their trials share it and differ in the training seed.
    The others have ten: trial t is split t, trained with its own seed.
    """
    plan = workspace.read_plan(SplitPlan, f"{dataset}/split.json")
    data = workspace.data_folder(dataset)
    manifest = workspace.read_json(data / "manifest.json", f"fetch {dataset}")
    raw = workspace.raw_data(manifest["folder"])
    tracklets = load_tracklets(data)
    trials = DATASETS[dataset].trials(
        tracklets,
        raw,
        count=plan.trials,
        test_half=plan.test_half,
    )
    matched = [answerable(tracklets, split) for split in trials["splits"]]
    if 0 in matched:
        raise ValueError(
            f"{dataset}: no query of split {matched.index(0)} has its identity in another camera "
            "of the gallery: nothing could be evaluated; check the files in "
            f"{raw}"
        )
    workspace.write_json(data / "trials.json", trials)
    frames = workspace.read_json(data / "frames.json", f"index {dataset}")
    archives = _training_digests(data, tracklets, trials, frames["archives"])
    workspace.write_json(data / "training.json", {"folder": frames["folder"], "archives": archives})
    rows = trials["splits"][0]
    print(
        f"{dataset}: {plan.trials} trials on {len(trials['splits'])} splits of {trials['source']}; "
        f"the first: {len(rows['train']):,} training tracklets, {len(rows['query']):,} queries, "
        f"{matched[0]:,} of them with a true match, {len(rows['gallery']):,} in the gallery"
    )


def _training_digests(
    data: Path, tracklets: Tracklets, trials: Trials, archives: Mapping[str, str]
) -> dict[str, str | None]:
    """Return a digest of the training frames in each archive; None where it has none.

    A zip lists a checksum of each frame: it may be written again, with other files in it. Of a tar
    or a folder it is the digest of the whole.
    """
    rows = sorted({row for split in trials["splits"] for row in split["train"]})
    columns = ["archive", "name", "size", "crc", "compression"]
    table = pq.read_table(data / FRAMES, columns=columns).take(tracklets.frames_of(rows)[0])
    digests: dict[str, str | None] = {}
    for number, (name, sha256) in enumerate(archives.items()):
        frames = table.filter(pc.equal(table["archive"], number))
        zipped = pc.is_in(frames["compression"], value_set=pa.array([STORED, DEFLATED], pa.uint8()))
        if pc.all(zipped).as_py():
            content = [frames[column].to_pylist() for column in ("name", "size", "crc")]
            sha256 = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        digests[name] = sha256 if len(frames) else None
    return digests


if __name__ == "__main__":
    run(main)
