"""Stage embed: embed every query and gallery tracklet with the network of each run."""

from __future__ import annotations

from pathlib import Path

from cmmanet.frames.archive import FrameStore
from pipeline.parts import workspace
from pipeline.parts.command import ArmName, DatasetName, run
from pipeline.parts.embeddings import source_of, write_embeddings
from pipeline.parts.indexed_data import Dataset, open_dataset
from pipeline.parts.trained_network import load_trained


def main(dataset: DatasetName, arm: ArmName) -> None:
    """Embed DATASET's test tracklets with ARM into embeddings/DATASET/ARM/trial-NN.safetensors.

    Each file holds the float32 features over every frame and over the first of each chunk, so a
    changed metric embeds nothing again. It is tied to the weights and the index that it comes from.
    """
    folder = workspace.embedding_folder(dataset, arm)
    with (
        workspace.locked(workspace.lock_folder(), f"embed-{dataset}-{arm}"),
        workspace.whole_folder(folder) as partial,
    ):
        _embed_arm(dataset, arm, partial)


def _embed_arm(dataset: str, arm: str, folder: Path) -> None:
    opened = open_dataset(dataset)
    store = opened.open_frames()
    for trial, split in enumerate(opened.trials["trials"]):
        rows = opened.trials["splits"][split]
        run_folder = workspace.run_folder(dataset, arm) / workspace.trial_name(trial)
        embedded = sorted(set(rows["query"]) | set(rows["gallery"]))
        target = folder / f"{run_folder.name}.safetensors"
        _embed_trial(opened, store, run_folder, embedded, target)


def _embed_trial(
    opened: Dataset, store: FrameStore, run_folder: Path, rows: list[int], target: Path
) -> None:
    trained = load_trained(run_folder)
    tracklets = opened.tracklets
    title = f"{trained.plan.dataset} {trained.plan.arm} {run_folder.name}"
    embeddings, used = trained.embed(store, tracklets, rows, title)
    source = source_of(trained.fingerprint, opened.folder)
    write_embeddings(target, embeddings.features, rows, source, used)
    print(f"{title}: {len(rows):,} tracklets, {int(tracklets.length[rows].sum()):,} frames")


if __name__ == "__main__":
    run(main)
