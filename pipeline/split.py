"""Stage split: the training, query and gallery tracklets of each trial."""

from __future__ import annotations

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.frames.index import load_tracklets
from cmmanet.params import SplitPlan
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run


def main(dataset: DatasetName) -> None:
    """Write DATASET's trials.json: tracklet rows by split, and the split of each trial.

    MARS and synthetic data have one split: their trials share it and differ in the training seed.
    The others have ten: trial t is split t, trained with its own seed.
    """
    plan = workspace.read_plan(SplitPlan, f"{dataset}/split.json")
    data = workspace.data_folder(dataset)
    manifest = workspace.read_json(data / "manifest.json", f"fetch {dataset}")
    trials = DATASETS[dataset].trials(
        load_tracklets(data),
        workspace.raw_folder() / manifest["folder"],
        count=plan.trials,
        test_half=plan.test_half,
    )
    workspace.write_json(data / "trials.json", trials)
    rows = trials["splits"][0]
    print(
        f"{dataset}: {plan.trials} trials on {len(trials['splits'])} splits of {trials['source']}; "
        f"the first: {len(rows['train']):,} training tracklets, {len(rows['query']):,} queries, "
        f"{len(rows['gallery']):,} in the gallery"
    )


if __name__ == "__main__":
    run(main)
