"""Stage occlusion: an arm's trained networks, tested at another share of occluded frames."""

from __future__ import annotations

import statistics
from typing import Any

import pyarrow as pa

from cmmanet.frames.index import load_tracklets
from pipeline.parts import workspace
from pipeline.parts.command import ArmName, Level, run
from pipeline.parts.dataset import Dataset
from pipeline.parts.provenance import code
from pipeline.parts.run_warnings import run_warnings
from pipeline.parts.scores import each_query, over_trials, protocol, score_split
from pipeline.parts.trained import load_trained


def main(level: Level, arm: ArmName) -> None:
    """Test each trial of ARM, trained on synthetic data, on its people occluded at LEVEL.

    Writes occlusion/results/LEVEL/ARM.json, and each query into occlusion/rankings/.
    """
    with workspace.locked(workspace.lock_folder(), f"occlusion-{level}-{arm}", wait=False):
        result, queries = _tested(level, arm)
        workspace.write_table(workspace.occlusion_ranking_file(level, arm), queries)
        workspace.write_json(workspace.occlusion_result_file(level, arm), result)


def _tested(level: float, arm: str) -> tuple[dict[str, Any], pa.Table]:
    evaluated = code()
    data = _occluded(level)
    store, split = data.open_frames(), data.trials["splits"][0]
    rows = sorted({*split["query"], *split["gallery"]})
    folder = workspace.run_folder("synthetic", arm)
    runs = sorted(folder.glob("trial-*"))
    if not runs:
        raise FileNotFoundError(f"{folder}: no trials; run the stage train synthetic {arm} first")
    scored: list[dict[str, Any]] = []
    queries = []
    for run_folder in runs:
        trained = load_trained(run_folder)
        record = trained.record
        title = f"{arm} {run_folder.name} at {level:.0%} occlusion"
        embeddings, used = trained.embed(store, data.tracklets, rows, title)
        scores = score_split(embeddings.features, rows, data.tracklets, split, None)
        queries.append(each_query(record["trial"], split, data.tracklets, scores))
        scored.append(
            {
                "trial": record["trial"],
                "seed": record["seed"],
                "iterations": record["iterations"],
                "warnings": run_warnings(run_folder, record["config"]),
                "metrics": {str(scoring): ranking.summary() for scoring, ranking in scores.items()},
            }
        )
        dense = scored[-1]["metrics"]["cosine.dense"]
        print(f"{title}: rank-1 {dense['rank1']:.1%}, mAP {dense['map']:.1%} (cosine.dense)")
    metrics = [trial["metrics"] for trial in scored]
    result = {
        "dataset": "synthetic",
        "arm": arm,
        "level": level,
        "frames": data.index["frames"],
        "occluded": data.index["occluded"],
        "partial": False,
        "protocol": protocol(data.trials, data.tracklets),
        "recipe": record["config"]["recipe"],
        "config": record["config"],
        "trials": scored,
        "mean": over_trials(metrics),
        "std": over_trials(metrics, statistics.stdev) if len(scored) > 1 else None,
        "environment": record["environment"],
        "embedding": used,
        "evaluation": evaluated,
    }
    return result, pa.concat_tables(queries)


def _occluded(level: float) -> Dataset:
    folder = workspace.occluded_folder(level)
    index = workspace.read_json(folder / "index.json", f"occluded {level}")
    trials = workspace.read_json(folder / "trials.json", f"occluded {level}")
    return Dataset(folder, index, trials, load_tracklets(folder))


if __name__ == "__main__":
    run(main)
