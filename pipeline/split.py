"""Stage split: the training, query and gallery tracklets of each trial."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.datasets.tracklets import Tracklets, Trials, answerable
from cmmanet.frames.index import FRAMES, load_tracklets
from cmmanet.params import SplitPlan
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run


def main(dataset: DatasetName) -> None:
    """Write DATASET's trials.json: tracklet rows by split, and the split of each trial.

    training.json names and hashes the archives that training frames are read from.

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
    names = list(frames["archives"])
    used = {names[number] for number in _training_archives(data, tracklets, trials)}
    archives = {name: sha if name in used else None for name, sha in frames["archives"].items()}
    workspace.write_json(data / "training.json", {"folder": frames["folder"], "archives": archives})
    rows = trials["splits"][0]
    print(
        f"{dataset}: {plan.trials} trials on {len(trials['splits'])} splits of {trials['source']}; "
        f"the first: {len(rows['train']):,} training tracklets, {len(rows['query']):,} queries, "
        f"{matched[0]:,} of them with a true match, {len(rows['gallery']):,} in the gallery"
    )


def _training_archives(data: Path, tracklets: Tracklets, trials: Trials) -> set[int]:
    """Return the numbers of the archives that hold training frames."""
    rows = sorted({row for split in trials["splits"] for row in split["train"]})
    number = pq.read_table(data / FRAMES, columns=["archive"])["archive"].to_numpy()
    return set(number[tracklets.frames_of(rows)[0]].tolist())


if __name__ == "__main__":
    run(main)
