"""Stage train: every trial of one arm."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
import typer

import cmmanet
from cmmanet.clips.batches import short_tracklets
from cmmanet.clips.dataset import ClipDataset
from cmmanet.frames.index import FRAMES, TRACKLETS, load_tracklets, open_store
from cmmanet.params import ArmPlan
from cmmanet.reporting.pictures import contact_sheet
from cmmanet.training.build import build_network
from cmmanet.training.checkpoint import sync
from cmmanet.training.device import (
    choose_precision,
    default_workers,
    describe_device,
    precision_name,
)
from cmmanet.training.diagnosis import diagnose
from cmmanet.training.logbook import Listener
from cmmanet.training.loop import SAVE_EVERY, Trained, plan_epoch, train
from cmmanet.training.processes import Processes, joined_processes
from pipeline import workspace
from pipeline.command import ArmName, DatasetName, run
from pipeline.provenance import environment
from pipeline.resume import Kept, kept
from pipeline.tracking import NO_RUN, Tracker
from pipeline.watch import Watch, watching

Workers = Annotated[
    int | None,
    typer.Option(min=0, help="processes that decode frames, for each that trains"),
]
SaveEvery = Annotated[float, typer.Option(min=0, help="seconds between two checkpoints")]

# Clips of the first batch that the picture beside each trial's weights shows.
SHOWN_CLIPS = 16
PICTURE = "clips.png"
HISTORY = "history.csv"

# What the bits of a training depend on beside its plan, its data and the machine.
_LIBRARY = Path(cmmanet.__file__).parent
_CODE = (
    Path(__file__),
    *(_LIBRARY / room for room in ("frames", "clips", "model", "losses.py", "training")),
)

_PACKAGES = ("torch", "torchvision", "numpy", "simplejpeg", "pillow")


@dataclass(frozen=True)
class _Arm:
    """One arm's training, as every process that takes part knows it."""

    plan: ArmPlan
    clips: list[ClipDataset]  # of each trial
    processes: Processes
    workers: int
    save_every: float

    def fit(self, trial: int, checkpoints: Path, listener: Listener) -> Trained:
        """Train one trial."""
        clips, seed = self.clips[trial], self.plan.seed + trial
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


def main(
    dataset: DatasetName, arm: ArmName, workers: Workers = None, save_every: SaveEvery = SAVE_EVERY
) -> None:
    """Train each trial of ARM on DATASET and write runs/DATASET/ARM/trial-NN/.

    Neither option changes a number. Run again after an interruption, it goes on from the last
    checkpoint. `accelerate launch -m pipeline.train DATASET ARM` trains with several processes.
    """
    plan = workspace.read_plan(ArmPlan, f"{dataset}/{arm}.json")
    data = workspace.data_folder(dataset)
    trials = workspace.read_json(data / "trials.json", f"split {dataset}")
    index = workspace.read_json(data / "index.json", f"index {dataset}")
    clips = [
        _clips(plan, data, index, trials["splits"][split]["train"]) for split in trials["trials"]
    ]
    workers = default_workers() if workers is None else workers
    with joined_processes() as processes:
        job = _Arm(plan, clips, processes, workers, save_every)
        identity = _identity(job, _digest(data / FRAMES, *_data_files(data)))
        if not processes.main:
            _follow(job, identity)
            return
        with workspace.locked(workspace.lock_folder(), f"train-{dataset}-{arm}", wait=False):
            _lead(job, identity, data, partial=bool(index["partial"]))


def _follow(job: _Arm, identity: Mapping[str, Any]) -> None:
    """Take part in the trials that the main process leads; files and words are its own."""
    silent = Listener(
        begin=lambda *_: None, look=lambda _: None, epoch=lambda _: None, say=lambda _: None
    )
    try:
        _agree_on(job, identity)
        for trial in job.processes.agree(list[int]()):
            job.fit(trial, Path(), silent)
    except RuntimeError as error:
        # Most often the main process has ended, and said why.
        reason = str(error).partition("\n")[0]
        raise OSError(f"process {job.processes.index} lost the others: {reason}") from error


def _agree_on(job: _Arm, identity: Mapping[str, Any]) -> None:
    """Refuse to train with processes that would train something else."""
    if job.processes.agree(identity) != identity:
        raise ValueError(
            f"process {job.processes.index} sees other parameters, data, code or versions than "
            "the main process: give all nodes the same files"
        )


def _lead(job: _Arm, identity: Mapping[str, Any], data: Path, *, partial: bool) -> None:
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
            "digest": _digest(*_data_files(data)),
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
                    params={**config, "trial": trial, "trial_seed": plan.seed + trial},
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
                    _train_trial(job, record, left, tracker)
            left.hand_over(target)


def _train_trial(job: _Arm, record: dict[str, Any], left: Kept, tracker: Tracker) -> None:
    """Train one trial into a temporary folder that gets its name when it is whole."""
    folder = left.trial(record["trial"])
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _train_into(partial, job, record, left.checkpoints(record["trial"]), tracker)
        for file in (HISTORY, PICTURE):
            if (partial / file).is_file():
                tracker.artifact(record["mlflow_run"], partial / file)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for written in partial.iterdir():
        sync(written)
    partial.rename(folder)
    sync(folder.parent)
    shutil.rmtree(left.checkpoints(record["trial"]), ignore_errors=True)


def _train_into(
    folder: Path, job: _Arm, record: dict[str, Any], checkpoints: Path, tracker: Tracker
) -> None:
    plan, processes = job.plan, job.processes
    clips, seed = job.clips[record["trial"]], plan.seed + int(record["trial"])
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
        safetensors.torch.save_file(weights, folder / "weights.safetensors")
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


def _identity(job: _Arm, data: str) -> dict[str, Any]:
    """Everything that the bits of this training depend on."""
    device = job.processes.device
    files = [
        file for path in _CODE for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])
    ]
    return {
        "plan": job.plan.model_dump(mode="json"),
        "data": data,
        "code": _digest(*files),
        "versions": {name: version(name) for name in _PACKAGES},
        "device": device.type,
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "precision": precision_name(choose_precision(job.plan.precision, device)),
        "processes": job.processes.count,
    }


def _clips(plan: ArmPlan, data: Path, index: dict[str, Any], rows: list[int]) -> ClipDataset:
    folder = workspace.raw_folder() / index["folder"]
    return ClipDataset(
        open_store(data, [folder / name for name in index["archives"]]),
        load_tracklets(data),
        rows,
        frames=plan.clip.frames,
        height=plan.image.height,
        width=plan.image.width,
        flip=plan.clip.flip,
        erase=plan.clip.erase,
    )


def _data_files(data: Path) -> tuple[Path, ...]:
    """What names the data in MLflow."""
    return data / TRACKLETS, data / "index.json", data / "trials.json"


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    run(main)
