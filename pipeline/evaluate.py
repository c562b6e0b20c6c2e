"""Stage evaluate: rank the gallery for every query and score it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from cmmanet.datasets.tracklets import Split, Tracklets
from cmmanet.evaluation.records import Data, EvaluateResult, Scorings
from cmmanet.frames.archive import hash_file
from cmmanet.params import EvaluatePlan
from pipeline.parts import workspace
from pipeline.parts.command import ArmName, DatasetName, run
from pipeline.parts.embeddings import read_embeddings, source_of
from pipeline.parts.indexed_data import open_dataset
from pipeline.parts.provenance import code
from pipeline.parts.run_scores import (
    TestedRun,
    arm_result,
    each_query,
    reranking_of,
    score_split,
    summaries,
)
from pipeline.parts.run_warnings import run_warnings
from pipeline.parts.tracking import Tracker


def main(dataset: DatasetName, arm: ArmName) -> None:
    """Score ARM on DATASET: results/DATASET/ARM.json, and each query in rankings/."""
    evaluated = code()
    plan = workspace.read_plan(EvaluatePlan, "evaluate.json")
    reranking = reranking_of(plan)
    opened = open_dataset(dataset)
    index = workspace.read_json(opened.folder / "index.json", f"index {dataset}")
    trials, tracklets = opened.trials, opened.tracklets
    tracker = Tracker(required=False)
    runs, queries = [], []
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
        warnings = run_warnings(run_folder, record)
        runs.append(TestedRun(record, stored.environment, number, summaries(scores), warnings))
        queries.append(each_query(trial, split, tracklets, scores))
    result = arm_result(
        EvaluateResult,
        runs,
        trials,
        tracklets,
        dataset=dataset,
        partial=index["partial"],
        reranking=reranking,
        evaluation=evaluated,
        data=_data(index, tracklets, trials["splits"][0]),
        mlflow_run=runs[0].record["mlflow_arm_run"],
    )
    workspace.write_table(workspace.ranking_file(dataset, arm), pa.concat_tables(queries))
    workspace.write_json(workspace.result_file(dataset, arm), result.model_dump(mode="json"))
    for run_result in result.trials:
        tracker.metrics(run_result.mlflow_run, _named(run_result.metrics))
    tracker.metrics(result.mlflow_run, _named(result.mean))
    if result.std is not None:
        tracker.metrics(result.mlflow_run, _named(result.std, "_std"))
    dense = result.mean["cosine.dense"]
    print(
        f"{dataset} {arm}: rank-1 {dense['rank1']:.1%}, mAP {dense['map']:.1%} (cosine.dense, one "
        f"of {len(result.mean)} scorings)"
    )


def _named(metrics: Scorings, suffix: str = "") -> dict[str, float]:
    """Return metrics by names that include the scoring: cosine.dense.rank1."""
    return {
        f"{scoring}.{metric}{suffix}": value
        for scoring, values in metrics.items()
        for metric, value in values.items()
    }


def _data(index: dict[str, Any], tracklets: Tracklets, split: Split) -> Data:
    train, test = split["train"], sorted({*split["query"], *split["gallery"]})
    return Data(
        train_identities=len(set(tracklets.pid[train].tolist())),
        train_tracklets=len(train),
        train_frames=int(tracklets.length[train].sum()),
        test_tracklets=len(test),
        test_frames=int(tracklets.length[test].sum()),
        found_frames=index["found_frames"],
        official_frames=index["official_frames"],
    )


if __name__ == "__main__":
    run(main)
