import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY

from cmmanet.params import EvaluatePlan
from pipeline.parts import workspace


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


@pytest.mark.parametrize("content", [b"", b"\x00\xff\r\n"])
def test_bytes_are_written_as_they_are(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "deep" / "file"
    workspace.write_bytes(target, content)
    assert target.read_bytes() == content
    assert target.stat().st_mode & 0o777 == 0o644, "others may read it, as any file"


def test_table_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "rankings" / "arm.parquet"
    table = pa.table({"query": [3, 1], "ap": [0.1, None], "scoring": ["cosine", "é"]})
    workspace.write_table(target, table)
    assert pq.read_table(target).equals(table)

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        workspace.write_table(target, table.slice(1))
    assert pq.read_table(target).equals(table)
    assert list(target.parent.iterdir()) == [target]


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(name)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "embeddings" / "mars" / "arm"
    with workspace.whole_folder(target) as partial:
        fill(partial, "a", "b")
        assert not target.exists()
    assert names(target) == {"a", "b"} and names(target.parent) == {"arm"}
    # What was there stays until then, and nothing of it afterwards.
    with workspace.whole_folder(target) as partial:
        assert names(partial) == set()
        fill(partial, "c")
        assert names(target) == {"a", "b"}
    assert names(target) == {"c"} and names(target.parent) == {"arm"}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [(), ("a", "b")])
def test_folder_that_is_not_filled_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException], before: tuple[str, ...]
) -> None:
    target = tmp_path / "arm"
    if before:
        target.mkdir()
        fill(target, *before)
    with pytest.raises(error), workspace.whole_folder(target) as partial:
        fill(partial, "c")
        raise error
    assert names(tmp_path) == ({"arm"} if before else set())
    assert not before or names(target) == set(before)


def test_folder_of_a_killed_process_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".arm").mkdir()
    fill(tmp_path / ".arm", "half")
    with workspace.whole_folder(tmp_path / "arm") as partial:
        fill(partial, "a")
    assert names(tmp_path) == {"arm"} and names(tmp_path / "arm") == {"a"}


def test_readings_lie_beside_what_reports_depend_on() -> None:
    for place in (
        workspace.run_folder,
        workspace.embedding_folder,
        workspace.result_file,
        workspace.ranking_file,
    ):
        own, reading = place("mars", "cmmanet"), place("mars", "reading-k8")
        assert reading.parts[0] == "readings" != own.parts[0]
        assert reading.parent == "readings" / own.parent


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
from pipeline.parts import workspace
with workspace.locked(Path("locks"), "train"):
    print("held", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Starts a process that holds the lock for some seconds."""
    monkeypatch.chdir(tmp_path)
    started: list[subprocess.Popen[bytes]] = []

    def start(seconds: float, script: str = HOLDER) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(seconds)],
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


@pytest.mark.slow
def test_lock_of_another_process_is_told_and_ends_with_it(holder: Callable[..., Any]) -> None:
    process = holder(60)
    with (
        pytest.raises(BlockingIOError, match=rf"train is .* process, {process.pid}: end that"),
        workspace.locked(Path("locks"), "train"),
    ):
        pass
    process.kill()
    process.wait()
    with workspace.locked(Path("locks"), "train"):
        pass


LESSEE = """
import sys, time
from pathlib import Path
from pipeline.parts import workspace
with workspace.leased(Path("data"), "fetch"):
    print("held", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["released", "killed"])
def test_the_second_to_write_to_a_folder_waits(
    end: str, holder: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    process = holder(1 if end == "released" else 60, LESSEE)
    if end == "killed":
        threading.Timer(1, lambda: (process.kill(), process.wait())).start()
    with workspace.leased(Path("data"), "fetch"):
        assert process.wait(timeout=10) == (0 if end == "released" else -signal.SIGKILL)
    assert f"process {process.pid} on" in capsys.readouterr().out
    assert list(Path("data").iterdir()) == []


def test_dead_machines_lease_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workspace, "LEASE", 0.5)
    start = "filelock/2\npid=1\nhost=elsewhere\nmode=lease\n"
    (tmp_path / ".lock").write_text(f"{start}token={'0' * 32}\nduration=0.5\nstart=1\n")
    with workspace.leased(tmp_path, "fetch"):
        assert "process 1 on elsewhere: waiting" in capsys.readouterr().out


def test_rendered_data_lie_where_they_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("CMMANET_DATA", "lab")
    shared, own = (tmp_path / name / "synthetic" / "ab" for name in ("lab", "data/raw"))
    assert workspace.raw_data("synthetic/ab") == shared, "where it would be put"
    own.mkdir(parents=True)
    assert workspace.raw_data("synthetic/ab") == own
    shared.mkdir(parents=True)
    assert workspace.raw_data("synthetic/ab") == shared


def test_plan_that_is_missing_or_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python -m pipeline\.plan"):
        workspace.read_plan(EvaluatePlan, "evaluate.json")
    workspace.write_json(workspace.plan_file("evaluate.json"), {"metric": "cosine"})
    with pytest.raises(ValueError, match="of another version"):
        workspace.read_plan(EvaluatePlan, "evaluate.json")
