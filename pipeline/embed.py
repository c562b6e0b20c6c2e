"""Stage embed: every query and gallery tracklet, by each trial's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmmanet.frames.archive import hash_file
from cmmanet.frames.index import load_tracklets, open_store
from pipeline import workspace
from pipeline.command import ArmName, DatasetName, run
from pipeline.embeddings import Source, write_embeddings
from pipeline.trained import load_trained


def main(dataset: DatasetName, arm: ArmName) -> None:
    """Embed DATASET's test tracklets with ARM into embeddings/DATASET/ARM/trial-NN.safetensors.

    Each file holds what evaluation needs, so that a changed metric embeds nothing again:
    features by every frame and by the first of each chunk, float32. It is tied to the
    weights and the index that it comes from.
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
    source = Source(trained.fingerprint, hash_file(data / "index.json"))
    write_embeddings(target, embeddings.dense, embeddings.chunk_first, rows, source, used)
    print(f"{title}: {len(rows):,} tracklets, {int(tracklets.length[rows].sum()):,} frames")


if __name__ == "__main__":
    run(main)
