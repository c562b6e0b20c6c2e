"""Stage embed: every query and gallery tracklet, by each trial's network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from rich.console import Console
from rich.progress import Progress

from cmmanet.evaluation.embedding import embed
from cmmanet.frames.index import load_tracklets, open_store
from cmmanet.model.network import CMMANet
from cmmanet.params import ArmPlan
from cmmanet.training.build import empty_network
from cmmanet.training.device import (
    choose_device,
    choose_precision,
    default_workers,
    describe_device,
    precision_name,
)
from pipeline import workspace
from pipeline.command import ArmName, DatasetName, run
from pipeline.provenance import environment


def main(dataset: DatasetName, arm: ArmName) -> None:
    """Embed DATASET's test tracklets with ARM into embeddings/DATASET/ARM/trial-NN.safetensors.

    Each file holds `dense` and `chunk_first`, float32 [M, D], and `tracklet`, the M rows of
    the tracklet table: everything that evaluation needs, so that a changed metric embeds
    nothing again. What embedded them stands in its metadata.
    """
    folder = workspace.embedding_folder(dataset, arm)
    with workspace.locked(workspace.lock_folder(), f"embed-{dataset}-{arm}", wait=False):
        partial = folder.with_name(f".{arm}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _embed_arm(dataset, arm, partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)


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
    record = workspace.read_json(run_folder / "run.json", "train")
    plan = ArmPlan.model_validate(record["config"])
    network = _trained(plan, record["identities"], run_folder / "weights.safetensors")
    tracklets = load_tracklets(data)
    raw = workspace.raw_folder() / index["folder"]
    device = choose_device()
    precision = choose_precision(plan.precision, device)
    used = environment(describe_device(device), precision_name(precision))
    frames = int(tracklets.length[rows].sum())
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(f"{plan.arm} {run_folder.name}: embedding", total=frames)
        embeddings = embed(
            network,
            open_store(data, [raw / name for name in index["archives"]]),
            tracklets,
            rows,
            chunks=plan.clip.frames,
            height=plan.image.height,
            width=plan.image.width,
            device=device,
            precision=precision,
            workers=default_workers(),
            on_frames=lambda done: progress.update(task, completed=done),
        )
    content = {
        "dense": embeddings.dense,
        "chunk_first": embeddings.chunk_first,
        "tracklet": torch.tensor(rows),
    }
    used["nondeterministic"] = embeddings.nondeterministic
    try:
        # Values of safetensors' metadata are text.
        safetensors.torch.save_file(content, target, {"environment": json.dumps(used)})
    except safetensors.SafetensorError as error:
        raise OSError(f"{target}: not written: {error}") from None
    print(
        f"{plan.dataset} {plan.arm} {run_folder.name}: {len(rows):,} tracklets, {frames:,} frames"
    )


def _trained(plan: ArmPlan, identities: int, path: Path) -> CMMANet:
    network = empty_network(plan, identities)
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (OSError, safetensors.SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path}: not the weights of {plan.arm}: {reason}; train it again"
        ) from None
    return network


if __name__ == "__main__":
    run(main)
