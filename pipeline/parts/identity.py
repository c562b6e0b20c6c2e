"""What the bits of a training depend on, for an interrupted one to be known again."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cmmanet.params import ArmPlan
from cmmanet.training.device import choose_precision, device_name, precision_name
from cmmanet.training.processes import Processes
from pipeline.parts.dependencies import code_of

_PACKAGES = ("torch", "torchvision", "numpy", "simplejpeg", "pillow")


def identify(plan: ArmPlan, processes: Processes, data: str) -> dict[str, Any]:
    """Everything that the bits of the arm's training depend on; `data` is a digest."""
    device = processes.device
    return {
        "plan": plan.model_dump(mode="json"),
        "data": data,
        "code": code_of("pipeline.parts.trial"),
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
