import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from cmmanet.params import EvaluatePlan
from pipeline import workspace


def test_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "folder" / "file.json"
    workspace.write_json(target, {"a": 1})

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        workspace.write_json(target, {"a": 2})
    assert json.loads(target.read_text()) == {"a": 1}
    assert list(target.parent.iterdir()) == [target], "no temporary file is left"


def test_raw_data_outlive_a_temporary_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("CMMANET_DATA", raising=False)
    assert workspace.raw_folder() == tmp_path / "data" / "raw"
    monkeypatch.setenv("CMMANET_DATA", "../archives")
    assert workspace.raw_folder() == tmp_path / ".." / "archives"
    monkeypatch.setenv("CMMANET_DATA", "/mnt/archives")
    assert workspace.raw_folder() == Path("/mnt/archives")


HOLDER = """
import sys, time
from pathlib import Path
from pipeline import workspace
with workspace.locked(Path("locks"), "train", wait=False):
    print("held", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Starts a process that holds the lock for some seconds."""
    monkeypatch.chdir(tmp_path)
    started: list[subprocess.Popen[bytes]] = []

    def start(seconds: float) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(seconds)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_lock_of_another_process_is_told_and_ends_with_it(holder: Callable[..., Any]) -> None:
    process = holder(60)
    with (
        pytest.raises(BlockingIOError, match=rf"train is .* process, {process.pid}: end that"),
        workspace.locked(Path("locks"), "train", wait=False),
    ):
        pass
    process.kill()
    process.wait()
    with workspace.locked(Path("locks"), "train", wait=False):
        pass


def test_waiting_for_a_lock_gets_it(
    holder: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    process = holder(1)
    with workspace.locked(Path("locks"), "train", wait=True):
        assert process.wait(timeout=10) == 0
    assert f"{process.pid}: waiting for it" in capsys.readouterr().out


def test_plan_that_is_missing_or_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python -m pipeline\.plan"):
        workspace.read_plan(EvaluatePlan, "evaluate.json")
    workspace.write_json(workspace.plan_file("evaluate.json"), {"metric": "cosine"})
    with pytest.raises(ValueError, match="of another version"):
        workspace.read_plan(EvaluatePlan, "evaluate.json")
