"""What the report is made from: what the plan names, and each arm's result."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from cmmanet.params import TestFrames

Metrics = Mapping[str, float | None]
"""rank1, rank5, rank10, rank20, map (official trapezoid) and map_step, as fractions.

None or NaN where there is no such number.
"""

TITLES = {
    "mars": "MARS",
    "ilids-vid": "iLIDS-VID",
    "prid2011": "PRID-2011",
    "synthetic": "Synthetic",
}
"""The datasets this project knows, in the order in which the page lists them."""


class Trial(TypedDict):
    """One split or one seed; `metrics` has one entry for each test-frame mode.

    `warnings` has a sentence for each sign that something went wrong in training; None, or not
    there in older results, where that was not recorded.
    """

    trial: int
    seed: int
    iterations: int
    metrics: dict[str, Metrics]
    warnings: NotRequired[dict[str, str] | None]


class Data(TypedDict):
    """How much of the dataset was there; `official_frames` is None where nobody published it."""

    official_frames: int | None
    found_frames: int


class Protocol(TypedDict):
    """How queries met the gallery; sizes in tracklets."""

    name: str
    splits: str
    """What they were read from."""
    query: int
    gallery: int
    distractors: int
    junk: int
    distance: str


class Code(TypedDict):
    """Which code ran, and when; None where git could not tell."""

    commit: str | None
    dirty: bool | None
    date: str


class Environment(Code):
    """Where it ran; older results do not say the last two, and embedding has neither."""

    device: str
    precision: str
    python: str
    torch: str
    torchvision: str
    processes: NotRequired[int]
    nondeterministic: NotRequired[list[str]]
    """Operations for which the device has no deterministic kernel."""


class ArmResult(TypedDict):
    """The part of results/<dataset>/<arm>.json that the report prints.

    `environment` is the training's; embedding and evaluation may have run elsewhere, later.
    """

    dataset: str
    arm: str
    sampler: str
    partial: bool
    data: Data
    protocol: Protocol
    recipe: str
    config: dict[str, Any]
    trials: list[Trial]
    mean: dict[str, Metrics]
    std: dict[str, Metrics] | None
    environment: Environment
    embedding: Environment
    evaluation: Code


@dataclass(frozen=True)
class Planned:
    """What the plan asked for, and its results by dataset and arm in the plan's order."""

    headline: str
    sampler: str
    test_frames: TestFrames
    results: dict[str, dict[str, ArmResult]]


def title(dataset: str) -> str:
    """A dataset's name as the field writes it."""
    return TITLES[dataset]


def planned(report: Mapping[str, Any], results: Mapping[tuple[str, str], Any]) -> Planned:
    """Pick the results that plan/report.json names; others may be stale and are left out.

    Raises:
        ValueError: the headline is not among the arms, or a planned result is missing.
    """
    datasets, arms = report["datasets"], report["arms"]
    headline = str(report.get("headline"))
    if headline not in arms:
        raise ValueError(
            f"the headline arm {headline!r} is not among the arms of the plan "
            f"({', '.join(arms)}): add it to `arms` in params.yaml, or choose another `sampler`"
        )
    missing = [
        f"evaluate@{dataset}-{arm}"
        for dataset in datasets
        for arm in arms
        if (dataset, arm) not in results
    ]
    if missing:
        raise ValueError(f"results are missing: run `dvc repro {' '.join(missing)}`")
    return Planned(
        headline=headline,
        sampler=report["sampler"],
        test_frames=report["test_frames"],
        results={dataset: {arm: results[dataset, arm] for arm in arms} for dataset in datasets},
    )


def is_partial(arms: Iterable[ArmResult]) -> bool:
    """Whether any of these numbers comes from a part of its dataset."""
    return any(result["partial"] for result in arms)
