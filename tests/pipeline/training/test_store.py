"""The store: nothing half written, nothing trained twice, nothing lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from conftest import REPOSITORY

from pipeline.parts import workspace
from pipeline.training.request import key_of
from pipeline.training.store import RunStore

LABEL = "mars baseline trial-00"
REQUEST = {"plan": {"lr": 0.002}, "seed": 0}
RESUME = {**REQUEST, "loose": True}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def writes(content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "weights").write_text(content)

    return write


def checkpoint(folder: Path) -> Path:
    path = folder / "iteration-000000005.ckpt"
    path.write_text("state")
    return path


def test_a_published_run_is_found_by_what_it_depends_on(store: RunStore) -> None:
    store.publish(LABEL, REQUEST, {"seconds": 1.5}, writes("first"))
    again = RunStore(store.root).find(dict(reversed(REQUEST.items())))
    assert again is not None and again.key == key_of(REQUEST) and again.finished
    assert (again.label, again.record, list(again.files)) == (LABEL, {"seconds": 1.5}, ["weights"])
    assert store.find({**REQUEST, "seed": 1}) is None
    with store.claim(LABEL, REQUEST, RESUME, wait=True) as folder:
        assert folder is None
    assert [run.key for run in store.runs()] == [again.key]


def test_the_first_of_two_stays(store: RunStore) -> None:
    store.publish(LABEL, REQUEST, {}, writes("first"))
    RunStore(store.root).publish("another", REQUEST, {}, writes("second"))
    stored = store.find(REQUEST)
    assert stored is not None and (stored.folder / "weights").read_text() == "first"
    assert not list((store.root / "partial").iterdir())


def test_a_full_disk_publishes_nothing_and_keeps_the_checkpoints(store: RunStore) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with store.claim(LABEL, REQUEST, RESUME, wait=False) as folder:
        assert folder is not None
        kept = checkpoint(folder)
        with (
            patch("os.fsync", side_effect=full),
            pytest.raises(OSError, match=r"No space left on device.*run the same command again"),
        ):
            store.publish(LABEL, REQUEST, {}, writes("weights"))
    assert kept.is_file() and store.find(REQUEST) is None
    assert not list((store.root / "partial").iterdir())


@pytest.mark.parametrize("damage", ["weights", "stored.json", "gone"])
def test_a_damaged_run_is_set_aside(
    store: RunStore, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store.publish(LABEL, REQUEST, {}, writes("weights"))
    folder = store.root / "finished" / key_of(REQUEST)
    if damage == "gone":
        (folder / "weights").unlink()
    else:
        (folder / damage).write_text("rotten")
    assert RunStore(store.root).find(REQUEST) is None
    assert "damaged" in capsys.readouterr().out
    assert len(store.leftovers()) == 1 and not list(store.runs())
    store.publish(LABEL, REQUEST, {}, writes("again"))
    assert RunStore(store.root).find(REQUEST) is not None


def test_an_interrupted_run_is_claimed_again(store: RunStore) -> None:
    with pytest.raises(KeyboardInterrupt), store.claim(LABEL, REQUEST, RESUME, wait=False) as first:
        assert first is not None
        checkpoint(first)
        raise KeyboardInterrupt
    (run,) = store.runs()
    assert not run.finished and run.request == RESUME and not store.is_leased(run)
    # Another patch version is another request, and goes on all the same.
    newer = {**REQUEST, "patch": 2}
    with store.claim(LABEL, newer, RESUME, wait=False) as second:
        assert second == first and store.is_leased(run)
        store.publish(LABEL, newer, {}, writes("weights"))
    assert [run.finished for run in store.runs()] == [True], "its checkpoints are gone"


def test_what_failed_before_its_first_checkpoint_leaves_nothing(store: RunStore) -> None:
    with pytest.raises(ValueError), store.claim(LABEL, REQUEST, RESUME, wait=False):
        raise ValueError
    assert not list(store.runs())


def test_a_near_miss_is_printed(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.publish(LABEL, {"plan": {"lr": 0.1}, "seed": 9}, {}, writes("far"))
    store.publish(LABEL, {"plan": {"lr": 0.1}, "seed": 0}, {}, writes("near"))
    store.publish("mars other trial-00", {"plan": {"lr": 0.002}, "seed": 1}, {}, writes("other"))
    with store.claim(LABEL, REQUEST, RESUME, wait=False) as folder:
        assert folder is not None
        checkpoint(folder)
        # One that is being trained was not interrupted.
        with store.claim(LABEL, {"seed": 0}, {"seed": 0}, wait=False):
            pass
    with store.claim(LABEL, {"seed": 3}, {**RESUME, "seed": 3}, wait=False):
        pass
    first, second, third = capsys.readouterr().out.splitlines()
    near = key_of({"plan": {"lr": 0.1}, "seed": 0})
    assert "the finished run in" in first and near in first and first.endswith("0.1 (now 0.002)")
    assert "the finished run in" in second
    assert "the interrupted run in" in third and third.endswith("had seed 0 (now 3)")


HOLD = """
import sys, time
from pathlib import Path
from pipeline.training.store import RunStore
with RunStore(Path(sys.argv[1])).claim(sys.argv[2], {"a": 1}, {"a": 1}, wait=False) as folder:
    (folder / "iteration-1.ckpt").touch()
    print(folder, flush=True)
    time.sleep(60)
