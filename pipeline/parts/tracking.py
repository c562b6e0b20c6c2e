"""MLflow: one run an arm, one nested run a trial.

The store is mlflow.db in the original repository, also for experiments that run in a temporary
copy; MLFLOW_TRACKING_URI, when set, wins. Training needs a store when it starts. One that fails
later costs a warning: history.csv and results are files, and what a run lacks in MLflow is
logged from them when its arm is collected.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from cmmanet.messages import first_line, hide_passwords
from pipeline.parts import workspace
from pipeline.parts.provenance import code

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Answer = TypeVar("Answer")

EXPERIMENT = "cmmanet"

# Stands for a run that the store did not take.
NO_RUN = ""

# MLflow refuses longer values of parameters and tags.
_LONGEST_VALUE = 5000

# Seconds: the most that a request may take, whatever it waits for (MLflow's own limits, set in
# pipeline/__init__.py, are shorter but not everywhere), and how long a store that failed is left
# alone.
_PATIENCE = 120
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
            self.uri = _store_uri()
            self._client, self._experiment, self._files = _within_limits(
                lambda: _connect(self.uri, write=required)
            )
        except Exception as error:
            message = _advice(error)
            if required:
                raise OSError(message) from None
            print(f"warning: {message}; nothing is logged by this stage", file=sys.stderr)
            self._complained = True
            self._paused["runs"] = math.inf

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

        def log() -> None:
            self._client.log_batch(run_id, metrics=batch)
            self._behind.discard(run_id)

        self._ask(log, None)

    def artifact(self, run_id: str, file: Path) -> None:
        """Keep a copy of a file with the run."""
        if run_id == NO_RUN:
            return

        def log() -> None:
            self._client.log_artifact(run_id, str(file))
            if self._files:
                print(f"MLflow keeps the files of runs in {self._files}", flush=True)
                self._files = ""

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
            return _within_limits(what)
        except Exception as error:
            self._paused[part] = time.monotonic() + _PAUSE
            if not self._complained:
                print(
                    f"warning: MLflow's store {hide_passwords(self.uri)} did not take what was "
                    f"logged ({hide_passwords(first_line(error))}); the files of this stage have "
                    "it all, and running the stage again logs it",
                    file=sys.stderr,
                )
            self._complained = True
            return otherwise


def _store_uri() -> str:
    """Return the store's address; a relative path is one of the original repository.

    Raises:
        ValueError: if the address cannot be read.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    root, parts = workspace.root(), urlsplit(uri)
    if parts.netloc.count("@") > 1:
        raise ValueError("write the @ in its password as %40")
    if parts.scheme in ("", "file") and not uri.startswith("databricks"):
        return (root / url2pathname(parts.path)).as_uri()
    path = _database(uri)
    if path is None:
        return uri
    from sqlalchemy import make_url

    # Not "sqlite:", of which MLflow makes the folder, with a percent sign for each odd letter.
    url = make_url(uri).set(drivername="sqlite+pysqlite", database=str(path))
    return url.render_as_string(hide_password=False)


def _database(uri: str) -> Path | None:
    """The file of a database of SQLite."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy import make_url

    name = make_url(uri).database
    if not name or name.startswith((":", "file:")):
        return None
    return workspace.root() / name


def _connect(uri: str, *, write: bool) -> tuple[MlflowClient, str, str]:
    """Return a client, the experiment's id, and where its files go if outside the repository."""
    # Seconds to import, and stages that log nothing need none of it.
    import mlflow.store.db.utils
    from mlflow import MlflowClient

    # Their warnings are long, and quote addresses with passwords; errors arrive here anyway.
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    # A database that is down is asked ten times otherwise, for 100 s.
    mlflow.store.db.utils.MAX_RETRY_COUNT = 2
    root, database = workspace.root(), _database(uri)
    # A server decides itself; a database would choose ./mlruns, which a temporary copy
    # loses and which hides the database from `mlflow ui`.
    served = uri.startswith(("http:", "https:", "databricks"))
    home = (root if database is None else database.parent) / "mlartifacts"
    locks = root / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    # Several processes that create one database at once break it.
    with FileLock(locks / "mlflow.lock", timeout=_PATIENCE):
        if database is not None:
            database.parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            created = client.create_experiment(EXPERIMENT, None if served else home.as_uri())
            experiment = client.get_experiment(created)
        location = experiment.artifact_location
        if database is not None and database.is_relative_to(root) and location != home.as_uri():
            _move_files(database, location, home.as_uri())
            location = home.as_uri()
    if write:
        # Fails for a store that is locked, read-only or has the experiment deleted.
        kind = "custom_model_development"
        client.set_experiment_tag(experiment.experiment_id, "mlflow.experimentKind", kind)
    elsewhere = not served and not location.startswith(root.as_uri() + "/")
    return client, experiment.experiment_id, hide_passwords(location) if elsewhere else ""


def _move_files(database: Path, old: str, new: str) -> None:
    """Point a database that was moved or copied with its files at these; MLflow itself cannot."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        connection.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
            "WHERE substr(artifact_uri, 1, ?) = ?",
            (new, len(old) + 1, len(old) + 1, f"{old}/"),
        )
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE name = ?", (new, EXPERIMENT)
        )


def _advice(error: Exception) -> str:
    """Say why a store cannot be used and what helps."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    uri = hide_passwords(given or "sqlite:///mlflow.db")
    cause = hide_passwords(first_line(error))
    try:
        path = _database(given or "sqlite:///mlflow.db")
    except Exception:
        path = None
    name = uri if path is None else str(path)
    cli = f"MLFLOW_TRACKING_URI={uri} " if given else ""
    if "out-of-date database schema" in cause or "Can't locate revision" in cause:
        helps = (
            f"it is of another version of MLflow: if older, copy it and run `mlflow db upgrade "
            f"{uri}`; if newer, install that version; or move {name} away"
        )
    elif "Current state is deleted" in cause:
        helps = f"the experiment was deleted: `{cli}mlflow experiments restore -x {_number(cause)}`"
    elif "not a database" in cause or "malformed" in cause:
        helps = f"move {name} away: it is damaged, or something else"
    elif "is locked" in cause:
        helps = f"another process is writing to {name}: let it finish, or end it"
    elif "readonly" in cause or "read-only" in cause or "unable to open" in cause:
        helps = f"{name} and its folder have to exist and to be writable"
    elif given:
        helps = "start its server, or unset MLFLOW_TRACKING_URI to use mlflow.db here"
    else:
        helps = f"move {name} away if it is damaged"
    return f"MLflow's store {uri} cannot be used ({cause}); {helps}"


def _number(text: str) -> str:
    return next((word for word in text.split() if word.isdigit()), "ID")


def _within_limits(what: Callable[[], Answer]) -> Answer:
    """Call a function, for `_PATIENCE` seconds at most: sockets and file systems may hang.

    Raises:
        TimeoutError: after that time.
    """
    results: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            results.put((what(), None))
        except Exception as error:
            results.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        result, error = results.get(timeout=_PATIENCE)
    except queue.Empty:
        raise TimeoutError(f"no answer in {_PATIENCE} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


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
