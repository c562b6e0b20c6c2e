"""What training warned of, in the section of its dataset."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from cmmanet.reporting.warned import warned

INTRODUCTION = "While training, at least once and not necessarily to the end:"


def collapsed(entropy: str) -> str:
    return f"attention behind stage 4 has collapsed to one place an image (entropy {entropy})"


@pytest.fixture
def arms(made_up: SimpleNamespace) -> dict[str, Any]:
    """Three arms of two trials, all recorded and without a warning."""
    results = {arm: made_up.result("mars", arm, [0.8, 0.7]) for arm in ("a", "b", "c")}
    for result in results.values():
        for trial in result["trials"]:
            trial["warnings"] = {}
    return results


def warn(result: dict[str, Any], trial: int, **signs: str) -> None:
    result["trials"][trial]["warnings"] |= signs


def told(arms: dict[str, Any]) -> list[str]:
    """The parts, each on one line, lists with a line an item."""
    return [re.sub(r"\n(?!- )\s*", " ", part) for part in warned(arms)]


def test_a_sign_is_told_once_with_its_arms_and_the_words_of_one_trial(
    arms: dict[str, Any],
) -> None:
    warn(arms["b"], 0, collapsed4=collapsed("0.0012"))
    warn(arms["b"], 1, collapsed4=collapsed("0.0034"))
    warn(arms["c"], 1, collapsed4=collapsed("0.0056"), triplet="the triplet loss sits at 0.3")
    assert told(arms) == [
        INTRODUCTION,
        f"- `b`, 2 of 2 trials; `c`, 1 of 2 trials: {collapsed('0.0012')} (numbers of `b`, "
        "trial 0)\n- `c`, 1 of 2 trials: the triplet loss sits at 0.3",
    ]
    for trial in (0, 1):
        warn(arms["a"], trial, collapsed4=collapsed("0.0078"))
    assert told(arms)[1].startswith(
        f"- `a`, `b`, each 2 of 2 trials; `c`, 1 of 2 trials: {collapsed('0.0078')} (numbers of "
        "`a`, trial 0)\n"
    )


def test_words_that_are_the_same_are_nobodys(arms: dict[str, Any]) -> None:
    for trial in (0, 1):
        warn(arms["b"], trial, collapsed4=collapsed("0.0012"))
    assert told(arms) == [INTRODUCTION, f"- `b`, 2 of 2 trials: {collapsed('0.0012')}"]


def test_none_and_unknown_are_not_the_same(arms: dict[str, Any]) -> None:
    assert told(arms) == ["Training warned of nothing."]
    # Once the key was not there; a run of that time gives a result with nothing in it.
    for trial in arms["a"]["trials"]:
        del trial["warnings"]
    for trial in arms["b"]["trials"]:
        trial["warnings"] = None
    assert told(arms) == [
        "Training `c` warned of nothing.",
        "What training `a`, `b` warned of was not recorded.",
    ]
    warn(arms["c"], 0, triplet="stuck")
    assert told(arms) == [
        INTRODUCTION,
        "- `c`, 1 of 2 trials: stuck",
        "What training `a`, `b` warned of was not recorded.",
    ]
    del arms["c"]
    assert told(arms) == ["What training warned of was not recorded."]


def test_trials_that_are_not_recorded_do_not_count(arms: dict[str, Any]) -> None:
    del arms["a"]["trials"][0]["warnings"]
    warn(arms["a"], 1, triplet="stuck")
    assert told({"a": arms["a"]}) == [INTRODUCTION, "- `a`, 1 of 1 trials: stuck"]


def test_page_tells_it_under_the_dataset_before_its_numbers(made_up: SimpleNamespace) -> None:
    results = {**made_up.results("mars"), **made_up.results("ilids-vid")}
    warning = "losses.diversity 0.1 drowns | the *rest*"
    for (dataset, arm), result in results.items():
        for trial in result["trials"]:
            mine = (dataset, arm) == ("ilids-vid", "multi_mam")
            trial["warnings"] = {"diversity": warning} if mine else {}
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
