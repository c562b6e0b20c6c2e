"""Entries of `samplers`, `data` and `cross`, and the section `evaluate`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from cmmanet.params.strict import Strict

Dataset = Literal["synthetic", "mars", "ilids-vid", "prid2011"]
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
    """What every dataset says."""

    recipe: str
    # Laid over the recipe, and a variant over both: the paper's recipe, in another batch.
    overrides: dict[str, Any] = Field(default_factory=dict)
    trials: int = Field(ge=1, le=100)


class SyntheticData(DatasetEntry):
    """The rendered benchmark; a trial is a training seed."""

    render: Render


class MarsData(DatasetEntry):
    """MARS, whose split is fixed: a trial is a training seed."""


class Prid2011Data(DatasetEntry):
    """PRID-2011, with ten official splits: trial t is split t."""

    trials: int = Field(ge=1, le=10)


class IlidsVidData(DatasetEntry):
    """iLIDS-VID, likewise; loaders disagree on which half of its split file tests."""

    trials: int = Field(ge=1, le=10)
    test_half: TestHalf


class Data(Strict):
    """Each dataset's recipe, number of trials and own knobs."""

    synthetic: SyntheticData
    mars: MarsData
    ilids_vid: IlidsVidData = Field(alias="ilids-vid")
    prid2011: Prid2011Data

    def by_name(self) -> dict[Dataset, DatasetEntry]:
        """Each dataset's entry, by the name that stands in params.yaml."""
        return {
            "synthetic": self.synthetic,
            "mars": self.mars,
            "ilids-vid": self.ilids_vid,
            "prid2011": self.prid2011,
        }


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
