"""Training an arm: which of its runs are missing, and how each is shown, tracked and stored."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cmmanet.clips.dataset import ClipDataset
from cmmanet.training.device import (
    choose_precision,
    describe_device,
    precision_name,
    reset_peak_memory,
)
from cmmanet.training.logbook import Listener
from cmmanet.training.loop import Trained, plan_epoch
from cmmanet.training.processes import Processes
from pipeline.parts import workspace
from pipeline.parts.provenance import environment
from pipeline.training.display import draw_clips, listen, print_data, watching
from pipeline.training.mlflow_runs import MlflowRuns
from pipeline.training.record import Stretches, collected_record, record_of, write_trained
from pipeline.training.request import (
    differences,
    key_of,
    listed,
    machine_of,
    request_of,
    resumable,
)
from pipeline.training.room import check_room
from pipeline.training.run import Run
from pipeline.training.store import RunStore, StoredRun

PICTURE = "clips.png"

_SILENT = Listener(
    begin=lambda *_: None, look=lambda _: None, epoch=lambda _: None, say=lambda _: None
)


@dataclass(frozen=True)
class Session:
    """A run that is to be trained now; `finish` takes what came of it."""

    clips: ClipDataset
    checkpoints: Path
    listener: Listener
    finish: Callable[[Trained], None]


class ArmTraining:
    """Runs of an arm, as every process that takes part knows them.

    The main process reads and writes files, and prints; the others take part in the runs that it
    claims. With `exact`, an interrupted run goes on only on the same machine and versions.

    Raises:
        ValueError: if this process would train something else than the main one.
    """

    def __init__(self, runs: Sequence[Run], processes: Processes, *, exact: bool) -> None:
        self._runs = runs
        self._processes = processes
        self._exact = exact
        self._store = RunStore(workspace.run_store())
        self._requests = {run.number: request_of(run, processes) for run in runs}
        if processes.agree(self._requests) != self._requests:
            raise ValueError(
                f"process {processes.index} sees other parameters, data, code or versions than "
                "the main process: give all nodes the same files"
            )
        keys = {number: key_of(request) for number, request in self._requests.items()}
        self._mlflow = MlflowRuns(runs, keys)

    @contextmanager
    def claim(self, run: Run, *, wait: bool) -> Iterator[Session | None]:
        """Give a run to train, for these processes alone; None if it is stored.

        Without `wait`, None also if other processes are training it.

        Raises:
            BlockingIOError: if others are training it, and several processes would have to wait.
        """
        processes, request = self._processes, self._requests[run.number]
        if not processes.main:
            shared = processes.agree(Path())
            claimed = shared != Path()
            yield Session(run.open_clips(), shared, _SILENT, lambda _: None) if claimed else None
            return
        machine = machine_of(run, processes)
        resume = {**request, "machine": machine} if self._exact else resumable(request, processes)
        # Processes do not wait for each other for ever.
        patient = wait and processes.count == 1
        with self._store.claim(run.title, request, resume, wait=patient) as folder:
            if folder is None and wait and self._store.find(request) is None:
                raise BlockingIOError(
                    f"{run.title} is being trained by other processes: let them finish, then run "
                    "this again"
                )
            processes.agree(folder or Path())
            if folder is None:
                yield None
                return
            with self._session(run, folder) as session:
                yield session

    @contextmanager
    def _session(self, run: Run, folder: Path) -> Iterator[Session]:
        device, request = self._processes.device, self._requests[run.number]
        check_room(run, self._processes)
        clips = run.open_clips()
        first = plan_epoch(run.plan, clips, run.seed, 0)
        machine = machine_of(run, self._processes)
        stretches = Stretches(folder, machine)
        precision = choose_precision(run.plan.precision, device)
        used = environment(describe_device(device), precision_name(precision))
        # Pictures of people stay where the licensed archives are.
        picture = draw_clips(clips, first) if run.plan.dataset == "synthetic" else None
        print_data(run, clips, first)
        reset_peak_memory(device)

        def begin(iteration: int) -> str:
            before = stretches.begin(iteration)
            changes = [] if before is None else differences(before, machine)
            if not changes:
                return ""
            return (
                f"; changed since: {listed(changes)}: its last bits will differ from those of a "
                "run that was never interrupted"
            )

        def finish(trained: Trained) -> None:
            def write(folder: Path) -> None:
                write_trained(folder, trained)
                if picture is not None:
                    picture.save(folder / PICTURE)

            record = record_of(run, clips, trained, self._processes, used, stretches.read())
            self._store.publish(run.title, request, record, write)
            watch.finish()

        with self._mlflow.run(run) as log, watching(run) as watch:
            yield Session(clips, folder, listen(run, watch, begin, log.epoch), finish)
            log.files(self._stored(run).folder)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Track the runs that are trained meanwhile, then put all into the arm's folder.

        Raises:
            BlockingIOError: if another process does so in this working copy.
        """
        if not self._processes.main:
            yield
            return
        plan = self._runs[0].plan
        name = f"train-{plan.dataset}-{plan.arm}"
        with (
            workspace.locked(workspace.lock_folder(), name),
            self._mlflow.arm() as arm_run,
        ):
            yield
            self._collect(arm_run)

    def _collect(self, arm_run: str) -> None:
        plan = self._runs[0].plan
        target = workspace.run_folder(plan.dataset, plan.arm)
        try:
            with workspace.whole_folder(target) as partial:
                for run in self._runs:
                    stored = self._stored(run)
                    folder = partial / workspace.trial_name(run.number)
                    folder.mkdir()
                    for name in stored.files:
                        shutil.copyfile(stored.folder / name, folder / name)
                    names = {
                        "dataset": plan.dataset,
                        "arm": plan.arm,
                        "trial": run.number,
                        "mlflow_arm_run": arm_run,
                        "mlflow_run": self._mlflow.stored(run, stored.folder),
                        "fingerprint": stored.key,
                    }
                    record = collected_record(run, stored.record)
                    workspace.write_json(folder / "run.json", {**names, **record})
        except OSError as error:
            raise OSError(
                f"{target}: cannot be written ({error}); what was trained is stored: run the same "
                "command again"
            ) from None

    def _stored(self, run: Run) -> StoredRun:
        stored = self._store.find(self._requests[run.number])
        if stored is None:
            raise ValueError(f"{run.title}: no longer stored; run the same command again")
        return stored
