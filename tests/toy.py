"""The whole pipeline at toy size, in a clone of its own, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from conftest import REPOSITORY

ARMS = ("cmmanet-random_interval", "cmmanet-restricted")


class Clone:
    """A clone of the working tree, and commands run in it."""

    def __init__(self, folder: Path, first_output: str = "") -> None:
        self.folder = folder
        self.first_output = first_output
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CMMANET_DATA": "data/raw",
        }
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "PYTHONPATH"):
            self.environment.pop(name, None)

    def run(self, *command: str, succeeds: bool = True) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        assert (done.returncode == 0) == succeeds, done.stdout
        return done.stdout

    def stages_run(self, output: str) -> set[str]:
        return set(re.findall(r"Running stage '([^']+)'", output))

    def read(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text())

    def mlflow_runs(self) -> list:
        from mlflow import MlflowClient  # takes seconds

        client = MlflowClient(tracking_uri=f"sqlite:///{self.folder}/mlflow.db")
        experiment = client.get_experiment_by_name("cmmanet")
        return list(client.search_runs([experiment.experiment_id]))


def build_toy(folder: Path) -> None:
    """Clone the working tree into `folder` with toy parameters, and run everything once."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.split("\n")
    for file in filter(None, files):
        # Results and locks of the committed runs belong to other parameters.
        if file.startswith(("results/", "reports/")) or file.endswith("dvc.lock"):
            continue
        if (REPOSITORY / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / file, folder / file)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["arms"] = list(ARMS)
    params["readings"] = {"eq7": params["readings"]["eq7"]}
    params["data"]["synthetic"]["trials"] = 2
    params["data"]["synthetic"]["render"] |= {
        "train_identities": 5,
        "test_identities": 4,
        "distractors": 2,
        "junk": 2,
        "cameras": 2,
        "tracklets_per_camera": 1,
        "frames_min": 2,
        "frames_max": 4,
        "height": 64,
        "width": 32,
    }
    demo = params["recipes"]["demo"]
    demo["image"] = {"height": 64, "width": 32}
    demo["batch"] = {"identities": 4, "clips": 2}
    demo["model"] |= {"submodules": 2, "hidden": 8}
    demo["schedule"] |= {"iterations": 3, "warmup": 0, "milestones": [2]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    clone = Clone(folder)
    clone.run("git", "init", "-q", "-b", "main")
    clone.run("git", "config", "user.name", "test")
    clone.run("git", "config", "user.email", "test@example.invalid")
    clone.run("git", "add", ".")
    clone.run("git", "commit", "-qm", "toy")
    (folder.parent / "first.log").write_text(clone.run("dvc", "repro"))


def wait_for(condition: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
