"""MLflow: one run an arm, one nested run a trial.

The store lies in the original repository, also for experiments that run in a temporary
copy; MLFLOW_TRACKING_URI, when set, wins. A number lost here is not lost: training writes
history.csv and results are files, so a store that fails during a training is said once
and does not end it.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from cmmanet.messages import first_line
from pipeline.parts import workspace
from pipeline.parts.provenance import code

if TYPE_CHECKING:
    from mlflow.entities import Run

EXPERIMENT = "cmmanet"

# Stands for a run that the store did not take.
NO_RUN = ""

# MLflow refuses longer values of parameters and tags.
_LONGEST_VALUE = 5000


@dataclass(frozen=True)
class TrackedRun:
    """The description of a run for MLflow.

    Attributes:
        name: as the list of runs shows it.
        tags: what tells the run from the others of its parent.
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
        OSError: if the store cannot be reached.
    """

    def __init__(self) -> None:
        # Seconds to import, and stages that log nothing need none of it.
        from mlflow import MlflowClient

        root = workspace.root()
        given = os.environ.get("MLFLOW_TRACKING_URI")
        self.uri = given or f"sqlite:///{root / 'mlflow.db'}"
        # A server decides itself; a database would choose ./mlruns, which a temporary copy
        # loses and which hides the database from `mlflow ui`.
        served = self.uri.startswith(("http:", "https:", "databricks"))
        artifacts = None if served else (root / "mlartifacts").as_uri()
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        (root / ".locks").mkdir(parents=True, exist_ok=True)
        try:
            # Several processes that create one database at once break it.
            with FileLock(root / ".locks" / "mlflow.lock"):
                self._client = MlflowClient(tracking_uri=self.uri)
                experiment = self._client.get_experiment_by_name(EXPERIMENT)
                self._experiment: str = (
                    experiment.experiment_id
                    if experiment
                    else self._client.create_experiment(EXPERIMENT, artifact_location=artifacts)
                )
        except Exception as error:
            raise OSError(
                f"MLflow's store {self.uri} cannot be used ({first_line(error)}); start its "
                "server, or unset MLFLOW_TRACKING_URI to use mlflow.db here"
            ) from None
        self._complained = False
        # Of resumed runs, the last step that each metric has.
        self._logged: dict[tuple[str, str], int] = {}

    @contextmanager
    def run(self, described: TrackedRun) -> Iterator[str]:
        """Give a run's id; the run ends as finished, killed or failed with the block.

        A run of the same tags and parent goes on if this store has it, and takes no metric twice.
        """
        run_id = NO_RUN
        try:
            found = self._find(described)
            run_id = self._create(described) if found is None else self._reopen(found)
        except Exception as error:
            self._complain(error)
        if run_id == NO_RUN:
            yield NO_RUN
            return
        status = "FAILED"
        try:
            yield run_id
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            with self._tolerated():
                self._client.set_terminated(run_id, status)

    def finished(self, described: TrackedRun) -> str:
        """Return the id of a run that this store has as finished, else `NO_RUN`."""
        with self._tolerated():
            found = self._find(described)
            if found is not None and found.info.status == "FINISHED":
                return str(found.info.run_id)
        return NO_RUN

    def _find(self, described: TrackedRun) -> Run | None:
        wanted = {**described.tags, "mlflow.parentRunId": described.parent}
        runs = self._search(wanted)
        return runs[0] if runs else None

    def _search(self, tags: Mapping[str, str], condition: str = "") -> list[Run]:
        wanted = [f"tags.`{name}` = '{value}'" for name, value in tags.items() if value]
        condition = " and ".join([condition, *wanted] if condition else wanted)
        return list(self._client.search_runs([self._experiment], condition))

    def _create(self, described: TrackedRun) -> str:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        tags = {
            "mlflow.runName": described.name,
            **_provenance(),
            **described.tags,
            **described.place,
        }
        if described.parent:
            tags["mlflow.parentRunId"] = described.parent
        run_id: str = self._client.create_run(self._experiment, tags=tags).info.run_id
        # Parameters as dotted keys, as they stand in params.yaml.
        values = [
            Param(key, str(value)[:_LONGEST_VALUE])
            for key, value in workspace.flat(described.params)
        ]
        source = Dataset(source_type="dvc", **described.dataset)
        inputs = [DatasetInput(source, [InputTag("mlflow.data.context", "training")])]
        with self._tolerated():
            self._client.log_batch(run_id, params=values)
            self._client.log_inputs(run_id, inputs)
        return run_id

    def _reopen(self, run: Run) -> str:
        run_id: str = run.info.run_id
        self._client.update_run(run_id, status="RUNNING")
        for metric in run.data.metrics:
            steps = (m.step for m in self._client.get_metric_history(run_id, metric))
            self._logged[run_id, metric] = max(steps)
        return run_id

    def end_abandoned(self, tags: Mapping[str, str]) -> None:
        """Mark as killed the runs with these tags that never ended: their process was killed.

        The caller holds the lock that keeps a living one away.
        """
        with self._tolerated():
            for run in self._search(tags, "attributes.status = 'RUNNING'"):
                self._client.set_terminated(run.info.run_id, "KILLED")

    def metrics(self, run_id: str, values: Mapping[str, float], step: int = 0) -> None:
        """Log the finite ones of some numbers at a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [
            Metric(name, float(value), now, step)
            for name, value in values.items()
            if math.isfinite(value) and step > self._logged.get((run_id, name), -1)
        ]
        if batch:
            self._tell(run_id, lambda: self._client.log_batch(run_id, metrics=batch))

    def artifact(self, run_id: str, file: Path) -> None:
        """Keep a copy of a file with the run."""
        self._tell(run_id, lambda: self._client.log_artifact(run_id, str(file)))

    def _tell(self, run_id: str, what: Callable[[], object]) -> None:
        if run_id != NO_RUN:
            with self._tolerated():
                what()

    @contextmanager
    def _tolerated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            print(
                f"warning: MLflow's store {self.uri} did not take what was logged "
                f"({first_line(error)}); the files of this stage have it all",
                file=sys.stderr,
            )
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
