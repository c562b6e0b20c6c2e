"""Stage occlusion: an arm's trained networks, tested at another share of occluded frames."""

from __future__ import annotations

import pyarrow as pa

from cmmanet.evaluation.records import OcclusionResult
from cmmanet.frames.index import load_tracklets
from pipeline.parts import workspace
from pipeline.parts.command import ArmName, Level, run
from pipeline.parts.indexed_data import Dataset
from pipeline.parts.provenance import code
from pipeline.parts.run_scores import TestedRun, arm_result, each_query, score_split, summaries
from pipeline.parts.trained_network import load_trained


def main(level: Level, arm: ArmName) -> None:
    """Test each run of ARM, trained on synthetic data, on its people occluded at LEVEL.

    Writes occlusion/results/LEVEL/ARM.json, and each query into occlusion/rankings/.
    """
    with workspace.locked(workspace.lock_folder(), f"occlusion-{level}-{arm}"):
        result, queries = _tested(level, arm)
        workspace.write_table(workspace.occlusion_ranking_file(level, arm), queries)
        workspace.write_json(
            workspace.occlusion_result_file(level, arm), result.model_dump(mode="json")
        )


def _tested(level: float, arm: str) -> tuple[OcclusionResult, pa.Table]:
    evaluated = code()
    data = _occluded(level)
    index = workspace.read_json(data.folder / "index.json", f"occluded {level}")
    store, split = data.open_frames(), data.trials["splits"][0]
    rows = sorted({*split["query"], *split["gallery"]})
    folder = workspace.run_folder("synthetic", arm)
    run_folders = sorted(folder.glob("trial-*"))
    if not run_folders:
        raise FileNotFoundError(f"{folder}: no trials; run the stage train synthetic {arm} first")
    runs, queries = [], []
    for run_folder in run_folders:
        trained = load_trained(run_folder)
        title = f"{arm} {run_folder.name} at {level:.0%} occlusion"
        embeddings, used = trained.embed(store, data.tracklets, rows, title)
        scores = score_split(embeddings.features, rows, data.tracklets, split, None)
        runs.append(TestedRun(trained.record, used, 0, summaries(scores)))
        queries.append(each_query(trained.record["trial"], split, data.tracklets, scores))
        dense = runs[-1].metrics["cosine.dense"]
        print(f"{title}: rank-1 {dense['rank1']:.1%}, mAP {dense['map']:.1%} (cosine.dense)")
    result = arm_result(
        OcclusionResult,
        runs,
        data.trials,
        data.tracklets,
        dataset="synthetic",
        partial=False,
        reranking=None,
        evaluation=evaluated,
        level=level,
        frames=index["frames"],
        occluded=index["occluded"],
    )
    return result, pa.concat_tables(queries)


def _occluded(level: float) -> Dataset:
    folder = workspace.occluded_folder(level)
    frames = workspace.read_json(folder / "frames.json", f"occluded {level}")
    trials = workspace.read_json(folder / "trials.json", f"occluded {level}")
    return Dataset(folder, frames, trials, load_tracklets(folder))


if __name__ == "__main__":
    run(main)
