"""What a finished run leaves: weights, history, and the record of how it came to be."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from cmmanet.clips.batches import short_tracklets
from cmmanet.clips.dataset import ClipDataset
from cmmanet.model.cost import cost_of
from cmmanet.training.build import empty_network
from cmmanet.training.device import peak_memory
from cmmanet.training.loop import Trained
from cmmanet.training.processes import Processes
from pipeline.parts import workspace
from pipeline.training.run import Run


class Stretches:
    """On which machine each part of a run was trained, in a file beside its checkpoints."""

    def __init__(self, checkpoints: Path, machine: Mapping[str, Any]) -> None:
        self._path = checkpoints / "stretches.json"
        self._machine = machine

    def read(self) -> list[dict[str, Any]]:
        """Return each stretch: the iteration after which it begins, and its machine."""
        return json.loads(self._path.read_bytes()) if self._path.is_file() else []

    def begin(self, iteration: int) -> dict[str, Any] | None:
        """Begin a stretch after an iteration; return the machine of the one before, if any."""
        before = [stretch for stretch in self.read() if stretch["after"] < iteration]
        workspace.write_json(self._path, [*before, {"after": iteration, **self._machine}])
        if not before:
            return None
        return {key: value for key, value in before[-1].items() if key != "after"}


def record_of(
    run: Run,
    clips: ClipDataset,
    trained: Trained,
    processes: Processes,
    used: Mapping[str, Any],
    stretches: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the record of a finished run, as JSON; `used` is its environment."""
    return {
        "seed": run.seed,
        "iterations": run.plan.schedule.iterations,
        "train_seconds": round(sum(epoch["seconds"] for epoch in trained.history), 1),
        "identities": len(clips.identities),
        "tracklets": len(clips),
        "short_tracklets": short_tracklets(clips.length, run.plan.clip.frames),
        "peak_memory": peak_memory(processes.device),
        "environment": {
            **used,
            "processes": processes.count,
            "nondeterministic": trained.nondeterministic,
        },
        "stretches": list(stretches),
    }


def collected_record(run: Run, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored record of a run as a run of this arm has it: with its plan and cost."""
    with torch.device("meta"):  # only its shapes count
        network = empty_network(run.plan, record["identities"])
    cost = cost_of(network, run.plan.image.height, run.plan.image.width)
    values = dict(record)
    peak_memory = values.pop("peak_memory")
    return {
        **values,
        "cost": {**cost._asdict(), "peak_memory": peak_memory},
        "config": run.plan.model_dump(mode="json"),
    }


def write_trained(folder: Path, trained: Trained) -> None:
    """Write weights and history into a run folder.

    Raises:
        OSError: if they cannot be written.
    """
    state = trained.network.state_dict()
    weights = {name: value.cpu().contiguous() for name, value in state.items()}
    try:
        safetensors.torch.save_file(weights, folder / workspace.WEIGHTS)
    except safetensors.SafetensorError as error:
        raise OSError(str(error)) from None
    with (folder / workspace.HISTORY).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(trained.history[0]))
        writer.writeheader()
        writer.writerows(trained.history)
