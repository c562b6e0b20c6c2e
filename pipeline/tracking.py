"""MLflow: one run an arm, one nested run a trial.

The store lies in the original repository, also for experiments that run in a temporary
copy; MLFLOW_TRACKING_URI, when set, wins. A number lost here is not lost: training writes
history.csv and results are files, so a store that fails during a training is said once
and does not end it.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline import workspace

EXPERIMENT = "cmmanet"

# MLflow refuses longer values of parameters and tags.
_LONGEST_VALUE = 5000


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
        artifacts = None if given else (root / "mlartifacts").as_uri()
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
                f"MLflow's store {self.uri} cannot be used ({_first_line(error)}); start its "
                "server, or unset MLFLOW_TRACKING_URI to use mlflow.db here"
            ) from None
        self._complained = False

    @contextmanager
    def run(
        self,
        name: str,
        *,
        parent: str | None,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        dataset: Mapping[str, str],
    ) -> Iterator[str]:
        """A run's id; the run ends as finished, killed or failed with the block."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

        all_tags = {"mlflow.runName": name, **_provenance(), **tags}
        if parent is not None:
            all_tags["mlflow.parentRunId"] = parent
        run_id: str = self._client.create_run(self._experiment, tags=all_tags).info.run_id
        # Parameters as dotted keys, as they stand in params.yaml.
        values = [Param(key, str(value)[:_LONGEST_VALUE]) for key, value in _flat(params)]
        self._client.log_batch(run_id, params=values, tags=[RunTag("cmmanet.run", name)])
        source = Dataset(
            name=dataset["name"],
            digest=dataset["digest"],
            source_type="dvc",
            source=dataset["source"],
        )
        tag = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(run_id, [DatasetInput(source, [tag])])
        try:
            yield run_id
        except KeyboardInterrupt:
            self._client.set_terminated(run_id, "KILLED")
            raise
        except BaseException:
            self._client.set_terminated(run_id, "FAILED")
            raise
        self._client.set_terminated(run_id, "FINISHED")

    def metrics(self, run_id: str, values: Mapping[str, float], step: int = 0) -> None:
        """Log the finite ones of some numbers at a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [
            Metric(name, float(value), now, step)
            for name, value in values.items()
            if math.isfinite(value)
        ]
        try:
            self._client.log_batch(run_id, metrics=batch)
        except Exception as error:
            self._complain(error)

    def artifact(self, run_id: str, file: Path) -> None:
        """Keep a copy of a file with the run."""
        try:
            self._client.log_artifact(run_id, str(file))
        except Exception as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            print(
                f"warning: MLflow's store {self.uri} did not take what was logged "
                f"({_first_line(error)}); the files of this stage have it all",
                file=sys.stderr,
            )
        self._complained = True


def git_commit() -> tuple[str | None, bool]:
    """The commit of the code in use, and whether code or parameters differ from it."""
    commit = _git("rev-parse", "HEAD")
    code = ("src", "pipeline", "params.yaml", "dvc.yaml", "pyproject.toml", "requirements.lock")
    return commit, bool(_git("status", "--porcelain", "--", *code))


def _provenance() -> dict[str, str]:
    commit, dirty = git_commit()
    tags = {
        "mlflow.source.name": " ".join(sys.argv),
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": commit or "",
        "git.dirty": str(dirty).lower(),
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
        "dvc.experiment": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV", ""),
    }
    return {name: value for name, value in tags.items() if value}


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(  # noqa: S603 (the arguments are this file's own)
            ["git", *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
