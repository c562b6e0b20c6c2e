"""Stage split: the training, query and gallery tracklets of each trial."""

from __future__ import annotations

from cmmanet.datasets import mars
from cmmanet.frames.index import load_tracklets
from cmmanet.params import SplitPlan
from pipeline import workspace
from pipeline.command import DatasetName, run


def main(dataset: DatasetName) -> None:
    """Write DATASET's trials.json: tracklet rows by split, and the split of each trial.

    The splits of MARS and of synthetic data are fixed, so that all their trials share one
    and differ in the training seed.
    """
    plan = workspace.read_plan(SplitPlan, f"{dataset}/split.json")
    data = workspace.data_folder(dataset)
    rows = mars.split(load_tracklets(data))
    trials = {"protocol": "mars", "splits": [rows], "trials": [0] * plan.trials}
    workspace.write_json(data / "trials.json", trials)
    print(
        f"{dataset}: {plan.trials} trials; {len(rows['train']):,} training tracklets, "
        f"{len(rows['query']):,} queries, {len(rows['gallery']):,} in the gallery"
    )


if __name__ == "__main__":
    run(main)