"""


def hold(store: RunStore) -> subprocess.Popen[str]:
    """Another process that trains a run."""
    command = [sys.executable, "-c", HOLD, str(store.root), LABEL]
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src")])
    environment = {**os.environ, "PYTHONPATH": paths}
    process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    return process


@pytest.mark.slow
def test_one_process_trains_a_run_and_the_next_goes_on(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"a": 1}
    other = hold(store)
    try:
        with store.claim(LABEL, request, request, wait=False) as folder:
            assert folder is None
        # Killed, and waited for by its parent: a zombie still counts as alive.
        threading.Timer(1, lambda: (other.kill(), other.wait())).start()
        with store.claim(LABEL, request, request, wait=True) as folder:
            assert folder is not None and (folder / "iteration-1.ckpt").is_file()
    finally:
        other.kill()
    assert f"trained by process {other.pid} on" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_of_another_machine_is_taken_over_after_its_lease(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "LEASE", 1.0)
    lease = store.root / "leases" / key_of(RESUME)
    lease.parent.mkdir(parents=True)
    start = "filelock/2\npid=1\nhost=elsewhere\nmode=lease\n"
    lease.write_text(f"{start}token={'0' * 32}\nduration=1.0\nstart=1\n")
    with store.claim(LABEL, REQUEST, RESUME, wait=False) as folder:
        assert folder is None
    began = time.monotonic()
    with store.claim(LABEL, REQUEST, RESUME, wait=True) as folder:
        assert folder is not None
    assert 0.5 < time.monotonic() - began < 20


def test_a_process_whose_run_was_taken_over_ends(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "LEASE", 0.3)
    monkeypatch.setattr(signal, "SIGTERM", signal.SIGUSR1)
    signalled: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: signalled.append(number))
    with store.claim(LABEL, REQUEST, RESUME, wait=False):
        lease = store.root / "leases" / key_of(RESUME)
        content = lease.read_text()
        lease.unlink()
        lease.write_text(content.replace("host=", "host=x"))
        end = time.monotonic() + 10
        while not signalled and time.monotonic() < end:
            time.sleep(0.05)
    assert signalled == [signal.SIGUSR1]


def test_stored_is_readable(store: RunStore) -> None:
    store.publish(LABEL, REQUEST, {}, writes("weights"))
    content = json.loads((store.root / "finished" / key_of(REQUEST) / "stored.json").read_text())
    assert content["request"] == REQUEST and len(content["files"]["weights"]) == 64
