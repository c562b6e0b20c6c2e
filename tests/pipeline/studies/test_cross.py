"""Networks of one dataset on another, none of them trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.records import CrossResult, EvaluateResult
from cmmanet.params import CrossPlan
from pipeline import embed, evaluate
from pipeline.parts import workspace
from pipeline.parts.results import read_result
from pipeline.parts.trained_network import TrainedRun
from pipeline.studies import cross, cross_table

pytestmark = pytest.mark.slow

ARMS = ("multi_mam", "cmmanet-random_interval")

Draw = Callable[[str, str, Sequence[int]], None]


def result_of(dataset: str, arm: str) -> EvaluateResult:
    """Embed and evaluate an arm on its own dataset."""
    embed.main(dataset, arm)
    evaluate.main(dataset, arm)
    return read_result(dataset, arm)


def crossed(source: str, arm: str, target: str) -> CrossResult:
    cross.main(source, arm, target)
    path = workspace.cross_file(source, target, arm)
    return workspace.read_record(CrossResult, path, "studies/cross/dvc.yaml")


def test_each_trial_is_tested_as_a_network_of_the_target_is(
    project: Path, draw_runs: Draw, untracked: None
) -> None:
    # The networks of two trials differ, and both datasets have the same two.
    for dataset in ("mars", "ilids-vid"):
        draw_runs(dataset, "multi_mam", [0, 1])
    own = result_of("mars", "multi_mam")
    result = crossed("ilids-vid", "multi_mam", "mars")
    assert [run.trial for run in result.trials] == [0, 1]
    for run, expected in zip(result.trials, own.trials, strict=True):
        assert run.metrics == expected.metrics and run.split is None
    assert (result.mean, result.std) == (own.mean, own.std)
    assert (result.source, result.dataset, result.arm) == ("ilids-vid", "mars", "multi_mam")
    assert result.protocol == own.protocol and result.splits == 1
    assert result.partial is result.source_partial is True
    assert result.config.dataset == "ilids-vid"
    assert result.embedding.device == own.embedding.device


def test_a_trials_numbers_are_means_over_the_targets_splits(
    project: Path, draw_runs: Draw, untracked: None
) -> None:
    # One network: trial t of evaluation has it answer split t.
    for dataset in ("mars", "ilids-vid"):
        draw_runs(dataset, "multi_mam", [7, 7])
    own = result_of("ilids-vid", "multi_mam")
    result = crossed("mars", "multi_mam", "ilids-vid")
    assert result.splits == 2 and len(result.trials) == 2
    first, second = (run.metrics for run in own.trials)
    assert first != second
    for run in result.trials:
        for scoring, values in run.metrics.items():
            for name, value in values.items():
                expected = (first[scoring][name] + second[scoring][name]) / 2
                assert value == pytest.approx(expected, abs=1e-12)
        assert set(run.metrics) == set(first)


def test_counts_of_queries_are_those_of_the_split_that_dropped_most() -> None:
    splits = [
        {"cosine.dense": {**dict.fromkeys(METRICS, value), "queries": queries, "valid": valid}}
        for value, queries, valid in ((0.25, 10, 9), (0.5, 8, 6), (0.75, 12, 12))
    ]
    assert cross._over_splits(splits) == {
        "cosine.dense": {**dict.fromkeys(METRICS, 0.5), "queries": 8, "valid": 6}
    }


def test_page_has_every_pair_beside_networks_of_the_target(
    project: Path, draw_runs: Draw, untracked: None
) -> None:
    for dataset in ("mars", "ilids-vid"):
        for arm in ARMS:
            draw_runs(dataset, arm, [0, 1])
            result_of(dataset, arm)
    with pytest.raises(
        FileNotFoundError,
        match=r"ilids-vid/multi_mam\.json: missing; run `dvc repro studies/cross/dvc\.yaml`",
    ):
        cross_table.main()
    for arm in ARMS:
        crossed("mars", arm, "ilids-vid")
        crossed("ilids-vid", arm, "mars")
    cross_table.main()
    page = (project / "reports/cross.md").read_text()
    assert page.index("## MARS → iLIDS-VID") < page.index("## iLIDS-VID → MARS")
    assert page.count("**Partial data:**") == 4, "of each pair both datasets"
    for arm in ARMS:
        rows = [line for line in page.splitlines() if line.startswith(f"| `{arm}`")]
        trained_on = [[cell.strip() for cell in row.split("|")][2] for row in rows]
        assert trained_on == ["MARS", "iLIDS-VID", "iLIDS-VID", "MARS"]


def test_finished_runs_outlive_an_interruption(
    project: Path, draw_runs: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_runs("mars", "multi_mam", [0, 1])
    embed_run, embedded = TrainedRun.embed, []

    def interrupted(run: TrainedRun, *arguments: Any) -> Any:
        embedded.append(run.record["trial"])
        if len(embedded) == 2:
            raise KeyboardInterrupt
        return embed_run(run, *arguments)

    monkeypatch.setattr(TrainedRun, "embed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cross.main("mars", "multi_mam", "ilids-vid")
    result = crossed("mars", "multi_mam", "ilids-vid")
    assert embedded == [0, 1, 1]
    assert not any((project / ".unfinished").iterdir())
    again = crossed("mars", "multi_mam", "ilids-vid")
    assert [run.metrics for run in result.trials] == [run.metrics for run in again.trials]

    # Another network, or other code, makes another run.
    for change in (
        lambda: draw_runs("mars", "multi_mam", [2, 1]),
        lambda: monkeypatch.setattr(cross, "code_of", lambda _: {"pipeline.studies.cross": "new"}),
    ):
        del embedded[:]
        with pytest.raises(KeyboardInterrupt):
            cross.main("mars", "multi_mam", "ilids-vid")
        change()
        crossed("mars", "multi_mam", "ilids-vid")
        assert embedded == [0, 1, 0, 1]


def test_without_pairs_the_page_says_what_to_add(project: Path) -> None:
    plan = workspace.read_plan(CrossPlan, "cross.json").model_copy(update={"pairs": ()})
    workspace.write_json(workspace.plan_file("cross.json"), plan.model_dump(mode="json"))
    with pytest.raises(ValueError, match=r"^`cross` in params\.yaml is empty: add a pair"):
        cross_table.main()
    assert not (project / "reports").exists()


def test_what_is_not_there_is_told(project: Path, draw_runs: Draw) -> None:
    with pytest.raises(
        FileNotFoundError, match="no trials; run the stage train mars multi_mam fir"
    ):
        cross.main("mars", "multi_mam", "ilids-vid")
    with pytest.raises(FileNotFoundError, match="run the stage index prid2011 first"):
        cross.main("mars", "multi_mam", "prid2011")
    assert not any((project / "cross").rglob("*.json"))
