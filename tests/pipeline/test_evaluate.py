"""From networks to numbers: embed, evaluate and compare, of networks that were not trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cmmanet.datasets.tracklets import Split, Tracklets
from cmmanet.evaluation.comparison import Comparison, compare
from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.records import EvaluateResult
from pipeline import compare as stage_compare
from pipeline import embed, evaluate
from pipeline.parts import workspace
from pipeline.parts.contrasts import compare_scorings
from pipeline.parts.results import read_result
from pipeline.parts.run_scores import each_query, score_split

pytestmark = pytest.mark.slow

Draw = Callable[[str, str, Sequence[int]], None]


def evaluated(dataset: str, arm: str) -> EvaluateResult:
    embed.main(dataset, arm)
    evaluate.main(dataset, arm)
    return read_result(dataset, arm)


@pytest.mark.parametrize(("dataset", "people"), [("mars", 2), ("ilids-vid", 4)])
def test_means_are_those_of_the_queries_one_by_one(
    dataset: str,
    people: int,
    project: Path,
    draw_runs: Draw,
    untracked: Mapping[str, Mapping[str, float]],
) -> None:
    draw_runs(dataset, "multi_mam", [0, 1])
    result = evaluated(dataset, "multi_mam")
    table = pd.read_parquet(project / f"rankings/{dataset}/multi_mam.parquet")
    trials = workspace.read_json(project / f"data/{dataset}/trials.json", "split")
    assert set(table["scoring"]) == set(result.mean)
    assert len(result.mean) == 8, "two distances, two kinds of frames, re-ranked and not"
    for run in result.trials:
        split = trials["splits"][run.split]
        for scoring, metrics in run.metrics.items():
            rows = table[(table["trial"] == run.trial) & (table["scoring"] == scoring)]
            assert rows["query"].tolist() == split["query"] and rows["pid"].nunique() == people
            for k in (1, 5, 10, 20):
                assert metrics[f"rank{k}"] == np.mean([r <= k for r in rows["first_right_rank"]])
            assert metrics["map"] == pytest.approx(np.mean(rows["ap_trapezoid"]), abs=1e-12)
            assert metrics["map_step"] == pytest.approx(np.mean(rows["ap_step"]), abs=1e-12)
            logged = untracked[f"trial {run.trial}"]
            assert all(logged[f"{scoring}.{name}"] == metrics[name] for name in METRICS)
    assert result.std is not None
    for scoring, metrics in result.mean.items():
        assert metrics.keys() == METRICS.keys()
        for name, value in metrics.items():
            one, other = (run.metrics[scoring][name] for run in result.trials)
            assert value == pytest.approx((one + other) / 2)
            assert result.std[scoring][name] == pytest.approx(abs(one - other) / 2**0.5)
            assert untracked["arm"][f"{scoring}.{name}"] == value


def test_queries_without_a_right_answer_have_no_row() -> None:
    people, cameras = np.array([5, 6, 5, 6]), np.array([1, 1, 2, 1])
    rows, ones = np.arange(4), np.ones(4, np.int64)
    tracklets = Tracklets(rows, people, cameras, rows, ones, np.array(["both"] * 4))
    split = Split(train=[], query=[1, 0], gallery=[2, 3])
    features = torch.eye(4)
    scores = score_split(
        {"dense": features, "chunk_first": features}, [0, 1, 2, 3], tracklets, split, None
    )
    table = each_query(3, split, tracklets, scores).to_pandas()
    assert table["query"].tolist() == [0] * 4 and table["pid"].tolist() == [5] * 4
    assert table["trial"].tolist() == [3] * 4 and table["scoring"].nunique() == 4


def test_networks_or_frames_that_changed_since_are_noticed(
    project: Path, draw_runs: Draw, untracked: object
) -> None:
    draw_runs("mars", "multi_mam", [0, 1])
    evaluated("mars", "multi_mam")
    result = workspace.result_file("mars", "multi_mam").read_bytes()
    draw_runs("mars", "multi_mam", [0, 2])
    with pytest.raises(
        ValueError, match=r"trial-01\.safetensors: made from other weights .* embed mars"
    ):
        evaluate.main("mars", "multi_mam")
    draw_runs("mars", "multi_mam", [0, 1])
    frames = project / "data/mars/frames.json"
    frames.write_text(frames.read_text() + "\n")
    with pytest.raises(ValueError, match=r"trial-00\.safetensors: made from other frames"):
        evaluate.main("mars", "multi_mam")
    assert workspace.result_file("mars", "multi_mam").read_bytes() == result


@pytest.mark.parametrize(
    ("arm", "target"),
    [
        ("multi_mam", "evaluate@mars-multi_mam"),
        ("reading-eq7", "studies/ambiguity/dvc.yaml:evaluate@mars-reading-eq7"),
    ],
)
def test_results_that_cannot_be_read_name_the_target_to_run(
    arm: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = workspace.result_file("mars", arm)
    with pytest.raises(FileNotFoundError, match=rf"^{path}: missing; run `dvc repro {target}`$"):
        read_result("mars", arm)
    workspace.write_json(path, {"dataset": "mars", "arm": arm, "trials": []})
    message = rf"^{path}: written by an incompatible version; run `dvc repro {target}`$"
    with pytest.raises(ValueError, match=message):
        read_result("mars", arm)


def test_a_run_of_an_older_version_is_refused(
    project: Path, draw_runs: Draw, untracked: object
) -> None:
    draw_runs("mars", "multi_mam", [0, 1])
    evaluated("mars", "multi_mam")
    result = workspace.result_file("mars", "multi_mam").read_bytes()
    path = project / "runs/mars/multi_mam/trial-01/run.json"
    record = json.loads(path.read_text())
    del record["cost"]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"^runs/mars/multi_mam: written by an incompatible"):
        evaluate.main("mars", "multi_mam")
    assert workspace.result_file("mars", "multi_mam").read_bytes() == result


def test_an_arm_is_embedded_whole_or_not_at_all(project: Path, draw_runs: Draw) -> None:
    draw_runs("mars", "multi_mam", [0, 1])
    second = project / "runs/mars/multi_mam/trial-01/weights.safetensors"
    whole = second.read_bytes()
    second.write_bytes(whole[:1000])
    folder = project / "embeddings/mars"
    with pytest.raises(ValueError, match=r"trial-01/weights\.safetensors: not the weights of mul"):
        embed.main("mars", "multi_mam")
    assert list(folder.iterdir()) == []
    second.write_bytes(whole)
    embed.main("mars", "multi_mam")
    names = ["trial-00.safetensors", "trial-01.safetensors"]
    assert sorted(path.name for path in (folder / "multi_mam").iterdir()) == names

    # What was there stays where the next one fails, and goes where it has fewer trials.
    before = (folder / "multi_mam" / names[1]).read_bytes()
    second.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match="not the weights of mul"):
        embed.main("mars", "multi_mam")
    assert (folder / "multi_mam" / names[1]).read_bytes() == before
    trials = project / "data/mars/trials.json"
    trials.write_text(json.dumps(json.loads(trials.read_text()) | {"trials": [0]}))
    embed.main("mars", "multi_mam")
    assert [path.name for path in (folder / "multi_mam").iterdir()] == names[:1]


@pytest.mark.parametrize(("dataset", "ratio"), [("mars", None), ("ilids-vid", 4 / 2)])
def test_arms_of_the_report_are_compared_by_its_scoring(
    dataset: str, ratio: float | None, project: Path, draw_runs: Draw, untracked: object
) -> None:
    tables = {}
    for number, arm in enumerate(("multi_mam", "cmmanet-random_interval")):
        draw_runs(dataset, arm, [number, 2 + number])
        evaluated(dataset, arm)
        table = pd.read_parquet(workspace.ranking_file(dataset, arm))
        tables[arm] = table[table["scoring"] == "cosine.dense"]
    stage_compare.main(dataset)
    path = workspace.comparison_file(dataset)
    found = workspace.read_record(Comparison, path, f"compare@{dataset}")
    steps = [("multi_mam", "cmmanet-random_interval")]
    assert found == compare(tables, steps, scoring="cosine.dense", test_to_train=ratio)
    assert found.test_to_train == ratio
    assert (found.queries, found.people) == (4, 2 if dataset == "mars" else 4)
    assert set(found.intervals) == (set(tables) if ratio is None else set())
    assert all(spread.degrees == 1 for spread in found.training.values())


def test_scorings_of_one_arm_are_compared_with_the_headlines(
    project: Path, draw_runs: Draw, untracked: object
) -> None:
    draw_runs("mars", "multi_mam", [0, 1])
    evaluated("mars", "multi_mam")
    headline = Scoring("cosine", "dense")
    steps = compare_scorings("mars", "multi_mam", headline, None)
    # Without queries nobody has a right answer here: no row to compare.
    assert {step.after for step in steps} == {
        "cosine.chunk_first",
        "euclidean.dense",
        "cosine.dense.reranked",
    }
    assert {step.before for step in steps} == {"cosine.dense"}


def test_comparing_what_was_not_evaluated_says_which_stage_to_run(project: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the stage evaluate mars multi_mam first"):
        stage_compare.main("mars")
