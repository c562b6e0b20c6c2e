"""The content of each plan file: the parameters that a stage depends on, and no others."""

from __future__ import annotations

from typing import Literal

from cmmanet.params.recipe import Recipe
from cmmanet.params.sections import (
    Distance,
    Pair,
    Render,
    Rerank,
    Sampler,
    TestFrames,
    TestHalf,
)
from cmmanet.params.strict import Strict


class ArmPlan(Recipe):
    """Everything that one arm's training depends on."""

    dataset: str
    arm: str
    variant: str
    recipe: str
    sampler: str
    sampling: Sampler
    seed: int
    trials: int


class DataPlan(Strict):
    """What fetch and index depend on; `render` is None for real data."""

    dataset: str
    render: Render | None


class SplitPlan(Strict):
    """What split depends on; `test_half` is None unless the split file needs it."""

    dataset: str
    trials: int
    test_half: TestHalf | None


class EvaluatePlan(Strict):
    """What evaluate depends on."""

    rerank: Literal["none"] | Rerank


class ClaimsPlan(Strict):
    """What claims depends on; `concentrated` are the arms trained with the concentration loss."""

    arms: tuple[str, ...]
    concentrated: tuple[str, ...]


class ReportPlan(Strict):
    """What the report shows: exactly these arms of these datasets."""

    datasets: tuple[str, ...]
    arms: tuple[str, ...]
    sampler: str
    headline: str
    distance: Distance
    test_frames: TestFrames


class CrossPlan(Strict):
    """What the cross-dataset table shows."""

    pairs: tuple[Pair, ...]
    arms: tuple[str, ...]
    distance: Distance
    test_frames: TestFrames


class OcclusionPlan(Strict):
    """What the occlusion study renders and shows; `render` is None if synthetic is not run."""

    render: Render | None
    levels: tuple[float, ...]
    arms: tuple[str, ...]
    distance: Distance
    test_frames: TestFrames


class ReadingsPlan(Strict):
    """What the ambiguity table shows: one arm under these readings, on these datasets."""

    datasets: tuple[str, ...]
    arm: str
    readings: tuple[str, ...]
    distance: Distance
    test_frames: TestFrames
