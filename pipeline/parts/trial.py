"""One trial of an arm: trained, shown, tracked and written whole."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch

from cmmanet.clips.batches import short_tracklets
from cmmanet.clips.dataset import ClipDataset
from cmmanet.model.cost import cost_of
from cmmanet.params import ArmPlan
from cmmanet.training.build import build_network
from cmmanet.training.checkpoint import sync
from cmmanet.training.device import (
    choose_precision,
    describe_device,
    peak_memory,
    precision_name,
)
from cmmanet.training.logbook import Listener
from cmmanet.training.loop import Trained, plan_epoch, train
from cmmanet.training.processes import Processes
from pipeline.parts import workspace
from pipeline.parts.provenance import environment
from pipeline.parts.resume import Kept
from pipeline.parts.tracking import Tracker
from pipeline.training.display import draw_clips, listen, print_data, watching

PICTURE = "clips.png"


@dataclass(frozen=True)
class ArmTraining:
    """One arm's training, as every process that takes part knows it."""

    plan: ArmPlan
    clips: list[ClipDataset]  # of each trial
    processes: Processes
    workers: int
    save_every: float

    def seed(self, trial: int) -> int:
        """Of everything random in a trial."""
        return self.plan.seed + trial

    def fit(self, trial: int, checkpoints: Path, listener: Listener) -> Trained:
        """Train one trial."""
        clips, seed = self.clips[trial], self.seed(trial)
        return train(
            self.plan,
            build_network(self.plan, len(clips.identities), seed, workspace.root()),
            clips,
            seed=seed,
            processes=self.processes,
            workers=self.workers,
            checkpoints=checkpoints,
            save_every=self.save_every,
            listener=listener,
        )


def train_trial(job: ArmTraining, record: dict[str, Any], left: Kept, tracker: Tracker) -> None:
    """Train the trial that `record` names into its folder, which appears when it is whole."""
    folder, checkpoints = left.trial(record["trial"]), left.checkpoints(record["trial"])
    with workspace.whole_folder(folder) as partial:
        _train_into(partial, job, record, checkpoints, tracker)
        for file in (workspace.HISTORY, PICTURE):
            if (partial / file).is_file():
                tracker.artifact(record["mlflow_run"], partial / file)
        # All of it is to be on the disk before the checkpoints go.
        for written in partial.iterdir():
            sync(written)
    sync(folder.parent)
    shutil.rmtree(checkpoints, ignore_errors=True)


def _train_into(
    folder: Path, job: ArmTraining, record: dict[str, Any], checkpoints: Path, tracker: Tracker
) -> None:
    plan, processes = job.plan, job.processes
    clips, seed = job.clips[record["trial"]], job.seed(record["trial"])
    precision = choose_precision(plan.precision, processes.device)
    used = environment(describe_device(processes.device), precision_name(precision))
    title = f"{plan.dataset} {plan.arm} {workspace.trial_name(record['trial'])}"
    first = plan_epoch(plan, clips, seed, 0)
    print_data(title, plan, clips, first)
    if plan.dataset == "synthetic":
        # Pictures of people stay where the licensed archives are.
        draw_clips(folder / PICTURE, clips, first)
    with watching(title, plan) as watch:
        listener = listen(plan, title, watch, record["mlflow_run"], tracker)
        trained = job.fit(record["trial"], checkpoints, listener)
    content = {
        **record,
        "seed": seed,
        "iterations": plan.schedule.iterations,
        "train_seconds": round(sum(epoch["seconds"] for epoch in trained.history), 1),
        "identities": len(clips.identities),
        "tracklets": len(clips),
        "short_tracklets": short_tracklets(clips.length, plan.clip.frames),
        "cost": {
            **cost_of(trained.network, plan.image.height, plan.image.width)._asdict(),
            "peak_memory": peak_memory(processes.device),
        },
        "config": plan.model_dump(mode="json"),
        "environment": {
            **used,
            "processes": processes.count,
            "nondeterministic": trained.nondeterministic,
        },
    }
    _write_trial(folder, trained, content)


def _write_trial(folder: Path, trained: Trained, content: Mapping[str, Any]) -> None:
    state = trained.network.state_dict()
    weights = {name: value.cpu().contiguous() for name, value in state.items()}
    try:
        safetensors.torch.save_file(weights, folder / workspace.WEIGHTS)
    except safetensors.SafetensorError as error:
        raise OSError(
            f"{folder}: weights not written: {error}; run the same command again, which goes on "
            "from the last checkpoint"
        ) from None
    with (folder / workspace.HISTORY).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(trained.history[0]))
        writer.writeheader()
        writer.writerows(trained.history)
    workspace.write_json(folder / "run.json", content)
