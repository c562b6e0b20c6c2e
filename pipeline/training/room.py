"""Free disk for the runs that are still to be trained."""

from __future__ import annotations

import shutil

import torch

from cmmanet.params import ReportPlan, SplitPlan
from cmmanet.training.build import empty_network
from pipeline.parts import workspace
from pipeline.training.run import Run

# Copies of a run's weights: in the store, in the arm's folder and in DVC's cache.
_COPIES = 3

# Checkpoints of the run in training: two are kept while a third is written, and Adam has two
# moments of each weight.
_CHECKPOINTS = 3 * 3


def check_room(run: Run, missing: int) -> None:
    """Refuse to start where the disk is too small for all runs that the plan still lacks.

    Its own arm lacks `missing` runs; all arms are taken to be as large as this one.

    Raises:
        OSError: with what is needed and what is free.
    """
    missing += _missing_elsewhere(run)
    identities = len(set(run.data.tracklets.pid[run.rows].tolist()))
    with torch.device("meta"):  # only its shapes count
        network = empty_network(run.plan, identities)
    size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    needed = size * (_COPIES * missing + _CHECKPOINTS)
    store = workspace.run_store()
    there = next(folder for folder in (store, *store.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise OSError(
            f"{store}: {free / 1e9:.1f} GB are free, and the {missing} runs that the plan still "
            f"lacks need about {needed / 1e9:.1f} GB: make room, or name a folder on another disk "
            "in CMMANET_RUNS"
        )


def _missing_elsewhere(run: Run) -> int:
    """Count the runs of other arms in the report that are not in their folders."""
    report = workspace.read_plan(ReportPlan, "report.json")
    missing = 0
    for dataset in report.datasets:
        trials = workspace.read_plan(SplitPlan, f"{dataset}/split.json").trials
        for arm in report.arms:
            if (dataset, arm) != (run.plan.dataset, run.plan.arm):
                trained = len(list(workspace.run_folder(dataset, arm).glob("trial-*")))
                missing += max(0, trials - trained)
    return missing
