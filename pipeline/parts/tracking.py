"""MLflow: one run an arm, one nested run a trial.

The store is mlflow.db in the original repository, also for experiments that run in a temporary
copy; MLFLOW_TRACKING_URI, when set, wins. Training needs a store when it starts. One that fails
later costs a warning: history.csv and results are files, and what a run lacks in MLflow is
logged from them when its arm is collected.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cmmanet.messages import hide_passwords
from pipeline.parts import workspace
from pipeline.parts.provenance import code
from pipeline.parts.tracking_store import cause, open_store, shown_address, within_limits

if TYPE_CHECKING:
    from mlflow.entities import Run

Answer = TypeVar("Answer")

# Stands for a run that the store did not take.
NO_RUN = ""

# MLflow refuses longer values of parameters and tags.
_LONGEST_VALUE = 5000

# Seconds that a store which failed is left alone.
_PAUSE = 600


@dataclass(frozen=True)
class TrackedRun:
    """The description of a run for MLflow.

    Attributes:
        name: as the list of runs shows it.
        tags: what tells the run from the others of its parent, `fingerprint` among them.
        params: by nested keys.
        dataset: name, digest and source.
        place: tags that do not matter to whether it is the same run.
        parent: the id of the run that it is nested in, if any.
    """

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, object]
    dataset: Mapping[str, str]
    place: Mapping[str, str]
    parent: str = NO_RUN


class Tracker:
    """A connection to the tracking store and its experiment.

    Raises:
        OSError: if the store is `required` and cannot be reached or written.
    """

    def __init__(self, *, required: bool = True) -> None:
        self._complained = False
        # Until when the store is left alone: files may go to another server than runs.
        self._paused = {"runs": 0.0, "files": 0.0}
        # Runs that lack a metric: later ones wait for it, as a run takes its metrics in order.
        self._behind: set[str] = set()
        # Of resumed runs, the last step that each metric has.
        self._logged: dict[tuple[str, str], int] = {}
        try:
            self._client, self._experiment, files = open_store(write=required)
        except OSError as error:
            if required:
                raise
            self._complain(f"{error}; nothing is logged by this stage")
            self._paused["runs"] = math.inf
            return
        inside = f"{workspace.root().as_uri()}/", "mlflow-artifacts:"
        self._elsewhere = "" if files.startswith(inside) else hide_passwords(files)

    @contextmanager
    def run(self, described: TrackedRun) -> Iterator[str]:
        """Give a run's id; the run ends as finished, killed or failed with the block.

        A run of the same tags and parent goes on if this store has it, and takes no metric twice.
        """
        run_id, new = self._ask(lambda: self._start(described), (NO_RUN, False))
        if new:
            self._ask(lambda: self._log_inputs(run_id, described), None)
        status = "FAILED"
        try:
            yield run_id
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            # One that lacks numbers has not finished.
            if run_id not in (NO_RUN, *self._behind):
                self._ask(lambda: self._client.set_terminated(run_id, status), None)

    def finished(self, described: TrackedRun) -> str:
        """Return the id of a run that this store has as finished, else `NO_RUN`."""
        run = self._ask(lambda: self._find(described), None)
        return run.info.run_id if run is not None and run.info.status == "FINISHED" else NO_RUN

    def end_abandoned(self, tags: Mapping[str, str]) -> None:
        """Mark as killed the runs with these tags that never ended: their process was killed.

        The caller holds the lock that keeps a living one away.
        """

        def end() -> None:
            for run in self._search("attributes.status = 'RUNNING'", tags):
                self._client.set_terminated(run.info.run_id, "KILLED")

        self._ask(end, None)

    def metrics(self, run_id: str, values: Mapping[str, float], step: int = 0) -> None:
        """Log the finite ones of some numbers at a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [
            Metric(name, float(value), now, step)
            for name, value in values.items()
            if math.isfinite(value) and step > self._logged.get((run_id, name), -1)
        ]
        if not batch or run_id in (NO_RUN, *self._behind):
            return
        self._behind.add(run_id)

        def log() -> bool:
            self._client.log_batch(run_id, metrics=batch)
            return True

        # Not in `log`: one that is late has left a gap.
        if self._ask(log, False):
            self._behind.discard(run_id)

    def artifact(self, run_id: str, file: Path) -> None:
        """Keep a copy of a file with the run."""
        if run_id == NO_RUN:
            return

        def log() -> None:
            self._client.log_artifact(run_id, str(file))
            if self._elsewhere:
                print(f"MLflow keeps the files of runs in {self._elsewhere}", flush=True)
                self._elsewhere = ""

        self._ask(log, None, "files")

    def _start(self, described: TrackedRun) -> tuple[str, bool]:
        """Return the id of a run that now goes on, and whether it is a new one."""
        run = self._find(described)
        return (self._create(described), True) if run is None else (self._reopen(run), False)

    def _find(self, described: TrackedRun) -> Run | None:
        wanted = {**described.tags, "mlflow.parentRunId": described.parent}
        runs = self._search(f"tags.fingerprint = '{described.tags['fingerprint']}'", wanted)
        return runs[0] if runs else None

    def _search(self, condition: str, tags: Mapping[str, str]) -> list[Run]:
        # The names of folders cannot be quoted in a condition.
        runs = self._client.search_runs([self._experiment], condition, max_results=50_000)
        return [
            run
            for run in runs
            if all(run.data.tags.get(name, "") == value for name, value in tags.items())
        ]

    def _create(self, described: TrackedRun) -> str:
        tags = {
            "mlflow.runName": described.name,
            **_provenance(),
            **described.tags,
            **described.place,
        }
        if described.parent:
            tags["mlflow.parentRunId"] = described.parent
        return str(self._client.create_run(self._experiment, tags=tags).info.run_id)

    def _log_inputs(self, run_id: str, described: TrackedRun) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        # Parameters as dotted keys, as they stand in params.yaml.
        values = [
            Param(key, str(value)[:_LONGEST_VALUE])
            for key, value in workspace.flat(described.params)
        ]
        source = Dataset(source_type="dvc", **described.dataset)
        inputs = [DatasetInput(source, [InputTag("mlflow.data.context", "training")])]
        self._client.log_batch(run_id, params=values)
        self._client.log_inputs(run_id, inputs)

    def _reopen(self, run: Run) -> str:
        run_id: str = run.info.run_id
        self._client.update_run(run_id, status="RUNNING")
        for metric in run.data.metrics:
            steps = (m.step for m in self._client.get_metric_history(run_id, metric))
            self._logged[run_id, metric] = max(steps)
        self._behind.discard(run_id)
        return run_id

    def _ask(self, what: Callable[[], Answer], otherwise: Answer, part: str = "runs") -> Answer:
        """Return the store's answer; one that fails is left alone for a while."""
        if time.monotonic() < max(self._paused["runs"], self._paused[part]):
            return otherwise
        try:
            return within_limits(what)
        except Exception as error:
            self._paused[part] = time.monotonic() + _PAUSE
            self._complain(
                f"MLflow's store {shown_address()} did not take what was logged "
                f"({cause(error)}); the files of this stage have it all, and "
                "running the stage again logs it"
            )
            return otherwise

    def _complain(self, message: str) -> None:
        if not self._complained:
            print(f"warning: {message}", file=sys.stderr)
        self._complained = True


def _provenance() -> dict[str, str]:
    used = code()
    tags = {
        "mlflow.source.name": " ".join(sys.argv),
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": used["commit"] or "",
        "git.dirty": "unknown" if used["dirty"] is None else str(used["dirty"]).lower(),
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
        "dvc.experiment": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV", ""),
    }
    return {name: value for name, value in tags.items() if value}
