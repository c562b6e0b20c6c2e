"""Networks of one dataset on another, none of them trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cmmanet.evaluation.metrics import METRICS
from pipeline import embed, evaluate
from pipeline.parts import workspace
from pipeline.studies import cross, cross_table

ARMS = ("multi_mam", "cmmanet-random_interval")

Draw = Callable[[str, str, Sequence[int]], None]


def result_of(dataset: str, arm: str) -> dict[str, Any]:
    """What evaluation says of an arm on its own dataset."""
    embed.main(dataset, arm)
    evaluate.main(dataset, arm)
    return dict(workspace.read_json(workspace.result_file(dataset, arm), "evaluate"))


def crossed(source: str, arm: str, target: str) -> dict[str, Any]:
    cross.main(source, arm, target)
    return dict(workspace.read_json(workspace.cross_file(source, target, arm), "cross"))


def test_each_trial_is_tested_as_a_network_of_the_target_is(
    project: Path, draw_runs: Draw, untracked: None
) -> None:
    # The networks of two trials differ, and both datasets have the same two.
    for dataset in ("mars", "ilids-vid"):
        draw_runs(dataset, "multi_mam", [0, 1])
    own = result_of("mars", "multi_mam")
    result = crossed("ilids-vid", "multi_mam", "mars")
    assert [trial["trial"] for trial in result["trials"]] == [0, 1]
    for trial, expected in zip(result["trials"], own["trials"], strict=True):
        assert trial["metrics"] == expected["metrics"]
    assert (result["mean"], result["std"]) == (own["mean"], own["std"])
    assert (result["source"], result["target"], result["arm"]) == ("ilids-vid", "mars", "multi_mam")
    assert result["protocol"] == own["protocol"] and result["splits"] == 1
    assert result["partial"] is result["source_partial"] is True
    assert result["config"]["dataset"] == "ilids-vid"
    assert result["embedding"]["device"] == own["embedding"]["device"]


def test_a_trials_numbers_are_means_over_the_targets_splits(
    project: Path, draw_runs: Draw, untracked: None
) -> None:
    # One network: trial t of evaluation has it answer split t.
    for dataset in ("mars", "ilids-vid"):
        draw_runs(dataset, "multi_mam", [7, 7])
    own = result_of("ilids-vid", "multi_mam")
    result = crossed("mars", "multi_mam", "ilids-vid")
    assert result["splits"] == 2 and len(result["trials"]) == 2
    first, second = (trial["metrics"] for trial in own["trials"])
    assert first != second
    for trial in result["trials"]:
        for scoring, values in trial["metrics"].items():
            for name, value in values.items():
                expected = (first[scoring][name] + second[scoring][name]) / 2
                assert value == pytest.approx(expected, abs=1e-12)
        assert set(trial["metrics"]) == set(first)


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
    with pytest.raises(FileNotFoundError, match="run the stage cross mars multi_mam ilids-vid fir"):
        cross_table.main()
    for arm in ARMS:
        crossed("mars", arm, "ilids-vid")
        crossed("ilids-vid", arm, "mars")
    cross_table.main()
    page = (project / "reports/cross.md").read_text()
    assert page.index("## MARS → iLIDS-VID") < page.index("## iLIDS-VID → MARS")
    assert page.count("**partial data:**") == 4, "of each pair both datasets"
    for arm in ARMS:
        rows = [line for line in page.splitlines() if line.startswith(f"| `{arm}`")]
        trained_on = [[cell.strip() for cell in row.split("|")][2] for row in rows]
        assert trained_on == ["MARS", "iLIDS-VID", "iLIDS-VID", "MARS"]


def test_what_is_not_there_is_told(project: Path, draw_runs: Draw) -> None:
    with pytest.raises(
        FileNotFoundError, match="no trials; run the stage train mars multi_mam fir"
    ):
        cross.main("mars", "multi_mam", "ilids-vid")
    with pytest.raises(FileNotFoundError, match="run the stage split prid2011 first"):
        cross.main("mars", "multi_mam", "prid2011")
    assert not (project / "cross").exists()
