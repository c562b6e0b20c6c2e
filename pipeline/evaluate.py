"""Stage evaluate: rank the gallery for every query and score it."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from cmmanet.datasets.tracklets import Tracklets
from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.ranking import rank
from cmmanet.frames.index import load_tracklets
from cmmanet.params import TEST_FRAMES, EvaluatePlan
from pipeline import workspace
from pipeline.command import ArmName, DatasetName, run
from pipeline.provenance import code
from pipeline.tracking import Tracker


def main(dataset: DatasetName, arm: ArmName) -> None:
    """Score ARM on DATASET, both test-frame modes and AP definitions, into results/."""
    plan = workspace.read_plan(EvaluatePlan, "evaluate.json")
    data = workspace.data_folder(dataset)
    trials = workspace.read_json(data / "trials.json", f"split {dataset}")
    index = workspace.read_json(data / "index.json", f"index {dataset}")
    tracklets = load_tracklets(data)
    tracker = Tracker()
    records, scored, embedded = [], [], []
    for trial, split in enumerate(trials["trials"]):
        name = workspace.trial_name(trial)
        record = workspace.read_json(
            workspace.run_folder(dataset, arm) / name / "run.json", f"train {dataset} {arm}"
        )
        embeddings = workspace.embedding_folder(dataset, arm) / f"{name}.safetensors"
        metrics = _score(embeddings, tracklets, trials["splits"][split], plan)
        records.append(record)
        embedded.append(_embedded_on(embeddings))
        scored.append(
            {
                "trial": trial,
                "split": split,
                "seed": record["seed"],
                "mlflow_run": record["mlflow_run"],
                "iterations": record["iterations"],
                "train_seconds": record["train_seconds"],
                # None where training did not record them.
                "warnings": record.get("warnings"),
                "metrics": metrics,
            }
        )
    mean = _over_trials(scored, statistics.fmean)
    std = _over_trials(scored, statistics.stdev) if len(scored) > 1 else None
    config = records[0]["config"]
    result = {
        "dataset": dataset,
        "arm": arm,
        "variant": config["variant"],
        "sampler": config["sampler"],
        "partial": index["partial"],
        "data": _data(index, tracklets, trials["splits"][0]),
        "protocol": _protocol(trials, tracklets, plan),
        "recipe": config["recipe"],
        "config": config,
        "trials": scored,
        "mean": mean,
        "std": std,
        "mlflow_run": records[0]["mlflow_arm_run"],
        "environment": records[0]["environment"],
        "embedding": embedded[0],
        "evaluation": code(),
    }
    workspace.write_json(workspace.result_file(dataset, arm), result)
    for trial_result in scored:
        values = _named(plan.distance, trial_result["metrics"])
        tracker.metrics(trial_result["mlflow_run"], values)
    tracker.metrics(result["mlflow_run"], _named(plan.distance, mean))
    if std is not None:
        tracker.metrics(result["mlflow_run"], _named(plan.distance, std, "_std"))
    dense = mean["dense"]
    print(f"{dataset} {arm}: rank-1 {dense['rank1']:.1%}, mAP {dense['map']:.1%} (dense)")


def _score(
    path: Path, tracklets: Tracklets, split: dict[str, list[int]], plan: EvaluatePlan
) -> dict[str, dict[str, float | int]]:
    try:
        embeddings = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path}: no embeddings ({error}); run the stage embed") from None
    rows = embeddings["tracklet"]
    place = {int(row): position for position, row in enumerate(rows)}
    lost = [row for row in split["query"] + split["gallery"] if row not in place]
    if lost:
        raise ValueError(f"{path}: of another split: tracklet {lost[0]} is not in it; embed again")
    query = [place[row] for row in split["query"]]
    gallery = [place[row] for row in split["gallery"]]
    pid, camera = torch.tensor(tracklets.pid), torch.tensor(tracklets.camera)
    scores: dict[str, dict[str, float | int]] = {
        mode: rank(
            embeddings[mode][query],
            embeddings[mode][gallery],
            query_ids=pid[split["query"]],
            gallery_ids=pid[split["gallery"]],
            query_cameras=camera[split["query"]],
            gallery_cameras=camera[split["gallery"]],
            distance=plan.distance,
        ).summary()
        for mode in TEST_FRAMES
    }
    if not scores["dense"]["valid"]:
        raise ValueError(
            f"{path}: none of the {len(query):,} queries has a right answer in the gallery: a part "
            "of the dataset that holds no person in two cameras cannot be scored"
        )
    return scores


def _embedded_on(path: Path) -> Any:
    with safetensors.safe_open(path, "pt") as file:
        return json.loads(file.metadata()["environment"])


def _over_trials(scored: list[dict[str, Any]], reduce: Any) -> dict[str, dict[str, float]]:
    return {
        mode: {
            metric: reduce([trial["metrics"][mode][metric] for trial in scored])
            for metric in METRICS
        }
        for mode in TEST_FRAMES
    }


def _named(
    distance: str, metrics: dict[str, dict[str, float]], suffix: str = ""
) -> dict[str, float]:
    """Metrics by names that say how they were measured: cosine.dense.rank1.

    An experiment that measures the same weights otherwise must not overwrite these.
    """
    return {
        f"{distance}.{mode}.{metric}{suffix}": value
        for mode, values in metrics.items()
        for metric, value in values.items()
    }


def _data(
    index: dict[str, Any], tracklets: Tracklets, split: dict[str, list[int]]
) -> dict[str, int | None]:
    """How much data there was; of several splits the first one's."""
    train, test = split["train"], sorted({*split["query"], *split["gallery"]})
    return {
        "train_identities": len(set(tracklets.pid[train].tolist())),
        "train_tracklets": len(train),
        "train_frames": int(tracklets.length[train].sum()),
        "test_tracklets": len(test),
        "test_frames": int(tracklets.length[test].sum()),
        "found_frames": index["found_frames"],
        "official_frames": index["official_frames"],
    }


def _protocol(
    trials: dict[str, Any], tracklets: Tracklets, plan: EvaluatePlan
) -> dict[str, str | int]:
    split = trials["splits"][0]
    pid = tracklets.pid[split["gallery"]]
    return {
        "name": trials["protocol"],
        "splits": trials["source"],
        "query": len(split["query"]),
        "gallery": len(split["gallery"]),
        "distractors": int((pid == 0).sum()),
        "junk": int((pid == -1).sum()),
        "distance": plan.distance,
    }


if __name__ == "__main__":
    run(main)
