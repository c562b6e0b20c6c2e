"""Stage curves: CMC and training curves as tables, for `dvc plots` and the figures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cmmanet.evaluation.cmc import cmc_over_trials
from cmmanet.evaluation.metrics import Scoring
from cmmanet.params import ReportPlan
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run
from pipeline.parts.query_tables import read_queries

RANKS = 50  # at most; a gallery may be smaller


def main(dataset: DatasetName) -> None:
    """Write curves/DATASET/cmc.csv and training.csv of the report's arms."""
    plan = workspace.read_plan(ReportPlan, "report.json")
    scoring = Scoring(plan.distance, plan.test_frames)
    trials = workspace.read_json(workspace.data_folder(dataset) / "trials.json", f"split {dataset}")
    ranks = min(RANKS, *(len(split["gallery"]) for split in trials["splits"]))
    cmc = pd.concat([_cmc(dataset, arm, scoring, ranks) for arm in plan.arms])
    # Texts as training wrote them: nothing is rounded on its way.
    training = pd.concat([_training(dataset, arm) for arm in plan.arms])
    folder = workspace.curve_folder(dataset)
    for name, table in (("cmc.csv", cmc), ("training.csv", training)):
        workspace.write_text(folder / name, table.to_csv(index=False, lineterminator="\n"))
    print(f"{dataset}: curves of {len(plan.arms)} arms ({scoring}) in {folder}")


def _cmc(dataset: str, arm: str, scoring: Scoring, ranks: int) -> pd.DataFrame:
    queries = read_queries(dataset, arm, scoring)
    curve = cmc_over_trials(queries, ranks)
    return pd.DataFrame({"arm": arm, "rank": np.arange(1, ranks + 1), "cmc": curve})


def _training(dataset: str, arm: str) -> pd.DataFrame:
    folder = workspace.run_folder(dataset, arm)
    histories = []
    for trial, path in enumerate(sorted(folder.glob("trial-*/history.csv"))):
        history = pd.read_csv(path, dtype=str)
        first = {"arm": arm, "trial": str(trial), "iterations": history.pop("iterations")}
        histories.append(pd.concat([pd.DataFrame(first), history], axis=1))
    if not histories:
        raise FileNotFoundError(f"{folder}: no history; run the stage train {dataset} {arm} first")
    return pd.concat(histories)


if __name__ == "__main__":
    run(main)
