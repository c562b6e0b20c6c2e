"""Stage evaluate: rank the gallery for every query and score it."""

from __future__ import annotations

import statistics
from typing import Any

import pyarrow as pa

from cmmanet.datasets.tracklets import Split, Tracklets
from cmmanet.frames.archive import hash_file
from cmmanet.params import EvaluatePlan
from pipeline.parts import workspace
from pipeline.parts.command import ArmName, DatasetName, run
from pipeline.parts.dataset import open_dataset
from pipeline.parts.embeddings import read_embeddings, source_of
from pipeline.parts.provenance import code
from pipeline.parts.run_warnings import run_warnings
from pipeline.parts.scores import each_query, over_trials, protocol, reranking_of, score_split
from pipeline.parts.tracking import Tracker


def main(dataset: DatasetName, arm: ArmName) -> None:
    """Score ARM on DATASET: results/DATASET/ARM.json, and each query in rankings/."""
    evaluated = code()
    plan = workspace.read_plan(EvaluatePlan, "evaluate.json")
    reranking = reranking_of(plan)
    opened = open_dataset(dataset)
    trials, index, tracklets = opened.trials, opened.index, opened.tracklets
    tracker = Tracker()
    records, scored, embedded, queries = [], [], [], []
    for trial, number in enumerate(trials["trials"]):
        name = workspace.trial_name(trial)
        run_folder = workspace.run_folder(dataset, arm) / name
        record = workspace.read_json(run_folder / "run.json", f"train {dataset} {arm}")
        path = workspace.embedding_folder(dataset, arm) / f"{name}.safetensors"
        source = source_of(hash_file(run_folder / workspace.WEIGHTS), opened.folder)
        stored = read_embeddings(path, source, f"embed {dataset} {arm}")
        split = trials["splits"][number]
        try:
            scores = score_split(stored.features, stored.rows, tracklets, split, reranking)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        records.append(record)
        embedded.append(stored.environment)
        queries.append(each_query(trial, split, tracklets, scores))
        scored.append(
            {
                "trial": trial,
                "split": number,
                "seed": record["seed"],
                "mlflow_run": record["mlflow_run"],
                "iterations": record["iterations"],
                "warnings": run_warnings(run_folder, record["config"]),
                "cost": _cost(record, stored.environment),
                "metrics": {str(scoring): ranking.summary() for scoring, ranking in scores.items()},
            }
        )
    metrics = [trial["metrics"] for trial in scored]
    mean = over_trials(metrics)
    std = over_trials(metrics, statistics.stdev) if len(scored) > 1 else None
    config = records[0]["config"]
    result = {
        "dataset": dataset,
        "arm": arm,
        "variant": config["variant"],
        "sampler": config["sampler"],
        "partial": index["partial"],
        "data": _data(index, tracklets, trials["splits"][0]),
        "protocol": protocol(trials, tracklets),
        "reranking": None if reranking is None else reranking._asdict(),
        "recipe": config["recipe"],
        "config": config,
        "trials": scored,
        "mean": mean,
        "std": std,
        "mlflow_run": records[0]["mlflow_arm_run"],
        "environment": records[0]["environment"],
        "embedding": embedded[0],
        "evaluation": evaluated,
    }
    workspace.write_table(workspace.ranking_file(dataset, arm), pa.concat_tables(queries))
    workspace.write_json(workspace.result_file(dataset, arm), result)
    for trial_result in scored:
        tracker.metrics(trial_result["mlflow_run"], _named(trial_result["metrics"]))
    tracker.metrics(result["mlflow_run"], _named(mean))
    if std is not None:
        tracker.metrics(result["mlflow_run"], _named(std, "_std"))
    told = mean["cosine.dense"]
    print(
        f"{dataset} {arm}: rank-1 {told['rank1']:.1%}, mAP {told['map']:.1%} (cosine.dense, one of "
        f"{len(mean)} scorings)"
    )


def _cost(record: dict[str, Any], embedding: dict[str, Any]) -> dict[str, Any]:
    """What a trial took."""
    config, embedded = record["config"], embedding["cost"]
    clips = config["batch"]["identities"] * config["batch"]["clips"]
    return {
        "parameters": record["cost"]["parameters"],
        "multiply_adds": record["cost"]["multiply_adds"],
        "train_frames": record["iterations"] * clips * config["clip"]["frames"],
        "train_seconds": record["train_seconds"],
        "train_peak_memory": record["cost"]["peak_memory"],
        "embed_frames": embedded["frames"],
        "embed_seconds": embedded["seconds"],
        "embed_peak_memory": embedded["peak_memory"],
    }


def _named(metrics: dict[str, dict[str, float]], suffix: str = "") -> dict[str, float]:
    """Metrics by names that say how they were measured: cosine.dense.rank1."""
    return {
        f"{scoring}.{metric}{suffix}": value
        for scoring, values in metrics.items()
        for metric, value in values.items()
    }


def _data(index: dict[str, Any], tracklets: Tracklets, split: Split) -> dict[str, int | None]:
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


if __name__ == "__main__":
    run(main)
