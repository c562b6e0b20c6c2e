"""Stage claims: the paper's claims about attention, judged by the attention measured."""

from __future__ import annotations

import pandas as pd

from cmmanet.evaluation.attention.claim_verdicts import judge_claims
from cmmanet.params import PAPER_ARM, ClaimsPlan
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run
from pipeline.parts.contrasts import identity_ratio


def main(dataset: DatasetName) -> None:
    """Judge the paper's claims about attention on DATASET, into claims/DATASET.json."""
    plan = workspace.read_plan(ClaimsPlan, f"{dataset}/claims.json")
    steps = [("single_mam", "single_mam_con"), ("multi_mam", PAPER_ARM)]
    judged = judge_claims(
        {arm: _table(dataset, arm) for arm in plan.arms},
        steps,
        concentrated=plan.concentrated,
        test_to_train=identity_ratio(dataset),
    )
    workspace.write_json(workspace.claims_file(dataset), {"dataset": dataset, **judged})
    verdicts = pd.Series([claim["verdict"] for claim in judged["claims"]], dtype=str)
    counts = ", ".join(f"{count} {word}" for word, count in verdicts.value_counts().items())
    print(f"{dataset}: {len(verdicts)} comparisons ({counts})")


def _table(dataset: str, arm: str) -> pd.DataFrame:
    path = workspace.attention_file(dataset, arm)
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: not there; run the stage attention {dataset} {arm} first"
        ) from None


if __name__ == "__main__":
    run(main)
