"""Stage cross: an arm trained on one dataset, tested on another."""

from __future__ import annotations

import statistics
from typing import Any

from cmmanet.params import EvaluatePlan
from pipeline.parts import workspace
from pipeline.parts.command import ArmName, DatasetName, run
from pipeline.parts.dataset import open_dataset
from pipeline.parts.provenance import code
from pipeline.parts.scores import over_trials, protocol, reranking_of, score_split
from pipeline.parts.trained import load_trained


def main(source: DatasetName, arm: ArmName, target: DatasetName) -> None:
    """Test each trial of ARM, trained on SOURCE, on every split of TARGET.

    Writes cross/SOURCE/TARGET/ARM.json. A trial's numbers are means over TARGET's splits: it
    was trained on none of their people.
    """
    with workspace.locked(workspace.lock_folder(), f"cross-{source}-{target}-{arm}", wait=False):
        result = _crossed(source, arm, target)
        workspace.write_json(workspace.cross_file(source, target, arm), result)


def _crossed(source: str, arm: str, target: str) -> dict[str, Any]:
    evaluated = code()
    plan = workspace.read_plan(EvaluatePlan, "evaluate.json")
    opened = open_dataset(target)
    trials, tracklets, store = opened.trials, opened.tracklets, opened.open_frames()
    splits = [trials["splits"][number] for number in dict.fromkeys(trials["trials"])]
    rows = sorted({row for split in splits for row in (*split["query"], *split["gallery"])})
    trained_on = workspace.read_json(
        workspace.data_folder(source) / "index.json", f"index {source}"
    )
    folder = workspace.run_folder(source, arm)
    runs = sorted(folder.glob("trial-*"))
    if not runs:
        raise FileNotFoundError(f"{folder}: no trials; run the stage train {source} {arm} first")
    scored: list[dict[str, Any]] = []
    for run_folder in runs:
        trained = load_trained(run_folder)
        title = f"{source} {arm} {run_folder.name} on {target}"
        embeddings, used = trained.embed(store, tracklets, rows, title)
        of_splits = [
            score_split(embeddings.features, rows, tracklets, split, reranking_of(plan))
            for split in splits
        ]
        summaries = [{str(s): r.summary() for s, r in scores.items()} for scores in of_splits]
        scored.append({"trial": trained.record["trial"], "metrics": _over_splits(summaries)})
        dense = scored[-1]["metrics"]["cosine.dense"]
        print(f"{title}: rank-1 {dense['rank1']:.1%}, mAP {dense['map']:.1%} (cosine.dense)")
    metrics = [trial["metrics"] for trial in scored]
    record = trained.record
    return {
        "source": source,
        "target": target,
        "arm": arm,
        "partial": opened.index["partial"],
        "source_partial": trained_on["partial"],
        "protocol": protocol(trials, tracklets),
        "splits": len(splits),
        "recipe": record["config"]["recipe"],
        "config": record["config"],
        "trials": scored,
        "mean": over_trials(metrics),
        "std": over_trials(metrics, statistics.stdev) if len(scored) > 1 else None,
        "environment": record["environment"],
        "embedding": used,
        "evaluation": evaluated,
    }


def _over_splits(splits: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over splits, with `queries` and `valid` of the one that dropped the most queries."""
    means = over_trials(splits)
    for scoring, values in means.items():
        of_splits = [split[scoring] for split in splits]
        worst = max(of_splits, key=lambda summary: summary["queries"] - summary["valid"])
        values |= {count: worst[count] for count in ("queries", "valid")}
    return means


if __name__ == "__main__":
    run(main)
