"""A project whose networks were drawn and not trained: what follows training runs in seconds."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from conftest import REPOSITORY, split_matrix
from filelock import FileLock
from toy import Clone, build_toy

from cmmanet.params import ArmPlan
from cmmanet.training import device
from cmmanet.training.build import build_network
from pipeline import evaluate, fetch, index, plan, split
from pipeline.parts import workspace

ARMS = ("multi_mam", "cmmanet-random_interval")
PEOPLE = 2  # that every network has learnt to tell apart, as it were


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project, run once, for all test processes to copy."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "toy"
    shared.mkdir(exist_ok=True)
    with FileLock(shared / "lock"):
        if not (shared / "done").exists():
            build_toy(shared / "cmmanet")
            (shared / "done").touch()
    return shared


@pytest.fixture(scope="module")
def clone(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the toy project, for the tests of a file to change in turn."""
    folder = tmp_path_factory.mktemp("clone") / "cmmanet"
    shutil.copytree(toy / "cmmanet", folder, symlinks=True)
    return Clone(folder, first_output=(toy / "first.log").read_text())


@pytest.fixture
def project(
    write_mars: Callable[..., Path],
    write_two_camera: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The working directory: a few people of MARS and iLIDS-VID, split; nothing is trained."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("CMMANET_DATA", str(tmp_path / "raw"))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(device, "default_workers", lambda: 0)
    write_mars(folder="raw/mars")
    write_two_camera(
        "ilids-vid",
        {(pid, camera): pid % 3 + camera for pid in range(1, 7) for camera in (1, 2)},
        folder="raw/ilids-vid",
        matrix=split_matrix([[1, 2, 3, 4], *[[3, 4, 5, 6]] * 9]),
    )
    (work / "params.yaml").write_text(yaml.safe_dump(_params(), sort_keys=False))
    plan.main()
    for dataset in ("mars", "ilids-vid"):
        for stage in (fetch, index, split):
            stage.main(dataset)
    return work


@pytest.fixture
def draw_runs() -> Callable[[str, str, Sequence[int]], None]:
    """Writes the run folder of each trial of an arm: the network as its seed draws it."""
    return _draw_runs


def _draw_runs(dataset: str, arm: str, seeds: Sequence[int]) -> None:
    """Write the run folder of each trial: the network as its seed draws it."""
    config = workspace.read_plan(ArmPlan, f"{dataset}/{arm}.json")
    for trial, seed in enumerate(seeds):
        folder = workspace.run_folder(dataset, arm) / workspace.trial_name(trial)
        folder.mkdir(parents=True, exist_ok=True)
        network = build_network(config, PEOPLE, seed, Path())
        safetensors.torch.save_file(network.state_dict(), folder / workspace.WEIGHTS)
        record = {
            "dataset": dataset,
            "arm": arm,
            "trial": trial,
            "mlflow_arm_run": "arm",
            "mlflow_run": f"trial {trial}",
            "seed": seed,
            "iterations": 0,
            "train_seconds": 0.0,
            "warnings": {},
            "cost": {"parameters": 1, "multiply_adds": 2, "peak_memory": 3},
            "identities": PEOPLE,
            "config": config.model_dump(mode="json"),
            "environment": {
                "device": "CPU",
                "precision": "fp32",
                "python": "3.11",
                "torch": torch.__version__,
                "torchvision": "0",
                "commit": None,
                "dirty": None,
                "date": "2026-01-01T00:00:00+00:00",
                "processes": 1,
                "nondeterministic": [],
            },
        }
        (folder / "run.json").write_text(json.dumps(record))
        (folder / workspace.HISTORY).write_text("epoch\n")


def _params() -> dict[str, Any]:
    params: dict[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    pairs = [("mars", "ilids-vid"), ("ilids-vid", "mars")]
    params |= {
        "datasets": ["mars", "ilids-vid"],
        "arms": list(ARMS),
        "readings": {},
        "cross": [{"source": source, "target": target} for source, target in pairs],
    }
    for dataset in params["datasets"]:
        params["data"][dataset] |= {"recipe": "demo", "trials": 2, "overrides": {}}
    demo = params["recipes"]["demo"]
    demo["image"] = {"height": 64, "width": 32}
    demo["model"] |= {"submodules": 2, "hidden": 8}
    demo["precision"] = "fp32"
    return params


class Tracked(dict[str, dict[str, float]]):
    """Metrics by MLflow run."""

    def metrics(self, run: str, values: dict[str, float]) -> None:
        self.setdefault(run, {}).update(values)


@pytest.fixture
def untracked(monkeypatch: pytest.MonkeyPatch) -> Tracked:
    """What evaluation gives to MLflow, which is not there: it takes seconds to start."""
    tracked = Tracked()
    monkeypatch.setattr(evaluate, "Tracker", lambda **_: tracked)
    return tracked
