"""The result of an arm: the record that stages write and reports read.

One model serves both sides: a stage cannot write a file that a report would refuse. No torch here.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field

from cmmanet.evaluation.metrics import METRICS
from cmmanet.params import ArmPlan, Rerank
from cmmanet.params.strict import Strict


def _complete(metrics: dict[str, int | float]) -> dict[str, int | float]:
    if missing := METRICS.keys() - metrics.keys():
        raise ValueError(f"no {', '.join(sorted(missing))}")
    return metrics


Metrics = Annotated[dict[str, int | float], AfterValidator(_complete)]
"""Every metric of `METRICS`, as fractions; of a run also the counts `queries` and `valid`."""

Scorings = dict[str, Metrics]
"""Metrics by the name of their `Scoring`."""


class Code(Strict):
    """The code that ran and when it started; None where git does not answer."""

    commit: str | None
    dirty: bool | None
    date: str


class Environment(Code):
    """The machine and versions that the code ran on.

    `nondeterministic` has the operations for which the device has no deterministic kernel.
    """

    device: str
    precision: str
    python: str
    torch: str
    torchvision: str
    nondeterministic: tuple[str, ...]


class TrainingEnvironment(Environment):
    """The environment of a run, and the number of its processes."""

    processes: int


class Cost(Strict):
    """The cost of a run in seconds, frames and bytes; the first two as in `cmmanet.model.cost`."""

    parameters: int
    multiply_adds: int
    train_frames: int
    train_seconds: float
    train_peak_memory: int
    embed_frames: int
    embed_seconds: float
    embed_peak_memory: int


class RunResult(Strict):
    """The scores of one run; `split` is None where they are means over several splits."""

    trial: int
    split: int | None
    seed: int
    mlflow_run: str
    iterations: int
    cost: Cost
    metrics: Scorings


class WatchedRun(RunResult):
    """A run with a sentence for each sign of a problem in its training, by the sign's name."""

    warnings: dict[str, str]


class Protocol(Strict):
    """How queries meet the gallery, in tracklets; `splits` names the source of the splits."""

    name: str
    splits: str
    query: int
    gallery: int
    distractors: int
    junk: int


class Data(Strict):
    """Size of the dataset, of several splits the first one's.

    `official_frames` is None where nobody published it.
    """

    train_identities: int
    train_tracklets: int
    train_frames: int
    test_tracklets: int
    test_frames: int
    found_frames: int
    official_frames: int | None


class ArmResult(Strict):
    """The scores of an arm's runs on `dataset`.

    `environment` and `embedding` are those of the first run. `std` is the sample standard
    deviation over runs; None for a single run.
    """

    version: Literal[1]
    """Of the format of this file."""
    dataset: str
    arm: str
    variant: str
    sampler: str
    partial: bool
    protocol: Protocol
    reranking: Rerank | None
    recipe: str
    config: ArmPlan
    trials: Annotated[tuple[RunResult, ...], Field(min_length=1)]
    mean: Scorings
    std: Scorings | None
    environment: TrainingEnvironment
    embedding: Environment
    evaluation: Code

    @classmethod
    def summarise(cls, runs: Sequence[RunResult], config: ArmPlan, **fields: Any) -> Self:
        """Summarise runs of `config`; `fields` are those that do not follow from the two."""
        return cls(
            version=1,
            arm=config.arm,
            variant=config.variant,
            sampler=config.sampler,
            recipe=config.recipe,
            config=config,
            trials=tuple(runs),
            mean=over_runs([run.metrics for run in runs]),
            std=over_runs([run.metrics for run in runs], statistics.stdev)
            if len(runs) > 1
            else None,
            **fields,
        )


class EvaluateResult(ArmResult):
    """An arm tested on the dataset that it was trained on: results/<dataset>/<arm>.json.

    `mlflow_run` is the arm's; its runs have their own.
    """

    trials: Annotated[tuple[WatchedRun, ...], Field(min_length=1)]
    data: Data
    mlflow_run: str


class CrossResult(ArmResult):
    """An arm trained on `source` and tested on `dataset`, on each of its splits."""

    source: str
    source_partial: bool
    splits: int


class OcclusionResult(ArmResult):
    """An arm tested with a share `level` of occluded frames asked for.

    `frames` counts those of the identities tested, `occluded` the occluded ones among them.
    """

    level: float
    frames: int
    occluded: int


def over_runs(
    runs: Sequence[Scorings], reduce: Callable[[list[float]], float] = statistics.fmean
) -> dict[str, dict[str, float]]:
    """Reduce the metrics of several runs, or of several splits, to one value per scoring."""
    return {
        scoring: {metric: reduce([run[scoring][metric] for run in runs]) for metric in METRICS}
        for scoring in runs[0]
    }
