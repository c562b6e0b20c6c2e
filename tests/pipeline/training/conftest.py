"""Runs of a few tracklets of MARS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import index_mars
from training.small import plan_of

from cmmanet.frames.index import load_tracklets
from pipeline.parts.indexed_data import Dataset
from pipeline.training.run import Run, arm_runs


@pytest.fixture
def make_run(
    write_mars: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """Makes a run of an arm: `make_run(trial, **changes of the plan)`."""
    monkeypatch.setenv("CMMANET_DATA", str(tmp_path))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    root, folder = write_mars(), tmp_path / "index"
    parts = index_mars(root, folder)
    frames = {
        "folder": "mars",
        "archives": {part.name: f"sha256 of {part.name}" for part in parts},
    }
    (folder / "training.json").write_text("{}")
    (folder / "index.json").write_text('{"partial": false}')
    tracklets = load_tracklets(folder)
    train = [row for row, role in enumerate(tracklets.role) if role == "train"]
    split = {"train": train, "query": [], "gallery": []}
    trials: Any = {"splits": [split, {**split, "train": train[:3]}], "trials": [0, 0, 0]}

    def make(trial: int = 0, arm: str = "baseline", **changes: Any) -> Run:
        return arm_runs(plan_of(arm, **changes), Dataset(folder, frames, trials, tracklets))[trial]

    return make
