"""Stage cross: an arm trained on one dataset, tested on another."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cmmanet.evaluation.records import CrossResult, Scorings, over_runs
from cmmanet.frames.archive import hash_file
from cmmanet.params import EvaluatePlan
from pipeline.parts import workspace
from pipeline.parts.command import ArmName, DatasetName, run
from pipeline.parts.dependencies import code_of
from pipeline.parts.indexed_data import open_dataset
from pipeline.parts.provenance import code
from pipeline.parts.run_scores import TestedRun, arm_result, reranking_of, score_split, summaries
from pipeline.parts.trained_network import load_trained


def main(source: DatasetName, arm: ArmName, target: DatasetName) -> None:
    """Test each run of ARM, trained on SOURCE, on every split of TARGET.

    Writes cross/SOURCE/TARGET/ARM.json. The numbers of a run are means over TARGET's splits: it
    was trained on none of their people. Run again after an interruption, finished runs are not
    tested again.
    """
    name = f"cross-{source}-{target}-{arm}"
    with workspace.locked(workspace.lock_folder(), name):
        finished = workspace.unfinished_folder(name)
        result = _crossed(source, arm, target, finished)
        workspace.write_json(
            workspace.cross_file(source, target, arm), result.model_dump(mode="json")
        )
        shutil.rmtree(finished, ignore_errors=True)


def _crossed(source: str, arm: str, target: str, finished: Path) -> CrossResult:
    evaluated = code()
    plan = workspace.read_plan(EvaluatePlan, "evaluate.json")
    opened = open_dataset(target)
    trials, tracklets, store = opened.trials, opened.tracklets, opened.open_frames()
    splits = [trials["splits"][number] for number in dict.fromkeys(trials["trials"])]
    rows = sorted({row for split in splits for row in (*split["query"], *split["gallery"])})
    index, trained_on = (
        workspace.read_json(workspace.data_folder(name) / "index.json", f"index {name}")
        for name in (target, source)
    )
    folder = workspace.run_folder(source, arm)
    run_folders = sorted(folder.glob("trial-*"))
    if not run_folders:
        raise FileNotFoundError(f"{folder}: no trials; run the stage train {source} {arm} first")
    common = {
        "data": [hash_file(opened.folder / name) for name in ("frames.json", "trials.json")],
        "plan": plan.model_dump(mode="json"),
        "code": code_of("pipeline.studies.cross"),
    }
    runs = []
    for run_folder in run_folders:
        trained = load_trained(run_folder)
        title = f"{source} {arm} {run_folder.name} on {target}"
        file = finished / f"{run_folder.name}.json"
        inputs = {"weights": trained.fingerprint, **common}
        content = _read_finished(file, inputs)
        if content is None:
            embeddings, used = trained.embed(store, tracklets, rows, title)
            each = [
                summaries(
                    score_split(embeddings.features, rows, tracklets, split, reranking_of(plan))
                )
                for split in splits
            ]
            content = {"inputs": inputs, "embedding": used, "metrics": _over_splits(each)}
            workspace.write_json(file, content)
        runs.append(TestedRun(trained.record, content["embedding"], None, content["metrics"]))
        dense = runs[-1].metrics["cosine.dense"]
        print(f"{title}: rank-1 {dense['rank1']:.1%}, mAP {dense['map']:.1%} (cosine.dense)")
    return arm_result(
        CrossResult,
        runs,
        trials,
        tracklets,
        dataset=target,
        partial=index["partial"],
        reranking=reranking_of(plan),
        evaluation=evaluated,
        source=source,
        source_partial=trained_on["partial"],
        splits=len(splits),
    )


def _read_finished(file: Path, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the scores of a run that an interrupted stage has left, if they are of `inputs`."""
    if not file.is_file():
        return None
    content: dict[str, Any] = workspace.read_json(file, "cross")
    return content if content["inputs"] == inputs else None


def _over_splits(splits: Sequence[Scorings]) -> Scorings:
    """Return means over splits, with the counts of the split that dropped the most queries."""
    means: Scorings = {**over_runs(splits)}
    for scoring, values in means.items():
        each = [split[scoring] for split in splits]
        worst = max(each, key=lambda metrics: metrics["queries"] - metrics["valid"])
        means[scoring] = {**values, "queries": worst["queries"], "valid": worst["valid"]}
    return means


if __name__ == "__main__":
    run(main)
