import json
import os
import subprocess
import sys
from pathlib import Path

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


def test_lock_of_another_process_is_told_and_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time\n"
            "from pipeline import workspace\n"
            "with workspace.locked('train', ''): print('held', flush=True); time.sleep(60)\n",
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with pytest.raises(BlockingIOError, match="busy"), workspace.locked("train", "busy"):
        pass
    holder.kill()
    holder.wait()
    with workspace.locked("train", "busy"):
        pass


def test_plan_that_is_missing_or_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python -m pipeline\.plan"):
        workspace.read_plan(EvaluatePlan, "evaluate.json")
    workspace.write_json(workspace.plan_file("evaluate.json"), {"metric": "cosine"})
    with pytest.raises(ValueError, match="of another version"):
        workspace.read_plan(EvaluatePlan, "evaluate.json")
