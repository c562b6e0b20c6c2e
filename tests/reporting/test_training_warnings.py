"""What training warned of, in the section of its dataset."""

from __future__ import annotations

import re

import pytest
from reporting import made_up

from cmmanet.evaluation.records import ArmResult
from cmmanet.reporting.training_warnings import list_warnings

Arms = dict[str, ArmResult]
INTRODUCTION = "While training, at least once and not necessarily to the end:"


def collapsed(entropy: str) -> str:
    return f"attention behind stage 4 has collapsed to one place an image (entropy {entropy})"


@pytest.fixture
def arms() -> Arms:
    """Three arms of two runs without a warning."""
    return {arm: made_up.result("mars", arm, [0.8, 0.7]) for arm in ("a", "b", "c")}


def warn(arms: Arms, arm: str, trial: int, **signs: str) -> None:
    arms[arm] = made_up.changed(arms[arm], {f"trials/{trial}/warnings": signs})


def told(arms: Arms) -> list[str]:
    """The parts, each on one line, lists with a line an item."""
    return [re.sub(r"\n(?!- )\s*", " ", part) for part in list_warnings(arms)]


def test_a_sign_is_told_once_with_its_arms_and_the_words_of_one_trial(
    arms: Arms,
) -> None:
    warn(arms, "b", 0, collapsed4=collapsed("0.0012"))
    warn(arms, "b", 1, collapsed4=collapsed("0.0034"))
    warn(arms, "c", 1, collapsed4=collapsed("0.0056"), triplet="the triplet loss sits at 0.3")
    assert told(arms) == [
        INTRODUCTION,
        f"- `b`, 2 of 2 trials; `c`, 1 of 2 trials: {collapsed('0.0012')} (numbers of `b`, "
        "trial 0)\n- `c`, 1 of 2 trials: the triplet loss sits at 0.3",
    ]
    for trial in (0, 1):
        warn(arms, "a", trial, collapsed4=collapsed("0.0078"))
    assert told(arms)[1].startswith(
        f"- `a`, `b`, each 2 of 2 trials; `c`, 1 of 2 trials: {collapsed('0.0078')} (numbers of "
        "`a`, trial 0)\n"
    )


def test_words_that_are_the_same_are_nobodys(arms: Arms) -> None:
    for trial in (0, 1):
        warn(arms, "b", trial, collapsed4=collapsed("0.0012"))
    assert told(arms) == [INTRODUCTION, f"- `b`, 2 of 2 trials: {collapsed('0.0012')}"]


def test_no_warning_is_said(arms: Arms) -> None:
    assert told(arms) == ["Training warned of nothing."]


def test_page_tells_it_under_the_dataset_before_its_numbers() -> None:
    results = {**made_up.results("mars"), **made_up.results("ilids-vid")}
    warning = "losses.diversity 0.1 drowns | the *rest*"
    key = ("ilids-vid", "multi_mam")
    warned = {f"trials/{trial}/warnings": {"diversity": warning} for trial in range(3)}
    results[key] = made_up.changed(results[key], warned)
    page = made_up.page(made_up.report(["mars", "ilids-vid"]), results)
    mars, ilids = (
        re.split(r"\n## ", page[page.index(f"## {name}: every metric") :])[0]
        for name in ("MARS", "iLIDS-VID")
    )
    assert "\nTraining warned of nothing.\n" in mars[: mars.index("\n|")]
    assert (
        f"\n{INTRODUCTION}\n\n- `multi_mam`, 3 of 3 splits: losses.diversity 0.1 drowns \\| the "
        "\\*rest\\*\n"
    ) in ilids[: ilids.index("\n|")]
    assert page.count("drowns") == 1
