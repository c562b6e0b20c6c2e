"""Results and comparisons, as stages have written them."""

from __future__ import annotations

from cmmanet.evaluation.records import EvaluateResult
from cmmanet.params import READING
from pipeline.parts import workspace


def read_result(dataset: str, arm: str) -> EvaluateResult:
    """Read results/DATASET/ARM.json.

    Raises:
        FileNotFoundError, ValueError: as `workspace.read_record`.
    """
    study = "studies/ambiguity/dvc.yaml:" if arm.startswith(READING) else ""
    path = workspace.result_file(dataset, arm)
    return workspace.read_record(EvaluateResult, path, f"{study}evaluate@{dataset}-{arm}")
