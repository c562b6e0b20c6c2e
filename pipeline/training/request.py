"""What the numbers of a run depend on: its request, whose digest is the run's key in the store.

What is declared goes in: parameters, seed, data, code, versions. What the machine happens to be
stays out and is recorded instead: a machine without a GPU finds what a GPU has trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from cmmanet.frames.index import FRAMES
from cmmanet.frames.members import DEFLATED, STORED
from cmmanet.training.device import choose_precision, device_name, precision_name
from cmmanet.training.processes import Processes
from pipeline.parts import workspace
from pipeline.parts.dependencies import code_of
from pipeline.training.run import Run

# Increased when stored runs can no longer be read.
FORMAT = 1

# Names and counts decide no number; the seed of a run is the plan's and its trial.
_NAMES = {"dataset", "arm", "variant", "recipe", "sampler", "trials", "seed"}
_PACKAGES = ("torch", "torchvision", "numpy", "simplejpeg", "pillow")
_DRIVER = Path("/proc/driver/nvidia/version")

# Differences that a message lists.
_LISTED = 4


def request_of(run: Run, processes: Processes) -> dict[str, Any]:
    """Return everything that the numbers of a run depend on, as JSON."""
    plan = run.plan.model_dump(mode="json", exclude=_NAMES)
    if isinstance(plan["model"]["weights"], dict):
        del plan["model"]["weights"]["path"]  # the hash stays
    request = {
        "format": FORMAT,
        "plan": plan,
        "seed": run.seed,
        "data": _data_digest(run),
        "code": code_of("pipeline.training.run"),
        "versions": _versions(),
    }
    if processes.count > 1 and processes.device.type != "cuda":
        # Each normalises batches by its own share of them.
        request["processes"] = processes.count
    return request


def resumable(request: Mapping[str, Any], processes: Processes) -> dict[str, Any]:
    """Return what must be the same for an interrupted run to go on: patch versions may differ."""
    versions = {
        name: ".".join(number.split(".")[:2]) for name, number in request["versions"].items()
    }
    return {**request, "versions": versions, "processes": processes.count}


def machine_of(run: Run, processes: Processes) -> dict[str, Any]:
    """Return what the last bits of a run depend on besides its request."""
    device = processes.device
    return {
        "device": device.type,
        "processor": device_name(device),
        "driver": _DRIVER.read_text().splitlines()[0] if _DRIVER.is_file() else None,
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "precision": precision_name(choose_precision(run.plan.precision, device)),
        "processes": processes.count,
        "versions": _versions(),
    }


def key_of(request: Mapping[str, Any]) -> str:
    """Return the digest of a request."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the values that differ, by dotted key."""
    old = dict(workspace.flat(json.loads(json.dumps(before))))  # tuples are lists in files
    new = dict(workspace.flat(json.loads(json.dumps(now))))
    return [
        f"{key} {old.get(key, 'nothing')} (now {new.get(key, 'nothing')})"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]


def listed(lines: list[str]) -> str:
    """Return the first of some differences in one line."""
    more = f" and {len(lines) - _LISTED} more" if len(lines) > _LISTED else ""
    return ", ".join(lines[:_LISTED]) + more


def _versions() -> dict[str, str]:
    # What follows the "+" names the build: cpu or cu130.
    return {name: version(name).partition("+")[0] for name in _PACKAGES}


def _data_digest(run: Run) -> str:
    """Return a digest of the training tracklets: identities, lengths and frames."""
    tracklets = run.data.tracklets
    rows, _ = tracklets.frames_of(run.rows)
    frames, numbers = _frames(run.data.folder / FRAMES, rows.tobytes())
    archives = list(run.data.frames["archives"].values())
    digest = hashlib.sha256("\n".join([frames, *(archives[n] for n in numbers)]).encode())
    for values in (tracklets.pid[run.rows], tracklets.length[run.rows]):
        digest.update(values.astype("<i8").tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=16)  # trials and arms share splits
def _frames(index: Path, rows: bytes) -> tuple[str, list[int]]:
    """Return a digest of frames, and the numbers of their archives that have no checksums."""
    columns = ["name", "size", "crc", "archive", "compression"]
    table = pq.read_table(index, columns=columns).take(np.frombuffer(rows, np.int64))
    content = [table[column].to_pylist() for column in ("name", "size", "crc")]
    plain = ~np.isin(table["compression"].to_numpy(), (STORED, DEFLATED))
    digest = hashlib.sha256(json.dumps(content).encode())
    return digest.hexdigest(), np.unique(table["archive"].to_numpy()[plain]).tolist()
