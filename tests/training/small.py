"""Small trainings: the demo recipe on the few frames of the fixture's MARS."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from cmmanet.clips.dataset import ClipDataset
from cmmanet.frames.index import load_tracklets, open_store
from cmmanet.geometry import View
from cmmanet.params import ArmPlan, Params, resolve_arm
from cmmanet.params.recipe import Clip
from cmmanet.training.build import build_network
from cmmanet.training.logbook import Listener
from cmmanet.training.loop import SAVE_EVERY, Trained, train
from cmmanet.training.processes import Processes


def plan_of(
    arm: str = "cmmanet-random_interval", *, sampling: Mapping[str, str] = {}, **changes: Any
) -> ArmPlan:
    """The plan of an arm, with changes such as `optimiser__lr=1.0`, or of its sampling."""
    content = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    demo = content["recipes"]["demo"]
    demo["image"] = {"height": 64, "width": 32}
    demo["batch"] = {"identities": 2, "clips": 2}
    demo["model"] |= {"submodules": 2, "hidden": 8}
    demo["schedule"] = {"iterations": 5, "warmup": 0, "milestones": [2]}
    # Not the demo's, which may be another tomorrow.
    demo["optimiser"]["lr"] = 0.002
    demo["losses"] |= {"diversity": 0.1, "concentration": 0.1}
    demo["precision"] = "fp32"
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if key:
            demo[section][key] = value
        else:
            demo[section] = value
    content["samplers"]["random_interval"] |= sampling
    return resolve_arm(Params.model_validate(content), "synthetic", arm)


def open_clips(data: Path, *, repeat: int = 1, erase: float = 0.0) -> ClipDataset:
    """The training clips of an index, each tracklet `repeat` times: four tracklets are few."""
    tracklets = load_tracklets(data)
    rows = np.repeat(np.flatnonzero(tracklets.role == "train"), repeat)
    parts = [Path(line) for line in (data / "archives").read_text().splitlines()]
    clip = Clip(frames=2, flip=True, erase=erase)
    return ClipDataset(open_store(data, parts), tracklets, rows, clip, View(64, 32))


def listening(**heard: Any) -> Listener:
    """A listener that prints what is said, and of the rest hears what it is given an ear for."""
    deaf = dict.fromkeys(("begin", "look", "epoch"), lambda *_: None)
    return Listener(**{**deaf, "say": print, **heard})


def train_small(
    plan: ArmPlan,
    clips: ClipDataset,
    checkpoints: Path,
    *,
    seed: int = 0,
    workers: int = 0,
    save_every: float = SAVE_EVERY,
    **heard: Any,
) -> Trained:
    """Train a network drawn from the seed, in one process on the CPU."""
    return train(
        plan,
        build_network(plan, len(clips.identities), seed, Path()),
        clips,
        seed=seed,
        processes=Processes(torch.device("cpu")),
        workers=workers,
        checkpoints=checkpoints,
        save_every=save_every,
        listener=listening(**heard),
    )


def run_script(script: str, *arguments: object, launcher: Sequence[str] = ()) -> str:
    """What a script beside this file prints; it must succeed."""
    here = Path(__file__).parent
    paths = os.pathsep.join(str(here.parents[1] / name) for name in ("src", "tests"))
    done = subprocess.run(
        [sys.executable, *launcher, str(here / script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
