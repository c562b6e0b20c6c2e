"""Free disk for the runs that are still to be trained."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import torch

from cmmanet.params import ArmPlan, ReportPlan
from cmmanet.training.build import empty_network
from cmmanet.training.processes import Processes
from pipeline.parts import workspace
from pipeline.parts.indexed_data import open_training_data
from pipeline.training.request import key_of, request_of
from pipeline.training.run import Run, arm_runs

# Copies of a run's weights: in the store, in the arm's folder and in DVC's cache.
_COPIES = 3

# Checkpoints of the run in training: two are kept while a third is written, and Adam has two
# moments of each weight.
_CHECKPOINTS = 3 * 3


def check_room(run: Run, processes: Processes) -> None:
    """Refuse to start where the disk is too small for all runs that the plan still lacks.

    All arms are taken to be as large as the arm of `run`.

    Raises:
        OSError: with what is needed and what is free.
    """
    store = workspace.run_store()
    keys = {key_of(request_of(each, processes)) for each in _planned_runs(run)}
    missing = sum(not (store / "finished" / key).is_dir() for key in keys)
    identities = len(set(run.data.tracklets.pid[run.rows].tolist()))
    with torch.device("meta"):  # only its shapes count
        network = empty_network(run.plan, identities)
    size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    needed = size * (_COPIES * missing + _CHECKPOINTS)
    there = next(folder for folder in (store, *store.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise OSError(
            f"{store}: {free / 1e9:.1f} GB are free, and the {missing} runs that the plan still "
            f"lacks need about {needed / 1e9:.1f} GB: make room, or name a folder on another disk "
            "in CMMANET_RUNS"
        )


def _planned_runs(run: Run) -> Iterator[Run]:
    """Yield the runs of the run's arm, and those of the report's arms on data that are split."""
    yield from arm_runs(run.plan, run.data)
    report = workspace.read_plan(ReportPlan, "report.json")
    for dataset in report.datasets:
        if (workspace.data_folder(dataset) / "training.json").is_file():
            data = open_training_data(dataset)
            for arm in report.arms:
                yield from arm_runs(workspace.read_plan(ArmPlan, f"{dataset}/{arm}.json"), data)
