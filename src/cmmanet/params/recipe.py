"""An entry of `recipes`: how a network is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cmmanet.geometry import BackboneName, View, check_stripes
from cmmanet.params.strict import Strict

Stage = Annotated[int, Field(ge=1, le=4)]


class Image(Strict):
    """The size that frames are brought to, in pixels."""

    height: int = Field(ge=32, le=1024)
    width: int = Field(ge=32, le=1024)


class Clip(Strict):
    """A training clip: N frames, mirrored as a whole with probability one half.

    `erase` is the probability that a rectangle is erased in all of them.
    """

    frames: int = Field(ge=1, le=64)
    flip: bool
    erase: float = Field(ge=0, le=1)


class Batch(Strict):
    """A training batch: P identities with K clips each."""

    identities: int = Field(ge=2)
    clips: int = Field(ge=2)


class WeightsFile(Strict):
    """Backbone weights in a file; the hash keeps the run tied to its content."""

    path: str = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Model(Strict):
    """The network: a backbone and the stages that a multi-attention module follows."""

    backbone: BackboneName
    weights: Literal["none", "imagenet"] | WeightsFile
    last_stride: Literal[1, 2]
    mam_after: tuple[Stage, ...]
    submodules: int = Field(ge=1, le=64)
    hidden: int = Field(ge=1)
    neck: Literal["none", "bnneck"]

    @field_validator("mam_after")
    @classmethod
    def _ascending(cls, stages: tuple[int, ...]) -> tuple[int, ...]:
        if list(stages) != sorted(set(stages)):
            raise ValueError("stages must be in ascending order, each once")
        return stages


class Losses(Strict):
    """Weight of each loss; 0 leaves it out. `smoothing` is of the identity labels."""

    identity: float = Field(ge=0)
    smoothing: float = Field(ge=0, lt=1)
    triplet: float = Field(ge=0)
    margin: Annotated[float, Field(gt=0)] | Literal["soft"]
    diversity: float = Field(ge=0)
    diversity_form: Literal["eq8", "eq7"]
    concentration: float = Field(ge=0)

    @model_validator(mode="after")
    def _something_to_learn(self) -> Losses:
        if self.identity == 0 and self.triplet == 0:
            raise ValueError("identity and triplet are both 0: nothing would be learned")
        return self


class Optimiser(Strict):
    """Adam with L2 weight decay."""

    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class Schedule(Strict):
    """Length in iterations; the learning rate is divided by 10 at each milestone.

    It rises from a tenth of itself over the first `warmup` iterations.
    """

    iterations: int = Field(ge=1)
    warmup: int = Field(ge=0)
    milestones: tuple[Annotated[int, Field(ge=1)], ...]

    @model_validator(mode="after")
    def _within(self) -> Schedule:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must be in ascending order, each once")
        if self.milestones and self.milestones[-1] >= self.iterations:
            raise ValueError(
                f"milestone {self.milestones[-1]} is never reached in {self.iterations} iterations"
            )
        end = min(self.milestones, default=self.iterations)
        if self.warmup > end:
            what = "the first milestone" if self.milestones else "the last iteration"
            raise ValueError(f"warmup {self.warmup} ends after {what}, {end}")
        return self


class Recipe(Strict):
    """How a network is trained."""

    image: Image
    clip: Clip
    batch: Batch
    model: Model
    losses: Losses
    optimiser: Optimiser
    schedule: Schedule
    precision: Literal["auto", "fp32", "bf16"]

    @property
    def view(self) -> View:
        """The size that frames are brought to."""
        return View(self.image.height, self.image.width)

    @model_validator(mode="after")
    def _stripes(self) -> Recipe:
        check_stripes(
            self.image.height,
            self.image.width,
            backbone=self.model.backbone,
            mam_after=self.model.mam_after,
            submodules=self.model.submodules,
            last_stride=self.model.last_stride,
        )
        return self
