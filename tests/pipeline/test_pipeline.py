"""What a user does with the whole pipeline, at toy size."""

import csv
import json
import re

import pytest
from mlflow import MlflowClient
from toy import ARMS, Clone

from cmmanet.params import ArmPlan
from cmmanet.training.diagnosis import diagnose

pytestmark = pytest.mark.slow


def test_every_stage_ran_and_left_its_outputs(clone: Clone) -> None:
    ran = clone.stages_run(clone.first_output)
    once = (
        "fetch", "index", "split", "check", "compare", "claims", "curves", "retrievals", "figures",
    )  # fmt: skip
    expected = {"plan", "tables", "page", *(f"{stage}@synthetic" for stage in once)}
    each = ("train", "embed", "evaluate", "attention")
    expected |= {f"{stage}@synthetic-{arm}" for stage in each for arm in ARMS}
    assert ran == expected
    tables = (clone.folder / "reports/tables.md").read_text()
    assert "**Not run:** MARS and iLIDS-VID." in tables and "`cmmanet-restricted`" in tables
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
    section = page[page.index("## Synthetic: all measurements") :]
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
            identities = json.loads((folder / "run.json").read_bytes())["identities"]
            signs: dict[str, str] = {}
            for epoch in epochs:
                signs = diagnose(plan, epoch, identities) | signs  # the first time counts
            assert trial["warnings"] == signs
            every = signs | every
    assert all(sentence in section for sentence in every.values())
    assert ("No warnings." in section) == (not every)


def test_mlflow_has_a_run_an_arm_and_a_nested_run_a_trial(clone: Clone) -> None:
    runs = {run.info.run_id: run for run in clone.mlflow_runs()}
    result = clone.read("results/synthetic/cmmanet-restricted.json")
    parent = runs[result["mlflow_run"]]
    assert parent.data.tags["arm"] == "cmmanet-restricted"
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
    again = ("fetch", "compare", "curves", "retrievals", "figures")
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
        "dvc", "exp", "run", "--temp", "-n", "far", "-S", "data.synthetic.trials=3",
        "train@synthetic-cmmanet-random_interval",
    )  # fmt: skip
    trained = re.findall(r"trial-(\d\d): [\d,]+ tracklets of", output)
    assert trained == ["02"], "the others are in the original's store"
    runs = clone.mlflow_runs()
    assert len(runs) == before + 1, "one more trial of the same arm"
    assert runs[0].data.tags["dvc.experiment"] == "far"
    assert not clone.run("git", "status", "--porcelain", "--", "params.yaml").strip()
    shown = clone.run("dvc", "exp", "show", "--csv")
    assert "far" in shown
