"""Stage train: every trial of one arm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cmmanet.clips.dataset import ClipDataset
from cmmanet.frames.index import FRAMES, TRACKLETS
from cmmanet.params import ArmPlan
from cmmanet.training.device import default_workers
from cmmanet.training.logbook import Listener
from cmmanet.training.loop import SAVE_EVERY
from cmmanet.training.processes import joined_processes
from pipeline.parts import workspace
from pipeline.parts.command import ArmName, DatasetName, exhausted, run
from pipeline.parts.dataset import Dataset, open_dataset
from pipeline.parts.identity import digest, identify
from pipeline.parts.resume import kept
from pipeline.parts.tracking import NO_RUN, Tracker
from pipeline.parts.trial import ArmTraining, train_trial

Workers = Annotated[
    int | None,
    typer.Option(min=0, help="processes that decode frames, for each that trains"),
]
SaveEvery = Annotated[float, typer.Option(min=0, help="seconds between two checkpoints")]


def main(
    dataset: DatasetName, arm: ArmName, workers: Workers = None, save_every: SaveEvery = SAVE_EVERY
) -> None:
    """Train each trial of ARM on DATASET and write runs/DATASET/ARM/trial-NN/.

    Neither option changes a number. Run again after an interruption, it goes on from the last
    checkpoint. `accelerate launch -m pipeline.train DATASET ARM` trains with several processes.
    """
    plan = workspace.read_plan(ArmPlan, f"{dataset}/{arm}.json")
    opened = open_dataset(dataset)
    data, clips = opened.folder, _clips(plan, opened)
    workers = default_workers() if workers is None else workers
    with joined_processes() as processes:
        job = ArmTraining(plan, clips, processes, workers, save_every)
        identity = identify(plan, processes, digest(data / FRAMES, *_data_files(data)))
        if not processes.main:
            _follow(job, identity)
            return
        with workspace.locked(workspace.lock_folder(), f"train-{dataset}-{arm}", wait=False):
            _lead(job, identity, data, partial=bool(opened.index["partial"]))


def _follow(job: ArmTraining, identity: Mapping[str, Any]) -> None:
    """Take part in the trials that the main process leads; files and words are its own."""
    silent = Listener(
        begin=lambda *_: None, look=lambda _: None, epoch=lambda _: None, say=lambda _: None
    )
    try:
        _agree_on(job, identity)
        for trial in job.processes.agree(list[int]()):
            job.fit(trial, Path(), silent)
    except RuntimeError as error:
        if exhausted(error):
            raise
        # Most often the main process has ended, and said why.
        reason = str(error).partition("\n")[0]
        raise OSError(f"process {job.processes.index} lost the others: {reason}") from error


def _agree_on(job: ArmTraining, identity: Mapping[str, Any]) -> None:
    """Refuse to train with processes that would train something else."""
    # GPUs of several models can train together.
    common = {key: value for key, value in identity.items() if key != "processor"}
    if job.processes.agree(common) != common:
        raise ValueError(
            f"process {job.processes.index} sees other parameters, data, code or versions than "
            "the main process: give all nodes the same files"
        )


def _lead(job: ArmTraining, identity: Mapping[str, Any], data: Path, *, partial: bool) -> None:
    plan = job.plan
    tracker = Tracker()
    target = workspace.run_folder(plan.dataset, plan.arm)
    name = f"{plan.dataset} {plan.arm}"
    place = {"dataset": plan.dataset, "arm": plan.arm, "folder": str(target.resolve())}
    tracker.end_abandoned(place)
    common: dict[str, Any] = {
        "tags": {**place, "partial": str(partial).lower()},
        "dataset": {
            "name": plan.dataset,
            "digest": digest(*_data_files(data)),
            "source": (data / FRAMES).as_posix(),
        },
    }
    config = plan.model_dump(mode="json")
    _agree_on(job, identity)
    # The other processes do not wait for ever.
    wait = job.processes.count == 1
    with kept(
        f"{plan.dataset}-{plan.arm}", identity, lambda line: print(line, flush=True), wait=wait
    ) as left:
        runs = left.tracked()
        todo = [t for t in range(len(job.clips)) if not left.trial(t).is_dir()]
        with tracker.run(
            name, parent=None, params=config, resumed=runs.get("arm"), **common
        ) as arm_run:
            if arm_run != NO_RUN:
                left.track("arm", arm_run)
            for trial in sorted(set(range(len(job.clips))) - set(todo)):
                tracker.finish(runs.get(str(trial), NO_RUN))
            for trial in job.processes.agree(todo):
                with tracker.run(
                    f"{name} {workspace.trial_name(trial)}",
                    parent=arm_run,
                    params={**config, "trial": trial, "trial_seed": job.seed(trial)},
                    resumed=runs.get(str(trial)),
                    **common,
                ) as trial_run:
                    if trial_run != NO_RUN:
                        left.track(str(trial), trial_run)
                    record = {
                        "dataset": plan.dataset,
                        "arm": plan.arm,
                        "trial": trial,
                        "mlflow_arm_run": arm_run,
                        "mlflow_run": trial_run,
                    }
                    train_trial(job, record, left, tracker)
            left.hand_over(target)


def _clips(plan: ArmPlan, opened: Dataset) -> list[ClipDataset]:
    """What each trial trains on."""
    store, trials = opened.open_frames(), opened.trials
    return [
        ClipDataset(
            store,
            opened.tracklets,
            trials["splits"][split]["train"],
            plan.clip,
            plan.view,
        )
        for split in trials["trials"]
    ]


def _data_files(data: Path) -> tuple[Path, ...]:
    """What names the data in MLflow."""
    return data / TRACKLETS, data / "index.json", data / "trials.json"


if __name__ == "__main__":
    run(main)
