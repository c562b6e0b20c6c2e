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
from cmmanet.reporting.pictures import contact_sheet
from cmmanet.training.build import build_network
from cmmanet.training.checkpoint import sync
from cmmanet.training.device import (
    choose_precision,
    describe_device,
    peak_memory,
    precision_name,
)
from cmmanet.training.diagnosis import diagnose
from cmmanet.training.logbook import Listener
from cmmanet.training.loop import Trained, plan_epoch, train
from cmmanet.training.processes import Processes
from pipeline.parts import workspace
from pipeline.parts.provenance import environment
from pipeline.parts.resume import Kept
from pipeline.parts.tracking import Tracker
from pipeline.parts.watch import Watch, watching

# Clips of the first batch that the picture beside each trial's weights shows.
SHOWN_CLIPS = 16
PICTURE = "clips.png"
HISTORY = "history.csv"


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
        for file in (HISTORY, PICTURE):
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
    short = short_tracklets(clips.length, plan.clip.frames)
    print(
        f"{title}: {len(clips):,} tracklets of {len(clips.identities):,} identities, {short:,} of "
        f"them shorter than a clip; {len(first.batches):,} iterations an epoch, with "
        f"{first.repeated_clips:,} clips of a tracklet that is in its batch already",
        flush=True,
    )
    if plan.dataset == "synthetic":
        # Pictures of people stay where the licensed archives are.
        shown = clips.__getitems__(first.batches[0][:SHOWN_CLIPS])
        contact_sheet(shown.clips, columns=4).save(folder / PICTURE)
    signs: dict[str, str] = {}
    with watching(title, plan) as watch:
        listener = _listener(plan, title, watch, signs, record["mlflow_run"], tracker)
        trained = job.fit(record["trial"], checkpoints, listener)
    content = {
        **record,
        "seed": seed,
        "iterations": plan.schedule.iterations,
        "train_seconds": round(sum(epoch["seconds"] for epoch in trained.history), 1),
        "identities": len(clips.identities),
        "tracklets": len(clips),
        "short_tracklets": short,
        "warnings": signs,
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


def _listener(
    plan: ArmPlan,
    title: str,
    watch: Watch,
    signs: dict[str, str],
    mlflow_run: str,
    tracker: Tracker,
) -> Listener:
    """Shows and tracks a trial, and puts what looks wrong into `signs`, each sign once."""

    def begin(iteration: int, history: list[dict[str, float]]) -> None:
        watch.begin(iteration)
        if iteration:
            watch.say(f"{title} goes on after iteration {iteration} of {plan.schedule.iterations}")
        for past in history:
            signs.update({**diagnose(plan, past), **signs})
            # What the store has of it already it does not take again.
            tracker.metrics(mlflow_run, past, step=int(past["iterations"]))

    def epoch(means: dict[str, float]) -> None:
        tracker.metrics(mlflow_run, means, step=int(means["iterations"]))
        for sign, text in diagnose(plan, means).items():
            if sign not in signs:
                signs[sign] = text
                watch.say(f"warning: {title}, iteration {means['iterations']:.0f}: {text}")

    return Listener(begin=begin, look=watch.look, epoch=epoch, say=watch.say)


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
    with (folder / HISTORY).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(trained.history[0]))
        writer.writeheader()
        writer.writerows(trained.history)
    workspace.write_json(folder / "run.json", content)
