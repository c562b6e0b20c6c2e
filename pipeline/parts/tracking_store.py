"""MLflow's store: its address, its experiment, and what to do about one that cannot be used."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from cmmanet.messages import first_line, hide_passwords
from pipeline.parts import workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

Answer = TypeVar("Answer")

EXPERIMENT = "cmmanet"

# Seconds that a request may take. MLflow's own limits, which pipeline/__init__.py sets, are shorter
# but do not hold for databases, uploads and file systems.
_PATIENCE = 120

_DEFAULT = "sqlite:///mlflow.db"

# Patterns of errors, and what to do.
_ADVICE = {
    "out-of-date database schema|Can't locate revision": (
        "another version of MLflow wrote it: if an older one, copy it and run `mlflow db upgrade "
        "{uri}`; if a newer one, install that; or move {uri} away"
    ),
    r"current state is deleted": (
        "restore it with `MLFLOW_TRACKING_URI={uri} mlflow experiments restore -x {number}`"
    ),
    "not a database|malformed": "move {uri} away: it is damaged, or something else",
    "is locked": "another process is writing to it: let that finish, or end it",
    "disk I/O|locking protocol": "set MLFLOW_TRACKING_URI to a database on a local disk",
    "readonly|read-only|unable to open|permission denied": "make its file and folder writable",
    "error code 40[13]": "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "valid JSON|redirects|unsupported URI|maintenance mode": (
        "set MLFLOW_TRACKING_URI to an MLflow server or a database, such as sqlite:///mlflow.db"
    ),
    "no module named": "install that module",
    "": "start it if it is a server, or unset MLFLOW_TRACKING_URI to use mlflow.db here",
}


class Store(NamedTuple):
    """A store's client, the experiment's id, and the address of the experiment's files."""

    client: MlflowClient
    experiment: str
    files: str


def shown_address() -> str:
    """Return the store's address as it was given, without passwords."""
    return hide_passwords(os.environ.get("MLFLOW_TRACKING_URI") or _DEFAULT)


def cause(error: Exception) -> str:
    """Return the innermost reason of an error, without passwords."""
    return hide_passwords(first_line(error).rpartition("Caused by ")[2])


def within_limits(what: Callable[[], Answer]) -> Answer:
    """Return a function's result; sockets and file systems that hang are left behind.

    Raises:
        TimeoutError: after `_PATIENCE` seconds.
    """
    future: Future[Answer] = Future()

    def work() -> None:
        try:
            future.set_result(what())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future.result(timeout=_PATIENCE)


def open_store(*, write: bool) -> Store:
    """Connect to the store and make its experiment; with `write`, check that it can be written.

    Raises:
        OSError: if the store cannot be used.
    """
    try:
        return within_limits(lambda: _connect(write=write))
    except Exception as error:
        reason, uri = cause(error), shown_address()
        advice = next(text for key, text in _ADVICE.items() if re.search(key, reason, re.I))
        number = re.search(r"\d+", reason)
        advice = advice.format(uri=uri, number=number and number[0])
        raise OSError(f"MLflow's store {uri} cannot be used ({reason}); {advice}") from None


def _address() -> tuple[str, Path | None]:
    """Return the store's address, and its file if it is a database of SQLite.

    Relative paths are those of the original repository.
    """
    from sqlalchemy import make_url

    uri = os.environ.get("MLFLOW_TRACKING_URI") or _DEFAULT
    root, parts = workspace.root(), urlsplit(uri)
    if parts.netloc.count("@") > 1:
        raise ValueError("write the @ in its password as %40")
    if parts.scheme in ("", "file") and not uri.startswith("databricks"):
        return (root / url2pathname(parts.path)).as_uri(), None
    if parts.scheme.startswith("sqlite"):
        url = make_url(uri)
        if url.database and not url.database.startswith((":", "file:")):
            path = (root / url.database).resolve()
            # Of an address of "sqlite:" MLflow makes the folder, without decoding its name.
            url = url.set(drivername="sqlite+pysqlite", database=str(path))
            return url.render_as_string(hide_password=False), path
    return uri, None


def _connect(*, write: bool) -> Store:
    # Seconds to import, and stages that log nothing need none of it.
    import mlflow.store.db.utils
    from mlflow import MlflowClient

    # Long warnings, which quote addresses with passwords; what fails is raised as well.
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    # A database that is down is asked ten times otherwise, for 100 s.
    mlflow.store.db.utils.MAX_RETRY_COUNT = 2
    uri, database = _address()
    root = workspace.root()
    # A server decides itself; a database would choose ./mlruns, which a temporary copy
    # loses and which hides the database from `mlflow ui`.
    served = uri.startswith(("http:", "https:", "databricks"))
    files = ((root if database is None else database.parent) / "mlartifacts").as_uri()
    (root / ".locks").mkdir(parents=True, exist_ok=True)
    # Several processes that create one database at once break it.
    with FileLock(root / ".locks" / "mlflow.lock", timeout=_PATIENCE):
        if database is not None:
            database.parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            made = client.create_experiment(EXPERIMENT, None if served else files)
            experiment = client.get_experiment(made)
        location = experiment.artifact_location
        if database is not None and database.is_relative_to(root) and location != files:
            _move_files(database, location, files)
            location = files
    if write:
        client.set_experiment_tag(
            experiment.experiment_id, "mlflow.experimentKind", "custom_model_development"
        )
    return Store(client, experiment.experiment_id, location)


def _move_files(database: Path, old: str, new: str) -> None:
    """Tell a database that its files are in another folder; MLflow has no call for it."""
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        connection.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
            "WHERE substr(artifact_uri, 1, ?) = ?",
            (new, len(old) + 1, len(old) + 1, f"{old}/"),
        )
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE name = ?", (new, EXPERIMENT)
        )
