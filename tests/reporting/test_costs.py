"""Costs of arms over their runs."""

from typing import Any

import pytest
from reporting import made_up

from cmmanet.reporting.costs import costs_table, noise


@pytest.fixture
def arms() -> dict[str, Any]:
    results = made_up.results("synthetic", trials=2)
    return {arm: result for (_, arm), result in results.items()}


def cells(arms: dict[str, Any], arm: str) -> list[str]:
    (row,) = (row for row in costs_table("Costs", arms).rows if row[0] == f"`{arm}`")
    return row[1:]


def change_costs(arms: dict[str, Any], arm: str, *trials: int, **costs: float) -> None:
    """Change the costs of some runs, by default of both."""
    changes = {
        f"trials/{trial}/cost/{name}": value
        for trial in trials or (0, 1)
        for name, value in costs.items()
    }
    arms[arm] = made_up.changed(arms[arm], changes)


def test_an_arm_is_summed_over_its_trials(arms: dict[str, Any]) -> None:
    change_costs(arms, "baseline", train_frames=1000, embed_frames=500)
    change_costs(arms, "baseline", 0, train_seconds=10, train_peak_memory=2**30)
    change_costs(arms, "baseline", 1, train_seconds=30, train_peak_memory=3 * 2**30)
    change_costs(arms, "baseline", 0, embed_seconds=3500, embed_peak_memory=2**29)
    change_costs(arms, "baseline", 1, embed_seconds=3700, embed_peak_memory=2**28)
    assert cells(arms, "baseline") == [
        "11.5", "0.310", "50", "3.00", "40 s", "0", "0.50", "2.0 h",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("multiply_adds", "told"),
    [(295_600_000, "0.296"), (300_000_000, "0.300"), (12_000_000_000, "12.0"),
     (295_600_000_000, "296")],
)  # fmt: skip
def test_multiply_adds_have_three_digits(
    arms: dict[str, Any], multiply_adds: int, told: str
) -> None:
    change_costs(arms, "baseline", multiply_adds=multiply_adds)
    assert cells(arms, "baseline")[1] == told


def embedded(arms: dict[str, Any], arm: str, parameters: int, rate: float) -> None:
    change_costs(arms, arm, parameters=parameters, embed_frames=100, embed_seconds=100 / rate)


def test_noise_is_what_equal_arms_differ_by(arms: dict[str, Any]) -> None:
    # Others are larger networks, and may well be slower.
    for number, arm in enumerate(arms):
        embedded(arms, arm, 20_000_000 + number, 10 + number)
    assert noise(arms) is None
    embedded(arms, "multi_mam", 12_000_000, 494)
    embedded(arms, "cmmanet-random_interval", 12_000_000, 470)
    embedded(arms, "cmmanet-restricted", 12_000_000, 368)
    embedded(arms, "single_mam", 11_000_000, 400)
    embedded(arms, "single_mam_con", 11_000_000, 390)
    assert noise(arms) == ("multi_mam", "cmmanet-restricted", 34)
    # A difference between machines is not noise.
    other = "cmmanet-restricted"
    arms[other] = made_up.changed(arms[other], {"embedding/device": "CPU (made up)"})
    assert noise(arms) == ("multi_mam", "cmmanet-random_interval", 5)
