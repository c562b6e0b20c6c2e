"""Entries of `samplers`, `data` and `cross`, and the section `evaluate`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, GetCoreSchemaHandler, GetPydanticSchema, model_validator
from pydantic_core import CoreSchema, core_schema

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.datasets.mars import MarsLayout
from cmmanet.datasets.split_files import SPLITS
from cmmanet.datasets.two_camera import TwoCamera
from cmmanet.params.strict import Strict

Dataset = Annotated[str, GetPydanticSchema(lambda *_: core_schema.literal_schema(list(DATASETS)))]
TestFrames = Literal["dense", "chunk_first"]
TEST_FRAMES: tuple[TestFrames, ...] = get_args(TestFrames)
Distance = Literal["cosine", "euclidean"]
TestHalf = Literal["first", "last"]


class RandomInterval(Strict):
    """Random interval sampling (paper, III-A): a clip's frames lie g apart.

    g is drawn once per epoch or once per clip. The first frame is any from which the clip fits, or
    one of the paper's range, which leaves out a tracklet's first g frames.
    """

    kind: Literal["random_interval"]
    max_interval: int = Field(ge=1)
    draw: Literal["epoch", "clip"]
    start: Literal["any", "literal"]


class Restricted(Strict):
    """Restricted random sampling (the paper's [5])."""

    kind: Literal["restricted"]


Sampler = Annotated[RandomInterval | Restricted, Field(discriminator="kind")]


class Render(Strict):
    """What the renderer of synthetic pedestrians draws."""

    train_identities: int = Field(ge=2, le=4000)
    test_identities: int = Field(ge=2, le=4000)
    distractors: int = Field(ge=0)
    junk: int = Field(ge=0)
    cameras: int = Field(ge=2, le=6)
    tracklets_per_camera: int = Field(ge=1, le=50)
    frames_min: int = Field(ge=1, le=999)
    frames_max: int = Field(ge=1, le=999)
    occlusion: float = Field(ge=0, le=1)
    height: int = Field(ge=32, le=512)
    width: int = Field(ge=16, le=256)
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _lengths(self) -> Render:
        if self.frames_max < self.frames_min:
            raise ValueError(f"frames_max {self.frames_max} is below frames_min {self.frames_min}")
        return self


class DatasetEntry(Strict):
    """A dataset's entry in `data`; without official splits, a trial is a training seed."""

    recipe: str
    # Merged over the recipe, and a variant over both: the paper's recipe, in another batch.
    overrides: dict[str, Any] = Field(default_factory=dict)
    trials: int = Field(ge=1, le=100)


class RenderedEntry(DatasetEntry):
    """A dataset that is rendered here."""

    render: Render


class SplitEntry(DatasetEntry):
    """A dataset with ten official splits: trial t is split t."""

    trials: int = Field(ge=1, le=SPLITS)


class HalvedEntry(SplitEntry):
    """A dataset whose split file does not name its test half: loaders disagree which it is."""

    test_half: TestHalf


def _entry(dataset: MarsLayout | TwoCamera) -> type[DatasetEntry]:
    if isinstance(dataset, TwoCamera):
        return SplitEntry if dataset.matrix is None else HalvedEntry
    return RenderedEntry if dataset.official_counts is None else DatasetEntry


def _entries(_: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Return the schema of `data`: an entry for each dataset of the catalogue."""
    fields = {
        name: core_schema.typed_dict_field(handler.generate_schema(_entry(dataset)), required=True)
        for name, dataset in DATASETS.items()
    }
    return core_schema.typed_dict_schema(fields, extra_behavior="forbid")


Data = Annotated[dict[str, DatasetEntry], GetPydanticSchema(_entries)]
"""Each dataset's recipe, number of trials and own parameters."""


class Rerank(Strict):
    """k-reciprocal re-ranking (the paper's [42]); `weight` is the share of the plain distance."""

    k1: int = Field(ge=1)
    k2: int = Field(ge=1)
    weight: float = Field(ge=0, le=1)


class Evaluate(Strict):
    """Which distance and test frames the headline comes from, and how results are re-ranked."""

    distance: Distance
    test_frames: TestFrames
    rerank: Literal["none"] | Rerank


class Pair(Strict):
    """Trained on one dataset, tested on another."""

    source: Dataset
    target: Dataset

    @model_validator(mode="after")
    def _differ(self) -> Pair:
        if self.source == self.target:
            raise ValueError(f"source and target are both {self.source}")
        return self
