import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import REPOSITORY
from mlflow import MlflowClient

from pipeline.parts import tracking, tracking_store
from pipeline.parts.tracking import NO_RUN, TrackedRun, Tracker
from pipeline.parts.tracking_store import EXPERIMENT, _address

pytestmark = pytest.mark.slow

DATASET = {"name": "synthetic", "digest": "abc", "source": "data/synthetic/frames.parquet"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the experiment: making one takes seconds."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        place(folder, patch)
        Tracker()
    return folder / "mlflow.db"


@pytest.fixture
def tracker(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    shutil.copy(made, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "train@synthetic-baseline")
    monkeypatch.setenv("DVC_EXP_NAME", "tidal-boar")
    return Tracker()


def described(parent: str = NO_RUN, **tags: str) -> TrackedRun:
    place = {"folder": "/a b/runs"}
    tags = {"arm": "x", "fingerprint": "abc", **tags}
    return TrackedRun("name", tags, {"a": {"b": 1}}, DATASET, place, parent)


def start(tracker: Tracker, parent: str = NO_RUN) -> str:
    with tracker.run(described(parent)) as run:
        return run


def test_runs_carry_parameters_dataset_tags_and_parent(tracker: Tracker, tmp_path: Path) -> None:
    parent = start(tracker)
    child = start(tracker, parent)
    tracker.metrics(child, {"loss": 1.5, "nothing": float("nan")}, step=3)
    (tmp_path / "file.txt").write_text("content")
    tracker.artifact(child, tmp_path / "file.txt")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    run = client.get_run(child)
    assert run.info.run_name == "name" and run.info.status == "FINISHED"
    assert run.data.params == {"a.b": "1"}
    assert run.data.metrics == {"loss": 1.5}
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["dvc.experiment"] == "tidal-boar"
    assert run.data.tags["dvc.stage"] == "train@synthetic-baseline"
    assert run.inputs.dataset_inputs[0].dataset.name == "synthetic"
    assert [file.path for file in client.list_artifacts(child)] == ["file.txt"]
    # `mlflow ui` without arguments finds the store; a folder mlruns would hide it.
    assert (tmp_path / "mlflow.db").is_file() and (tmp_path / "mlartifacts").is_dir()
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")]
)
def test_a_run_that_ends_early_says_so(
    tracker: Tracker, tmp_path: Path, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), tracker.run(described()) as run:
        raise error
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert client.get_run(run).info.status == status


def test_the_same_run_goes_on_and_takes_no_metric_twice(tracker: Tracker, tmp_path: Path) -> None:
    arm = start(tracker)
    tags = {"trial": "0", "fingerprint": "abc"}
    with pytest.raises(KeyboardInterrupt), tracker.run(described(arm, **tags)) as first:
        tracker.metrics(first, {"loss": 2.0}, step=1)
        raise KeyboardInterrupt
    assert tracker.finished(described(arm, **tags)) == NO_RUN, "it was killed"
    later = Tracker()
    with later.run(described(arm, **tags)) as again:
        for step in (1, 2):
            later.metrics(again, {"loss": 1.0}, step=step)
    assert again == first == later.finished(described(arm, **tags))
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    history = client.get_metric_history(first, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]
    # Other tags, another parent, or a run that somebody deleted: another run.
    others = [described(arm, **{**tags, "trial": "1"}), described(start(tracker, "other"), **tags)]
    assert {later.finished(other) for other in others} == {NO_RUN}
    client.delete_run(first)
    with later.run(described(arm, **tags)) as new:
        assert new not in (NO_RUN, first)


def test_a_store_that_fails_later_warns_once_and_goes_on(
    tracker: Tracker, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        tracker.metrics("0" * 32, {"loss": 1.0})
    assert capsys.readouterr().err.count("warning: MLflow") == 1


def test_a_store_that_is_lost_ends_no_training(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("gone")

    for method in ("create_run", "log_batch", "set_terminated", "log_artifact", "search_runs"):
        monkeypatch.setattr(MlflowClient, method, lost)
    run = start(tracker)
    tracker.end_abandoned({"arm": "x"})
    tracker.metrics(run, {"loss": 1.0})
    tracker.artifact(run, Path(__file__))
    assert capsys.readouterr().err.count("warning: MLflow") == 1


def test_runs_of_killed_processes_are_ended(tracker: Tracker, tmp_path: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    mine = client.create_run(experiment, tags={"arm": "x", "folder": "/a b/runs"})
    other = client.create_run(experiment, tags={"arm": "x", "folder": "/elsewhere"})
    tracker.end_abandoned({"arm": "x", "folder": "/a b/runs"})
    assert client.get_run(mine.info.run_id).info.status == "KILLED"
    assert client.get_run(other.info.run_id).info.status == "RUNNING"


def place(folder: Path, monkeypatch: pytest.MonkeyPatch, uri: str | None = None) -> Path:
    """Make a folder the repository and the working directory."""
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if uri is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return folder


def log_file(folder: Path, fingerprint: str = "abc") -> str:
    """Log a file to a run; return its id."""
    tracker = Tracker()
    (folder / "file.txt").write_text("content")
    with tracker.run(described(fingerprint=fingerprint)) as run:
        tracker.artifact(run, folder / "file.txt")
    return run


def logged_files(folder: Path) -> set[str]:
    return {path.parts[-3] for path in folder.glob("mlartifacts/*/artifacts/file.txt")}


def refusal() -> str:
    with pytest.raises(OSError, match="MLflow's store") as caught:
        Tracker()
    message = str(caught.value)
    assert "\n" not in message
    return message


# Relative ones, too, where the working directory is a temporary copy of the repository.
@pytest.mark.parametrize("uri", ["sqlite:///sub/mine.db", "sqlite:///{}/sub/mine.db"])
def test_uri_of_the_user_wins(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path, monkeypatch, uri.format(tmp_path))
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    run = log_file(tmp_path)
    assert (tmp_path / "sub" / "mine.db").is_file() and not (tmp_path / "mlflow.db").exists()
    assert logged_files(tmp_path / "sub") == {run}
    assert not (tmp_path / "mlruns").exists(), "it would hide the database from `mlflow ui`"
    assert list((tmp_path / "copy").iterdir()) == []


def test_folders_as_stores_are_those_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uri in ("mlruns", "./mlruns", "file:mlruns", (tmp_path / "mlruns").as_uri()):
        place(tmp_path, monkeypatch, uri)
        assert _address() == ((tmp_path / "mlruns").as_uri(), None)
        assert "such as sqlite:///mlflow.db" in refusal(), "MLflow no longer takes them"


def test_any_name_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = place(tmp_path / "o'brien my%20drive what? a#b Straße back\\slash", monkeypatch)
    run = log_file(folder)
    tracker = Tracker()
    tracker.end_abandoned({"folder": str(folder)})
    assert tracker.finished(described()) == run
    names = {".locks", "file.txt", "mlartifacts", "mlflow.db"}
    assert {path.name for path in folder.iterdir()} == names
    assert list(tmp_path.iterdir()) == [folder]
    assert capsys.readouterr().err == ""


def test_files_move_with_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = log_file(place(tmp_path / "old", monkeypatch))
    (tmp_path / "old").rename(tmp_path / "new %20")
    new = place(tmp_path / "new %20", monkeypatch)
    second = log_file(new, "def")
    assert not (tmp_path / "old").exists()
    copy = tmp_path / "copy"
    shutil.copytree(new, copy)
    place(copy, monkeypatch)
    third = log_file(copy, "ghi")
    assert logged_files(new) == {first, second}
    assert logged_files(copy) == {first, second, third}
    client = MlflowClient(tracking_uri=f"sqlite:///{copy}/mlflow.db")
    for run in (first, second, third):
        assert [file.path for file in client.list_artifacts(run)] == ["file.txt"]
        assert client.get_run(run).info.artifact_uri.startswith(copy.as_uri())


def test_clones_with_one_database_keep_files_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{tmp_path}/lab/lab.db"
    runs = {log_file(place(tmp_path / name, monkeypatch, uri), name) for name in ("one", "two")}
    assert logged_files(tmp_path / "lab") == runs
    assert capsys.readouterr().out.count((tmp_path / "lab" / "mlartifacts").as_uri()) == 2


def damage(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute(statement)


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("other version", "mlflow db upgrade sqlite:///mlflow.db"),
        ("no database", "move sqlite:///mlflow.db away"),
        ("truncated", "move sqlite:///mlflow.db away"),
        ("folder", "writable"),
        ("deleted", "MLFLOW_TRACKING_URI=sqlite:///mlflow.db mlflow experiments restore -x 1"),
    ],
)
def test_advice_on_a_local_store(
    state: str, advice: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place(tmp_path, monkeypatch)
    database = folder / "mlflow.db"
    shutil.copy(made, database)
    if state == "other version":
        damage(folder, "UPDATE alembic_version SET version_num = 'cc1f77228345'")
    elif state == "no database":
        database.write_text("not a database " * 100)
    elif state == "truncated":
        database.write_bytes(database.read_bytes()[:100_000])
    elif state == "folder":
        database.unlink()
        database.mkdir()
    else:
        damage(
            folder, f"UPDATE experiments SET lifecycle_stage='deleted' WHERE name='{EXPERIMENT}'"
        )
    message = refusal()
    assert advice in message and "unset" not in message


def test_locked_database_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, monkeypatch)
    Tracker()
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(tracking_store, "_PATIENCE", 1)
        assert "TimeoutError" in refusal()
        writer.rollback()


def test_training_needs_a_store_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place(tmp_path, monkeypatch)
    run = start(Tracker())
    place(tmp_path, monkeypatch, f"sqlite:///file:{tmp_path}/mlflow.db?mode=ro&uri=true")
    assert "make its file and folder writable" in refusal()
    tracker = Tracker(required=False)
    tracker.metrics(run, {"loss": 1.0})
    tracker.artifact(run, Path(__file__))
    assert capsys.readouterr().err.count("warning: MLflow") == 1


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://alice:s3cret@127.0.0.1:{server.getsockname()[1]}"


def test_silent_server_is_asked_once(
    silent: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    place(tmp_path, monkeypatch, silent)
    assert "Read timed out" in refusal()
    begun = time.monotonic()
    tracker = Tracker(required=False)
    for step in range(50):
        tracker.metrics("0" * 32, {"loss": 1.0}, step)
    assert time.monotonic() - begun < 5
    message = capsys.readouterr().err
    assert message.count("warning: MLflow") == 1 and "s3cret" not in message


def test_run_that_lacks_metrics_gets_them_in_order_later(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def lost(*_: object, **__: object) -> None:
        calls.append(1)
        raise ConnectionError("gone")

    with tracker.run(described()) as run:
        tracker.metrics(run, {"loss": 1.0}, step=1)
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_batch", lost)
            for step in (2, 3):
                tracker.metrics(run, {"loss": 1.0}, step)
        tracker.metrics(run, {"loss": 1.0}, step=4)
    assert calls == [1], "once, and not again at every epoch"
    monkeypatch.setattr(tracking, "_PAUSE", 0)
    later = Tracker()
    assert later.finished(described()) == NO_RUN, "it lacks some"
    with later.run(described()) as again:
        for step in range(1, 5):
            later.metrics(again, {"loss": 1.0}, step)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert [point.step for point in client.get_metric_history(run, "loss")] == [1, 2, 3, 4]
    assert again == run == later.finished(described())


def test_files_that_are_refused_do_not_cost_metrics(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no bucket")

    monkeypatch.setattr(MlflowClient, "log_artifact", refused)
    with tracker.run(described()) as run:
        tracker.artifact(run, Path(__file__))
        tracker.metrics(run, {"loss": 1.0}, step=1)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert client.get_run(run).data.metrics == {"loss": 1.0}
    assert client.get_run(run).info.status == "FINISHED"


@pytest.mark.parametrize(
    "uri",
    [
        "http://alice:s3cret@127.0.0.1:1",
        "http://alice:s3/cret@127.0.0.1:1",
        "https://s3cret@127.0.0.1:1",
        "postgresql://alice:s3cret@127.0.0.1:1/db",
        "postgresql://alice:s3@cret@127.0.0.1:1/db",
        "postgresql:///db?user=alice&password=s3cret",
        "ftp://alice:s3cret@host",
        "alice:s3cret@host",
    ],
)
def test_no_password_in_a_message(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    place(tmp_path, monkeypatch, uri)
    printed = refusal() + "".join(capfd.readouterr())
    assert "s3" not in printed and "cret" not in printed


def test_processes_that_start_at_once_share_one_experiment(tmp_path: Path) -> None:
    environment = {**os.environ, "DVC_ROOT": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-c", "from pipeline.parts.tracking import Tracker; Tracker()"]
    processes = [subprocess.Popen(command, cwd=tmp_path, env=environment) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert len([e for e in client.search_experiments() if e.name == EXPERIMENT]) == 1
