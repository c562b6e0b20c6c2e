"""Stage train: every run of one arm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated

import typer

from cmmanet.params import ArmPlan
from cmmanet.training.device import default_workers
from cmmanet.training.loop import SAVE_EVERY
from cmmanet.training.processes import Processes, joined_processes
from pipeline.parts import workspace
from pipeline.parts.command import ArmName, DatasetName, exhausted, run
from pipeline.parts.indexed_data import open_training_data
from pipeline.training.arm import ArmTraining
from pipeline.training.run import Run, arm_runs, train_run

Trial = Annotated[
    int | None, typer.Option(help="train this one into the store, and collect nothing")
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="processes that decode frames, for each that trains"),
]
SaveEvery = Annotated[float, typer.Option(min=0, help="seconds between two checkpoints")]
Exact = Annotated[
    bool, typer.Option(help="go on from a checkpoint of the same machine and versions only")
]


def main(
    dataset: DatasetName,
    arm: ArmName,
    trial: Trial = None,
    workers: Workers = None,
    save_every: SaveEvery = SAVE_EVERY,
    exact: Exact = False,
) -> None:
    """Train the runs of ARM on DATASET that are not stored yet; write runs/DATASET/ARM/trial-NN/.

    A run that is finished is stored, and never trained again. Run again after an interruption, it
    goes on from the last checkpoint. `accelerate launch -m pipeline.train DATASET ARM` trains with
    several processes.
    """
    plan = workspace.read_plan(ArmPlan, f"{dataset}/{arm}.json")
    workers = default_workers() if workers is None else workers
    runs = _chosen(arm_runs(plan, open_training_data(dataset)), trial)
    with joined_processes() as processes, _losing_others(processes):
        training = ArmTraining(runs, processes, exact=exact)
        with training.collecting() if trial is None else nullcontext():
            # Runs that other processes are training come last.
            for wait, each in [(wait, each) for wait in (False, True) for each in runs]:
                with training.claim(each, wait=wait) as session:
                    if session is not None:
                        trained = train_run(
                            each,
                            session.clips,
                            processes,
                            workers=workers,
                            checkpoints=session.checkpoints,
                            save_every=save_every,
                            listener=session.listener,
                        )
                        session.finish(trained)


def _chosen(runs: list[Run], trial: int | None) -> list[Run]:
    if trial is None:
        return runs
    if not 0 <= trial < len(runs):
        raise ValueError(
            f"--trial {trial}: there are {len(runs)}, counted from 0; raise "
            f"data.{runs[0].plan.dataset}.trials in params.yaml, then run `dvc repro split`"
        )
    return [runs[trial]]


@contextmanager
def _losing_others(processes: Processes) -> Iterator[None]:
    """Report that the main process has ended, in the others: most often it says why."""
    try:
        yield
    except RuntimeError as error:
        if processes.main or exhausted(error):
            raise
        reason = str(error).partition("\n")[0]
        raise OSError(f"process {processes.index} lost the others: {reason}") from error


if __name__ == "__main__":
    run(main)
