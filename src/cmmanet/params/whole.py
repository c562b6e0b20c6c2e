"""The whole of params.yaml, and the checks across its sections."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from cmmanet.params.messages import listed
from cmmanet.params.recipe import Recipe
from cmmanet.params.sections import Data, Dataset, Evaluate, Pair, Sampler
from cmmanet.params.strict import Strict

# The paper's sampler, and that of a variant that names none.
PAPER_SAMPLER = "random_interval"
# The paper's model trained as in the paper, whatever `sampler` makes the headline.
PAPER_ARM = f"cmmanet-{PAPER_SAMPLER}"
# Before a reading's name: every stage treats it as an arm.
READING = "reading-"

# Names become folders, DVC stage names and command-line words.
_NAME = re.compile(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?")

# Plan files in the same folder as those of the arms.
_RESERVED = frozenset({"data", "split"})


class Params(Strict):
    """The whole of params.yaml."""

    sampler: str
    seed: int = Field(ge=0, le=2**31)
    datasets: tuple[Dataset, ...] = Field(min_length=1)
    arms: tuple[str, ...] = Field(min_length=1)
    cross: tuple[Pair, ...]
    occlusion: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(min_length=2)
    variants: dict[str, dict[str, Any]] = Field(min_length=1)
    readings: dict[str, dict[str, Any]]
    samplers: dict[str, Sampler] = Field(min_length=1)
    data: Data
    recipes: dict[str, Recipe] = Field(min_length=1)
    evaluate: Evaluate

    @property
    def headline(self) -> str:
        """The arm that DVC shows for the paper's model."""
        return f"cmmanet-{self.sampler}"

    def sampler_of(self, variant: str) -> str:
        """The name of the variant's sampler."""
        return str(self.variants[variant].get("sampler", PAPER_SAMPLER))

    @field_validator("occlusion", mode="before")
    @classmethod
    def _with_a_point(cls, levels: Any) -> Any:
        # Folders are named after them by DVC, which takes the number as it is written.
        for level in levels if isinstance(levels, list) else []:
            if not isinstance(level, float):
                raise ValueError(f"{level!r}: write a share of frames with its point, such as 0.0")
        return levels

    @field_validator("occlusion")
    @classmethod
    def _rising(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if list(levels) != sorted(set(levels)):
            raise ValueError("shares must be in ascending order, each once")
        return levels

    @model_validator(mode="after")
    def _names(self) -> Params:
        for key in ("variants", "readings", "samplers", "recipes"):
            for name in getattr(self, key):
                if not _NAME.fullmatch(name):
                    raise ValueError(f"{key}: {name!r}: names are of a-z, 0-9, '_', '.' and '-'")
        for arm in _RESERVED.intersection(self.arms):
            raise ValueError(f"arms: {arm!r} is the name of a plan file; choose another")
        for arm in self.arms:
            if arm.startswith(READING):
                raise ValueError(f"arms: {arm!r}: {READING!r} begins the names of readings")
        return self

    @model_validator(mode="after")
    def _once(self) -> Params:
        for key in ("datasets", "arms"):
            names = getattr(self, key)
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{key}: {name!r} is listed twice")
        for pair in self.cross:
            if self.cross.count(pair) > 1:
                raise ValueError(f"cross: {pair.source} to {pair.target} is listed twice")
        return self

    @model_validator(mode="after")
    def _references(self) -> Params:
        for pair in self.cross:
            for name in (pair.source, pair.target):
                if name not in self.datasets:
                    raise ValueError(f"cross: {name} is not in datasets")
        for variant in self.variants:
            sampler = self.sampler_of(variant)
            if sampler not in self.samplers:
                raise ValueError(
                    f"variants.{variant}.sampler: {sampler!r} is not one of {listed(self.samplers)}"
                )
        for arm in self.arms:
            if arm not in self.variants:
                raise ValueError(f"arms: {arm!r} is not a variant ({listed(self.variants)})")
        if self.readings and PAPER_ARM not in self.variants:
            raise ValueError(f"readings: {PAPER_ARM!r}, which they change, is not a variant")
        if self.sampler not in self.samplers:
            raise ValueError(f"sampler: {self.sampler!r} is not one of {listed(self.samplers)}")
        if self.headline not in self.arms:
            raise ValueError(
                f"sampler: {self.sampler!r} makes {self.headline!r} the headline, "
                "which is not in arms"
            )
        if self.sampler_of(self.headline) != self.sampler:
            raise ValueError(
                f"variants.{self.headline}.sampler: {self.sampler_of(self.headline)!r} is not the "
                f"sampler in its name, {self.sampler!r}"
            )
        for dataset, data in self.data.items():
            recipe = data.recipe
            if recipe not in self.recipes:
                raise ValueError(
                    f"data.{dataset}.recipe: {recipe!r} is not one of {listed(self.recipes)}"
                )
        return self
