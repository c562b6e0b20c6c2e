"""What training warned of, in the section of its dataset."""

from __future__ import annotations

import pytest
from reporting import made_up

from cmmanet.evaluation.records import ArmResult
from cmmanet.reporting.document import Bullets
from cmmanet.reporting.training_warnings import list_warnings

Arms = dict[str, ArmResult]


def collapsed(entropy: str) -> str:
    return f"attention behind stage 4 has collapsed to one place an image (entropy {entropy})"


@pytest.fixture
def arms() -> Arms:
    """Three arms of two runs without a warning."""
    return {arm: made_up.result("mars", arm, [0.8, 0.7]) for arm in ("a", "b", "c")}


def warn(arms: Arms, arm: str, trial: int, **signs: str) -> None:
    arms[arm] = made_up.changed(arms[arm], {f"trials/{trial}/warnings": signs})


def test_a_sign_is_told_once_with_its_arms_and_the_words_of_one_trial(
    arms: Arms,
) -> None:
    warn(arms, "b", 0, collapsed4=collapsed("0.0012"))
    warn(arms, "b", 1, collapsed4=collapsed("0.0034"))
    warn(arms, "c", 1, collapsed4=collapsed("0.0056"), triplet="the triplet loss sits at 0.3")
    assert list_warnings(arms) == [
        f"`b`, 2 of 2 runs; `c`, 1 of 2 runs: {collapsed('0.0012')} (numbers of `b`, run 0)",
        "`c`, 1 of 2 runs: the triplet loss sits at 0.3",
    ]
    for trial in (0, 1):
        warn(arms, "a", trial, collapsed4=collapsed("0.0078"))
    assert list_warnings(arms)[0] == (
        f"`a`, `b`, each 2 of 2 runs; `c`, 1 of 2 runs: {collapsed('0.0078')} (numbers of `a`, "
        "run 0)"
    )


def test_words_that_are_the_same_are_nobodys(arms: Arms) -> None:
    for trial in (0, 1):
        warn(arms, "b", trial, collapsed4=collapsed("0.0012"))
    assert list_warnings(arms) == [f"`b`, 2 of 2 runs: {collapsed('0.0012')}"]


def test_without_warnings_there_is_none(arms: Arms) -> None:
    assert list_warnings(arms) == []


def test_the_report_lists_warnings_of_the_dataset_that_had_them() -> None:
    results = {**made_up.results("mars"), **made_up.results("ilids-vid")}
    key = ("ilids-vid", "multi_mam")
    warned = {f"trials/{trial}/warnings": {"diversity": "a | *b*"} for trial in range(3)}
    results[key] = made_up.changed(results[key], warned)
    document = made_up.document(made_up.report(["mars", "ilids-vid"]), results)
    lists = [block.texts for block in document.blocks if isinstance(block, Bullets)]
    assert (r"`multi_mam`, 3 of 3 splits: a \| \*b\*",) in lists
