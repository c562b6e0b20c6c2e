"""What the report is made from: what the plan names, and each arm's result."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.evaluation.metrics import Scoring

Metrics = Mapping[str, float | None]
"""rank1, rank5, rank10, rank20, map (official trapezoid) and map_step, as fractions.

None or NaN where there is no such number.
"""


class TrialCost(TypedDict):
    """What a trial took: seconds, frames, bytes, and the counts of `cmmanet.model.cost.Cost`."""

    parameters: int
    multiply_adds: int
    train_frames: int
    train_seconds: float
    train_peak_memory: int
    embed_frames: int
    embed_seconds: float
    embed_peak_memory: int


class Trial(TypedDict):
    """One split or one seed; `metrics` has one entry for each `Scoring`, by its name.

    `warnings` has a sentence for each sign that something went wrong in training; None, or not
    there in older results, where that was not recorded.
    """

    trial: int
    seed: int
    mlflow_run: str
    iterations: int
    metrics: dict[str, Metrics]
    warnings: NotRequired[dict[str, str] | None]
    cost: NotRequired[TrialCost]


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
    reranking: dict[str, float] | None
    recipe: str
    config: dict[str, Any]
    trials: list[Trial]
    mean: dict[str, Metrics]
    std: dict[str, Metrics] | None
    environment: Environment
    embedding: Environment
    evaluation: Code


class Gain(TypedDict):
    """A step's gain, and half of its 95 % interval; None where there is no telling."""

    gain: float
    half_width: float | None
    degrees: float | None
    resolved: bool | None


class Spread(TypedDict):
    """Of one training's number about its arm's; None where there is one trial or one arm."""

    std: float | None
    degrees: int


class Step(TypedDict):
    """From one arm to another, by metric."""

    before: str
    after: str
    metrics: dict[str, Gain]


class Comparison(TypedDict):
    """A dataset's comparisons/<dataset>.json.

    `intervals` are over the choice of people, by arm and metric: empty where every trial has its
    own people, and `test_to_train` is then how many are tested on for each that is trained on.
    """

    scoring: str
    queries: int
    people: int
    trials: int
    test_to_train: float | None
    intervals: dict[str, dict[str, list[float]]]
    training: dict[str, Spread]
    steps: list[Step]


class Figure(TypedDict):
    """An entry of reports/figures/<dataset>/figures.json; `file` is None where none was drawn.

    `paper` is the paper's figure that it follows; `caption` says why there is none, or what is
    seen and by which rule it was chosen; `alt` is for those who cannot see it.
    """

    file: str | None
    title: str
    paper: str | None
    caption: str
    alt: str


@dataclass(frozen=True)
class Planned:
    """What the plan asked for, and its results by dataset and arm in the plan's order."""

    headline: str
    sampler: str
    scoring: Scoring
    results: dict[str, dict[str, ArmResult]]
    comparisons: dict[str, Comparison]
    claims: dict[str, Mapping[str, Any]]
    figures: dict[str, Sequence[Figure]]

    @property
    def arms(self) -> list[str]:
        """The plan's arms, the same on every dataset."""
        return list(next(iter(self.results.values())))

    def gain(self, dataset: str, before: str, after: str, metric: str) -> Gain | None:
        """What a step was found to bring; None if one of its arms was not run.

        Raises:
            ValueError: the comparison is of other arms than the plan's.
        """
        if not {before, after} <= self.results.get(dataset, {}).keys():
            return None
        for step in self.comparisons[dataset]["steps"]:
            if (step["before"], step["after"]) == (before, after):
                return step["metrics"][metric]
        raise ValueError(
            f"comparisons/{dataset}.json knows no step from {before} to {after}: "
            f"run the stage compare {dataset} again"
        )


def title(dataset: str) -> str:
    """Return a dataset's name as the field writes it."""
    return DATASETS[dataset].title


def planned(
    report: Mapping[str, Any],
    results: Mapping[tuple[str, str], Any],
    comparisons: Mapping[str, Any],
    claims: Mapping[str, Any],
    figures: Mapping[str, Sequence[Figure]],
) -> Planned:
    """Pick what plan/report.json names; other results may be stale and are left out.

    Raises:
        ValueError: the headline is not among the arms, or a planned result, comparison, claim or
            figure is missing.
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
    stages = {"compare": comparisons, "claims": claims, "figures": figures}
    missing += [
        f"{stage}@{dataset}"
        for stage, there in stages.items()
        for dataset in datasets
        if dataset not in there
    ]
    if missing:
        raise ValueError(f"results are missing: run `dvc repro {' '.join(missing)}`")
    return Planned(
        headline=headline,
        sampler=report["sampler"],
        scoring=Scoring(report["distance"], report["test_frames"]),
        results={dataset: {arm: results[dataset, arm] for arm in arms} for dataset in datasets},
        comparisons={dataset: comparisons[dataset] for dataset in datasets},
        claims={dataset: claims[dataset] for dataset in datasets},
        figures={dataset: figures[dataset] for dataset in datasets},
    )


def is_partial(arms: Iterable[ArmResult]) -> bool:
    """Whether any of these numbers comes from a part of its dataset."""
    return any(result["partial"] for result in arms)
