"""What is killed, replaced or damaged in the whole pipeline, at toy size."""

import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from toy import Clone, wait_for

pytestmark = pytest.mark.slow


def test_killed_dvc_leaves_a_stage_that_finishes_its_runs(clone: Clone) -> None:
    target = "train@synthetic-cmmanet-random_interval"
    shutil.rmtree(clone.folder / ".runs")
    log = clone.folder.parent / "killed.log"
    with log.open("wb") as output:
        dvc = subprocess.Popen(
            ["dvc", "repro", "-f", "-s", target],
            cwd=clone.folder,
            env=clone.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        wait_for(lambda: b"trial-00: " in log.read_bytes())
        dvc.kill()
        dvc.wait()
    wait_for(lambda: (clone.folder / "runs/synthetic/cmmanet-random_interval").is_dir())
    again = clone.run("dvc", "--wait-for-lock", "repro", "-s", target)
    assert "tracklets of" not in again, "what the stage has trained is collected"


TRAIN = (sys.executable, "-m", "pipeline.train", "synthetic", "cmmanet-restricted")


def trained(clone: Clone) -> dict[str, object]:
    """Everything that training leaves, but its times and the names of its runs."""
    left: dict[str, object] = {}
    for trial in sorted((clone.folder / "runs/synthetic/cmmanet-restricted").iterdir()):
        left[f"{trial.name}/weights"] = (trial / "weights.safetensors").read_bytes()
        history = pd.read_csv(trial / "history.csv")
        left[f"{trial.name}/history"] = history.drop(
            columns=["seconds", "frames_per_second"]
        ).to_dict("records")
    return left


def checkpoints_of_second_trial(clone: Clone) -> list[Path]:
    requests = (clone.folder / ".runs/unfinished").glob("*/request.json")
    second = [path.parent for path in requests if "trial-01" in path.read_text()]
    return [checkpoint for folder in second for checkpoint in folder.glob("*.ckpt")]


def kill_in_second_trial(clone: Clone) -> None:
    process = subprocess.Popen(
        [*TRAIN, "--save-every", "0"],
        cwd=clone.folder,
        env=clone.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: len(checkpoints_of_second_trial(clone)) >= 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_training_goes_on_and_ends_the_same(clone: Clone) -> None:
    params = clone.folder / "params.yaml"
    original = params.read_text()
    params.write_text(original.replace("iterations: 3", "iterations: 9"))
    clone.run(sys.executable, "-m", "pipeline.plan")
    before = {run.info.run_id for run in clone.mlflow_runs()}

    kill_in_second_trial(clone)
    unfinished = {run.info.run_id for run in clone.mlflow_runs() if run.info.status == "RUNNING"}
    assert len(unfinished) == 2 and not unfinished & before, "the arm and its second trial"
    output = clone.run(*TRAIN)
    assert re.search(r"trial-01 goes on after iteration [2-8] of 9", output)
    assert "trial-00:" not in output, "what was finished is not trained again"
    assert not list((clone.folder / ".runs/unfinished").iterdir())

    client = MlflowClient(tracking_uri=f"sqlite:///{clone.folder}/mlflow.db")
    for run in unfinished:
        assert client.get_run(run).info.status == "FINISHED"
        for metric in client.get_run(run).data.metrics:
            steps = [point.step for point in client.get_metric_history(run, metric)]
            assert len(steps) == len(set(steps)) > 1, "no metric twice"
    record = clone.read("runs/synthetic/cmmanet-restricted/trial-01/run.json")
    assert {record["mlflow_run"], record["mlflow_arm_run"]} == unfinished

    interrupted = trained(clone)
    shutil.rmtree(clone.folder / ".runs")
    clone.run(*TRAIN)
    assert trained(clone) == interrupted
    params.write_text(original)
    clone.run(sys.executable, "-m", "pipeline.plan")


def test_killed_after_its_last_iteration_it_trains_nothing_again(clone: Clone) -> None:
    shutil.rmtree(clone.folder / ".runs", ignore_errors=True)
    process = subprocess.Popen(
        TRAIN,
        cwd=clone.folder,
        env=clone.environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert any("trial-01  3/3" in line for line in process.stdout)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stored = {path: path.stat().st_ino for path in clone.folder.glob(".runs/finished/*/*")}
    assert "tracklets of" not in clone.run(*TRAIN)
    assert {path: path.stat().st_ino for path in stored} == stored and len(trained(clone)) == 4


def test_replaced_archive_is_noticed(clone: Clone) -> None:
    archive = next((clone.folder / "data/raw/synthetic").glob("*/bbox_train.zip"))
    with zipfile.ZipFile(archive) as original:
        members = [(info, original.read(info)) for info in original.infolist()]
    with zipfile.ZipFile(archive, "w") as changed:
        for info, data in members:
            # Other bytes under the same names and sizes.
            changed.writestr(info, data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    output = clone.run("dvc", "repro", "split@synthetic")
    assert "index@synthetic" in clone.stages_run(output)
    status = clone.run("dvc", "status", "train@synthetic-cmmanet-random_interval")
    assert "training.json" in status


def test_archive_cut_short_stops_the_pipeline_with_its_name(clone: Clone) -> None:
    archive = next((clone.folder / "data/raw/synthetic").glob("*/bbox_test.zip"))
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    output = clone.run("dvc", "repro", "index@synthetic", succeeds=False)
    assert re.search(r"error: .*bbox_test\.zip: not a whole zip archive", output)
    archive.write_bytes(whole)
