"""What the bits of a training depend on, for an interrupted one to be known again."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import cmmanet
from cmmanet.params import ArmPlan
from cmmanet.training.device import choose_precision, device_name, precision_name
from cmmanet.training.processes import Processes

_PIPELINE, _LIBRARY = Path(__file__).parents[1], Path(cmmanet.__file__).parent

# What the bits depend on beside the plan, the data and the machine: files, and folders of them.
CODE = (
    *(_PIPELINE / name for name in ("parts/dataset.py", "parts/trial.py", "train.py")),
    *(_LIBRARY / room for room in ("frames", "clips", "model", "losses.py", "training")),
)

_PACKAGES = ("torch", "torchvision", "numpy", "simplejpeg", "pillow")


def identify(plan: ArmPlan, processes: Processes, data: str) -> dict[str, Any]:
    """Everything that the bits of the arm's training depend on; `data` is a digest."""
    device = processes.device
    files = [
        file for path in CODE for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])
    ]
    return {
        "plan": plan.model_dump(mode="json"),
        "data": data,
        "code": digest(*files),
        "versions": {name: version(name) for name in _PACKAGES},
        "device": device.type,
        # Of another one the last bits differ: libraries choose their kernels by it.
        "processor": device_name(device),
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "precision": precision_name(choose_precision(plan.precision, device)),
        "processes": processes.count,
    }


def digest(*files: Path) -> str:
    """Tells the contents of these files, in this order, from others."""
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()[:16]
