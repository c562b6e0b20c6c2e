"""Warnings about a run, from its history."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmmanet.params import ArmPlan
from cmmanet.training.diagnosis import diagnose
from pipeline.parts import workspace


def run_warnings(folder: Path, record: Mapping[str, Any]) -> dict[str, str]:
    """Return the first warning of each kind about the run in `folder`, by its record.

    Training shows the same while it runs, and does not record it: a changed threshold needs no
    other training.
    """
    plan = ArmPlan.model_validate(record["config"])
    warnings: dict[str, str] = {}
    with (folder / workspace.HISTORY).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            epoch = {name: float(value) for name, value in row.items()}
            warnings = diagnose(plan, epoch, record["identities"]) | warnings
    return warnings
