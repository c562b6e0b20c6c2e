import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from mlflow import MlflowClient

from pipeline.parts.tracking import NO_RUN, TrackedRun, Tracker
from pipeline.parts.tracking_store import EXPERIMENT

pytestmark = pytest.mark.slow

DATASET = {"name": "synthetic", "digest": "abc", "source": "data/synthetic/frames.parquet"}


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
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


def test_uri_of_the_user_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mine.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    tracker = Tracker()
    run = start(tracker)
    (tmp_path / "file.txt").write_text("content")
    tracker.artifact(run, tmp_path / "file.txt")
    assert (tmp_path / "mine.db").is_file() and not (tmp_path / "mlflow.db").exists()
    assert not (tmp_path / "mlruns").exists(), "it would hide the database from `mlflow ui`"


def test_unreachable_store_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(OSError, match="unset MLFLOW_TRACKING_URI"):
        Tracker()


def test_processes_that_start_at_once_share_one_experiment(tmp_path: Path) -> None:
    environment = {**os.environ, "DVC_ROOT": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-c", "from pipeline.parts.tracking import Tracker; Tracker()"]
    processes = [subprocess.Popen(command, cwd=tmp_path, env=environment) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert len([e for e in client.search_experiments() if e.name == EXPERIMENT]) == 1
