"""Stage embed: every query and gallery tracklet, by each trial's network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from cmmanet.frames.index import load_tracklets, open_store
from pipeline import workspace
from pipeline.command import ArmName, DatasetName, run
from pipeline.trained import load_trained


def main(dataset: DatasetName, arm: ArmName) -> None:
    """Embed DATASET's test tracklets with ARM into embeddings/DATASET/ARM/trial-NN.safetensors.

    Each file holds `dense` and `chunk_first`, float32 [M, D], and `tracklet`, the M rows of
    the tracklet table: everything that evaluation needs, so that a changed metric embeds
    nothing again. What embedded them stands in its metadata.
    """
    folder = workspace.embedding_folder(dataset, arm)
    with (
        workspace.locked(workspace.lock_folder(), f"embed-{dataset}-{arm}", wait=False),
        workspace.whole_folder(folder) as partial,
    ):
        _embed_arm(dataset, arm, partial)


def _embed_arm(dataset: str, arm: str, folder: Path) -> None:
    data = workspace.data_folder(dataset)
    trials = workspace.read_json(data / "trials.json", f"split {dataset}")
    index = workspace.read_json(data / "index.json", f"index {dataset}")
    for trial, split in enumerate(trials["trials"]):
        rows = trials["splits"][split]
        run_folder = workspace.run_folder(dataset, arm) / workspace.trial_name(trial)
        embedded = sorted(set(rows["query"]) | set(rows["gallery"]))
        _embed_trial(data, index, run_folder, embedded, folder / f"{run_folder.name}.safetensors")


def _embed_trial(
    data: Path, index: dict[str, Any], run_folder: Path, rows: list[int], target: Path
) -> None:
    trained = load_trained(run_folder)
    tracklets = load_tracklets(data)
    raw = workspace.raw_folder() / index["folder"]
    store = open_store(data, [raw / name for name in index["archives"]])
    title = f"{trained.plan.dataset} {trained.plan.arm} {run_folder.name}"
    embeddings, used = trained.embed(store, tracklets, rows, title)
    content = {
        "dense": embeddings.dense,
        "chunk_first": embeddings.chunk_first,
        "tracklet": torch.tensor(rows),
    }
    try:
        # Values of safetensors' metadata are text.
        safetensors.torch.save_file(content, target, {"environment": json.dumps(used)})
    except safetensors.SafetensorError as error:
        raise OSError(f"{target}: not written: {error}") from None
    print(f"{title}: {len(rows):,} tracklets, {int(tracklets.length[rows].sum()):,} frames")


if __name__ == "__main__":
    run(main)
