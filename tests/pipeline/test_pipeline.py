"""The whole pipeline at toy size, in a clone of its own, as a user runs it."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY
from mlflow import MlflowClient

from cmmanet.params import ArmPlan
from cmmanet.training.diagnosis import diagnose

ARMS = ("baseline", "cmmanet-random_interval", "cmmanet-restricted")


class Clone:
    """A clone of the working tree, and commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CMMANET_DATA": "data/raw",
        }
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "PYTHONPATH"):
            self.environment.pop(name, None)

    def run(self, *command: str, succeeds: bool = True) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        assert (done.returncode == 0) == succeeds, done.stdout
        return done.stdout

    def stages_run(self, output: str) -> set[str]:
        return set(re.findall(r"Running stage '([^']+)'", output))

    def read(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text())

    def mlflow_runs(self) -> list:
        client = MlflowClient(tracking_uri=f"sqlite:///{self.folder}/mlflow.db")
        experiment = client.get_experiment_by_name("cmmanet")
        return list(client.search_runs([experiment.experiment_id]))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("clone") / "cmmanet"
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.split("\n")
    for file in filter(None, files):
        # Results and locks of the committed runs belong to other parameters.
        if file.startswith(("results/", "reports/")) or file.endswith("dvc.lock"):
            continue
        if (REPOSITORY / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / file, folder / file)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["arms"] = list(ARMS)
    params["readings"] = {"eq7": params["readings"]["eq7"]}
    params["data"]["synthetic"]["trials"] = 2
    params["data"]["synthetic"]["render"] |= {
        "train_identities": 5,
        "test_identities": 4,
        "distractors": 2,
        "junk": 2,
        "cameras": 2,
        "tracklets_per_camera": 1,
        "frames_min": 2,
        "frames_max": 4,
        "height": 64,
        "width": 32,
    }
    demo = params["recipes"]["demo"]
    demo["image"] = {"height": 64, "width": 32}
    demo["batch"] = {"identities": 4, "clips": 2}
    demo["model"] |= {"submodules": 2, "hidden": 8}
    demo["schedule"] |= {"iterations": 3, "warmup": 0, "milestones": [2]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    clone = Clone(folder)
    clone.run("git", "init", "-q", "-b", "main")
    clone.run("git", "config", "user.name", "test")
    clone.run("git", "config", "user.email", "test@example.invalid")
    clone.run("git", "add", ".")
    clone.run("git", "commit", "-qm", "toy")
    clone.first_output = clone.run("dvc", "repro")  # type: ignore[attr-defined]
    yield clone


def test_every_stage_ran_and_left_its_outputs(clone: Clone) -> None:
    ran = clone.stages_run(clone.first_output)  # type: ignore[attr-defined]
    once = (
        "fetch", "index", "split", "compare", "claims", "curves", "retrievals", "figures",
    )  # fmt: skip
    expected = {"plan", "tables", "page", *(f"{stage}@synthetic" for stage in once)}
    each = ("train", "embed", "evaluate", "attention")
    expected |= {f"{stage}@synthetic-{arm}" for stage in each for arm in ARMS}
    assert ran == expected
    tables = (clone.folder / "reports/tables.md").read_text()
    assert "not run" in tables and "`cmmanet-restricted`" in tables
    sources = [path.read_text() for path in (clone.folder / "reports/tables").glob("*.tex")]
    assert sources and not [text for text in sources if "U+" in text], "a sign LaTeX has not"
    metrics = clone.read("reports/metrics.json")["synthetic"]
    result = clone.read("results/synthetic/cmmanet-random_interval.json")
    assert metrics["rank1"] == result["mean"]["cosine.dense"]["rank1"]
    assert len(result["trials"]) == 2 and result["partial"] is False
    values = [trial["metrics"]["cosine.dense"]["map"] for trial in result["trials"]]
    assert result["mean"]["cosine.dense"]["map"] == pytest.approx(sum(values) / 2)
    assert not clone.run("git", "status", "--porcelain", "--", "src", "pipeline").strip()


def test_result_and_report_tell_what_training_warned_of(clone: Clone) -> None:
    page = " ".join((clone.folder / "reports/tables.md").read_text().split())
    section = page[page.index("## Synthetic: not in the paper") :]
    every: dict[str, str] = {}
    for arm in ARMS:
        result = clone.read(f"results/synthetic/{arm}.json")
        assert result["environment"]["processes"] == 1
        assert result["environment"]["nondeterministic"] == []
        plan = ArmPlan.model_validate(result["config"])
        for trial in result["trials"]:
            folder = clone.folder / f"runs/synthetic/{arm}/trial-{trial['trial']:02d}"
            with (folder / "history.csv").open() as file:
                epochs = [
                    {name: float(value) for name, value in row.items()}
                    for row in csv.DictReader(file)
                ]
            signs: dict[str, str] = {}
            for epoch in epochs:
                signs = diagnose(plan, epoch) | signs  # the first time counts
            assert trial["warnings"] == signs
            every = signs | every
    assert all(sentence in section for sentence in every.values())
    assert ("Training warned of nothing." in section) == (not every)


def test_mlflow_has_a_run_an_arm_and_a_nested_run_a_trial(clone: Clone) -> None:
    runs = {run.info.run_id: run for run in clone.mlflow_runs()}
    result = clone.read("results/synthetic/baseline.json")
    parent = runs[result["mlflow_run"]]
    assert parent.data.tags["arm"] == "baseline"
    assert parent.data.metrics["cosine.dense.rank1"] == result["mean"]["cosine.dense"]["rank1"]
    for trial in result["trials"]:
        run = runs[trial["mlflow_run"]]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert (
            run.data.metrics["cosine.dense.map_step"]
            == trial["metrics"]["cosine.dense"]["map_step"]
        )
        assert {"loss", "loss_triplet", "lr", "triplet_active"} <= set(run.data.metrics)
        assert run.data.params["optimiser.lr"] == "0.001"
        assert run.inputs.dataset_inputs[0].dataset.name == "synthetic"
    client = MlflowClient(tracking_uri=f"sqlite:///{clone.folder}/mlflow.db")
    assert {"tables.md", "cmc.png"} == {f.path for f in client.list_artifacts(parent.info.run_id)}
    artifacts = {f.path for f in client.list_artifacts(result["trials"][0]["mlflow_run"])}
    assert artifacts == {"history.csv", "clips.png"}


def test_repeat_looks_at_the_data_and_does_nothing_else(clone: Clone) -> None:
    before = {run.info.run_id for run in clone.mlflow_runs()}
    assert clone.stages_run(clone.run("dvc", "repro")) == {"fetch@synthetic"}
    assert {run.info.run_id for run in clone.mlflow_runs()} == before


def test_wrong_value_is_refused_before_any_work(clone: Clone) -> None:
    output = clone.run("dvc", "exp", "run", "-S", "sampler=restrcted", succeeds=False)
    assert "error: params.yaml: sampler: 'restrcted' is not one of" in output
    assert clone.stages_run(output) == {"plan"}
    clone.run("git", "checkout", "-q", "params.yaml")
    assert clone.stages_run(clone.run("dvc", "repro")) <= {"plan", "fetch@synthetic"}


def test_readings_are_run_when_asked_for(clone: Clone) -> None:
    output = clone.run("dvc", "repro", "studies/ambiguity/dvc.yaml")
    ran = {stage for stage in clone.stages_run(output) if "ambiguity" in stage}
    study = "studies/ambiguity/dvc.yaml"
    assert ran == {
        f"{study}:ambiguity",
        *(f"{study}:{stage}@synthetic-eq7" for stage in ("train", "embed", "evaluate")),
    }
    page = (clone.folder / "reports/ambiguity.md").read_text()
    assert "losses.diversity_form eq7 (not eq8)" in page
    reading = clone.read("readings/results/synthetic/reading-eq7.json")
    assert reading["config"]["losses"]["diversity_form"] == "eq7"
    # The report knows nothing of it.
    assert clone.stages_run(clone.run("dvc", "repro")) == {"fetch@synthetic"}


def test_changed_sampler_moves_the_headline_without_training(clone: Clone) -> None:
    clone.run("git", "add", ".")
    clone.run("git", "commit", "-qm", "results")
    output = clone.run("dvc", "exp", "run", "-n", "other", "-S", "sampler=restricted")
    again = ("fetch", "compare", "claims", "curves", "retrievals", "figures")
    after = {"plan", "tables", "page", *(f"{stage}@synthetic" for stage in again)}
    assert clone.stages_run(output) == after
    assert clone.read("reports/metrics.json")["synthetic"]["arm"] == "cmmanet-restricted"
    shown = json.loads(clone.run("dvc", "exp", "show", "--json"))
    names = re.findall(r'"arm": "([^"]+)"', json.dumps(shown))
    assert "cmmanet-restricted" in names and "cmmanet-random_interval" in names
    clone.run("git", "checkout", "-q", ".")
    # Studies that were never run have nothing to check out.
    clone.run("dvc", "checkout", "-q", "dvc.yaml")


def test_experiment_in_a_temporary_copy_shares_runs(clone: Clone) -> None:
    before = len(clone.mlflow_runs())
    output = clone.run(
        "dvc", "exp", "run", "--temp", "-n", "far",
        "-S", "arms=[cmmanet-random_interval]", "-S", "data.synthetic.trials=3",
    )  # fmt: skip
    assert "train@synthetic-cmmanet-random_interval" in clone.stages_run(output)
    trained = re.findall(r"trial-(\d\d): [\d,]+ tracklets of", output)
    assert trained == ["02"], "the others are in the original's store"
    runs = clone.mlflow_runs()
    assert len(runs) == before + 1, "one more trial of the same arm"
    assert runs[0].data.tags["dvc.experiment"] == "far"
    assert not clone.run("git", "status", "--porcelain", "--", "params.yaml").strip()
    shown = clone.run("dvc", "exp", "show", "--csv")
    assert "far" in shown


def test_killed_dvc_takes_its_trainer_along(clone: Clone) -> None:
    before = {run.info.run_id for run in clone.mlflow_runs()}
    params = clone.folder / "params.yaml"
    original = params.read_text()
    params.write_text(original.replace("iterations: 3", "iterations: 1000000"))
    log = clone.folder.parent / "killed.log"
    try:
        with log.open("wb") as output:
            dvc = subprocess.Popen(
                ["dvc", "repro", "train@synthetic-baseline"],
                cwd=clone.folder,
                env=clone.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # A line every ten seconds, with how long it will take.
        wait_for(lambda: re.search(rb"frames/s .* left", log.read_bytes()))
    finally:
        dvc.kill()
        dvc.wait()
        params.write_text(original)  # else the next test would train for hours
    wait_for(lambda: b"error: interrupted" in log.read_bytes())
    folder = clone.folder / "runs/synthetic/baseline"
    assert not list(folder.rglob("*"))
    new = [run for run in clone.mlflow_runs() if run.info.run_id not in before]
    assert {run.info.status for run in new} == {"KILLED"} and len(new) == 2

    output_again = clone.run("dvc", "repro")
    assert not {stage for stage in clone.stages_run(output_again) if stage.startswith("train")}
    assert (folder / "trial-01" / "weights.safetensors").is_file(), "restored from the cache"


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
    clone.run("dvc", "repro")


@pytest.mark.parametrize("moment", [0.0, 0.8])
def test_killed_after_its_last_iteration_it_trains_nothing_again(
    clone: Clone, moment: float
) -> None:
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
    time.sleep(moment)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stored = {path: path.stat().st_ino for path in clone.folder.glob(".runs/finished/*/*")}
    assert "tracklets of" not in clone.run(*TRAIN)
    assert {path: path.stat().st_ino for path in stored} == stored and len(trained(clone)) == 4


def wait_for(condition: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


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
    status = clone.run("dvc", "status", "train@synthetic-baseline")
    assert "index.json" in status


def test_archive_cut_short_stops_the_pipeline_with_its_name(clone: Clone) -> None:
    archive = next((clone.folder / "data/raw/synthetic").glob("*/bbox_test.zip"))
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    output = clone.run("dvc", "repro", "index@synthetic", succeeds=False)
    assert re.search(r"error: .*bbox_test\.zip: .*cut short", output)
    archive.write_bytes(whole)
