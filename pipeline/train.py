"""Stage train: every trial of one arm."""

from __future__ import annotations

import csv
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cmmanet.clips.batches import short_tracklets
from cmmanet.clips.dataset import ClipDataset
from cmmanet.frames.index import FRAMES, TRACKLETS, load_tracklets, open_store
from cmmanet.params import ArmPlan
from cmmanet.reporting.pictures import contact_sheet
from cmmanet.training.build import build_network
from cmmanet.training.device import (
    choose_device,
    choose_precision,
    default_workers,
    describe_device,
    precision_name,
)
from cmmanet.training.loop import OnIteration, plan_epoch, train
from pipeline import workspace
from pipeline.command import ArmName, DatasetName, run
from pipeline.provenance import environment
from pipeline.tracking import Tracker

Workers = Annotated[
    int | None, typer.Option(min=0, help="processes that decode frames; changes no number")
]

# Clips of the first batch that the picture beside each trial's weights shows.
SHOWN_CLIPS = 16
PICTURE = "clips.png"


def main(dataset: DatasetName, arm: ArmName, workers: Workers = None) -> None:
    """Train each trial of ARM on DATASET and write runs/DATASET/ARM/trial-NN/."""
    plan = workspace.read_plan(ArmPlan, f"{dataset}/{arm}.json")
    data = workspace.data_folder(dataset)
    trials = workspace.read_json(data / "trials.json", f"split {dataset}")
    index = workspace.read_json(data / "index.json", f"index {dataset}")
    with workspace.locked(workspace.lock_folder(), f"train-{dataset}-{arm}", wait=False):
        clips = [
            _clips(plan, data, index, trials["splits"][split]["train"])
            for split in trials["trials"]
        ]
        tracker = Tracker()
        folder = workspace.run_folder(dataset, arm)
        shutil.rmtree(folder, ignore_errors=True)
        source = {
            "name": dataset,
            "digest": _digest(data / TRACKLETS, data / "index.json", data / "trials.json"),
            "source": (data / FRAMES).as_posix(),
        }
        place = {"dataset": dataset, "arm": arm, "folder": str(folder.resolve())}
        tracker.end_abandoned(place)
        tags = {**place, "partial": str(index["partial"]).lower()}
        config = plan.model_dump(mode="json")
        name = f"{dataset} {arm}"
        with tracker.run(name, parent=None, params=config, tags=tags, dataset=source) as arm_run:
            for trial, trial_clips in enumerate(clips):
                with tracker.run(
                    f"{name} {workspace.trial_name(trial)}",
                    parent=arm_run,
                    params={**config, "trial": trial, "trial_seed": plan.seed + trial},
                    tags=tags,
                    dataset=source,
                ) as trial_run:
                    record = {
                        "dataset": dataset,
                        "arm": arm,
                        "trial": trial,
                        "mlflow_arm_run": arm_run,
                        "mlflow_run": trial_run,
                    }
                    _train_trial(plan, trial_clips, record, folder, tracker, workers)


def _train_trial(
    plan: ArmPlan,
    clips: ClipDataset,
    record: dict[str, Any],
    folder: Path,
    tracker: Tracker,
    workers: int | None,
) -> None:
    """Train one trial into a temporary folder that gets its name when it is whole."""
    name = workspace.trial_name(record["trial"])
    partial = folder / f".{name}"
    partial.mkdir(parents=True)
    try:
        _train_into(partial, plan, clips, record, tracker, workers)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(folder / name)
    for file in ("history.csv", PICTURE):
        if (folder / name / file).is_file():
            tracker.artifact(record["mlflow_run"], folder / name / file)


def _train_into(
    folder: Path,
    plan: ArmPlan,
    clips: ClipDataset,
    record: dict[str, Any],
    tracker: Tracker,
    workers: int | None,
) -> None:
    device = choose_device()
    precision = choose_precision(plan.precision, device)
    used = environment(describe_device(device), precision_name(precision))
    seed = plan.seed + int(record["trial"])
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
    network = build_network(plan, len(clips.identities), seed, workspace.root())

    history: list[dict[str, float]] = []
    started = time.perf_counter()
    with _watched(title, plan.schedule.iterations) as (on_iteration, say):

        def on_epoch(epoch: dict[str, float]) -> None:
            history.append(epoch)
            say(_epoch_line(title, plan, epoch))
            tracker.metrics(record["mlflow_run"], epoch, step=int(epoch["iterations"]))

        network = train(
            plan,
            network,
            clips,
            seed=seed,
            device=device,
            workers=default_workers() if workers is None else workers,
            on_epoch=on_epoch,
            on_iteration=on_iteration,
        )
    content = {
        **record,
        "seed": seed,
        "iterations": plan.schedule.iterations,
        "train_seconds": round(time.perf_counter() - started, 1),
        "identities": len(clips.identities),
        "tracklets": len(clips),
        "short_tracklets": short,
        "config": plan.model_dump(mode="json"),
        "environment": used,
    }
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    try:
        safetensors.torch.save_file(weights, folder / "weights.safetensors")
    except safetensors.SafetensorError as error:
        raise OSError(f"{folder}: weights not written: {error}") from None
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    workspace.write_json(folder / "run.json", content)


@contextmanager
def _watched(title: str, iterations: int) -> Iterator[tuple[OnIteration, Callable[[str], None]]]:
    """A progress bar on a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    with Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=iterations, loss="...")

        def on_iteration(done: int, loss: float | None) -> None:
            if loss is None:
                progress.update(task, completed=done)
            else:
                progress.update(task, completed=done, loss=f"{loss:.3f}")

        def say(line: str) -> None:
            # Unwrapped: what is not a terminal has no width.
            progress.console.print(line, highlight=False, soft_wrap=True)

        yield on_iteration, say


def _clips(plan: ArmPlan, data: Path, index: dict[str, Any], rows: list[int]) -> ClipDataset:
    tracklets = load_tracklets(data)
    folder = workspace.raw_folder() / index["folder"]
    return ClipDataset(
        open_store(data, [folder / name for name in index["archives"]]),
        first=tracklets.first[rows],
        length=tracklets.length[rows],
        pid=tracklets.pid[rows],
        frames=plan.clip.frames,
        height=plan.image.height,
        width=plan.image.width,
        flip=plan.clip.flip,
        erase=plan.clip.erase,
    )


def _epoch_line(title: str, plan: ArmPlan, epoch: dict[str, float]) -> str:
    terms = [
        f"{name.removeprefix('loss_')} {value:.3f}"
        for name, value in epoch.items()
        if name.startswith("loss_")
    ]
    return (
        f"{title}  {int(epoch['iterations'])}/{plan.schedule.iterations}  "
        f"loss {epoch['loss']:.3f} ({', '.join(terms)})  "
        f"accuracy {epoch['accuracy']:.0%}  {epoch['frames_per_second']:.0f} frames/s"
    )


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    run(main)
