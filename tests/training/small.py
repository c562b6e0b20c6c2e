"""Small trainings: the demo recipe on the few frames of the fixture's MARS."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cmmanet.clips.dataset import ClipDataset
from cmmanet.frames.index import load_tracklets, open_store
from cmmanet.params import ArmPlan, Params, resolve_arm


def plan_of(arm: str = "cmmanet-random_interval", **changes: Any) -> ArmPlan:
    """The plan of an arm, with changes such as `optimiser__lr=1.0`."""
    content = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    demo = content["recipes"]["demo"]
    demo["image"] = {"height": 64, "width": 32}
    demo["batch"] = {"identities": 2, "clips": 2}
    demo["model"] |= {"submodules": 2, "hidden": 8}
    demo["schedule"] = {"iterations": 5, "warmup": 0, "milestones": [2]}
    demo["precision"] = "fp32"
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if key:
            demo[section][key] = value
        else:
            demo[section] = value
    return resolve_arm(Params.model_validate(content), "synthetic", arm)


def open_clips(data: Path, *, repeat: int = 1, erase: float = 0.0) -> ClipDataset:
    """The training clips of an index, each tracklet `repeat` times: four tracklets are few."""
    tracklets = load_tracklets(data)
    rows = np.repeat(np.flatnonzero(tracklets.role == "train"), repeat)
    parts = [Path(line) for line in (data / "archives").read_text().splitlines()]
    return ClipDataset(
        open_store(data, parts),
        first=tracklets.first[rows],
        length=tracklets.length[rows],
        pid=tracklets.pid[rows],
        frames=2,
        height=64,
        width=32,
        flip=True,
        erase=erase,
    )
