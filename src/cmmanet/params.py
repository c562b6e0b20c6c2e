"""`params.yaml` as validated, typed objects, and its resolution into one plan an arm.

The only place that says which parameters exist and which values they may take. A value
that is wrong is refused with its full path, what was given and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cmmanet.geometry import BackboneName, check_stripes

Dataset = Literal["synthetic", "mars", "ilids-vid", "prid2011"]
TestFrames = Literal["dense", "chunk_first"]
TEST_FRAMES: tuple[TestFrames, ...] = get_args(TestFrames)
Distance = Literal["cosine", "euclidean"]
TestHalf = Literal["first", "last"]
Stage = Annotated[int, Field(ge=1, le=4)]

# Names become folders, DVC stage names and command-line words.
_NAME = re.compile(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?")

# The paper's own, which an arm has unless it names another.
PAPER_SAMPLER = "random_interval"
# The paper's model as it trains it, whatever `sampler` makes the headline.
PAPER_ARM = f"cmmanet-{PAPER_SAMPLER}"
# Before a reading's name: what it trains is an arm to every stage.
READING = "reading-"

# What pydantic calls the members of `float | Literal[...]` and the like.
_UNION_MEMBER = re.compile(r"WeightsFile$|Rerank$|constrained-|literal\[")

# Plan files that stand beside the arms' own.
_RESERVED = frozenset({"data", "split"})


class ParamsError(ValueError):
    """A parameter that is missing, unknown or out of range."""


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Image(_Params):
    """Size that a frame is brought to, in pixels."""

    height: int = Field(ge=32, le=1024)
    width: int = Field(ge=32, le=1024)


class Clip(_Params):
    """A training clip: N frames, mirrored as a whole with probability one half.

    `erase` is the probability that a rectangle is erased in all of them.
    """

    frames: int = Field(ge=1, le=64)
    flip: bool
    erase: float = Field(ge=0, le=1)


class Batch(_Params):
    """A training batch: P identities with K clips each."""

    identities: int = Field(ge=2)
    clips: int = Field(ge=2)


class WeightsFile(_Params):
    """Backbone weights in a file; the hash keeps the run tied to its content."""

    path: str = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Model(_Params):
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


class Losses(_Params):
    """Weight of each loss; 0 leaves it out. `smoothing` is of the identities' labels."""

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
            raise ValueError("identity and triplet are both 0: nothing would be learnt")
        return self


class Optimiser(_Params):
    """Adam with L2 weight decay."""

    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class Schedule(_Params):
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


class Recipe(_Params):
    """How a network is trained."""

    image: Image
    clip: Clip
    batch: Batch
    model: Model
    losses: Losses
    optimiser: Optimiser
    schedule: Schedule
    precision: Literal["auto", "fp32", "bf16"]
    # By torch.compile: other kernels, and so other last bits.
    compile: bool

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


class RandomInterval(_Params):
    """Random interval sampling (paper, III-A): g frames from one of a clip's frames to the next.

    g is drawn once an epoch or once a clip. The first frame is any from which the clip fits, or
    one of the paper's own range, which leaves out a tracklet's first g frames.
    """

    kind: Literal["random_interval"]
    max_interval: int = Field(ge=1)
    draw: Literal["epoch", "clip"]
    start: Literal["any", "literal"]


class Restricted(_Params):
    """Restricted random sampling (the paper's [5])."""

    kind: Literal["restricted"]


Sampler = Annotated[RandomInterval | Restricted, Field(discriminator="kind")]


class Render(_Params):
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


class _Data(_Params):
    recipe: str
    # Laid over the recipe, and a variant over both: the paper's recipe, in another batch.
    overrides: dict[str, Any] = Field(default_factory=dict)
    trials: int = Field(ge=1, le=100)


class SyntheticData(_Data):
    """The rendered benchmark; a trial is a training seed."""

    render: Render


class MarsData(_Data):
    """MARS, whose split is fixed: a trial is a training seed."""


class Prid2011Data(_Data):
    """PRID-2011, with ten official splits: trial t is split t."""

    trials: int = Field(ge=1, le=10)


class IlidsVidData(_Data):
    """iLIDS-VID, likewise; loaders disagree on which half of its split file tests."""

    trials: int = Field(ge=1, le=10)
    test_half: TestHalf


class Data(_Params):
    """Each dataset's recipe, number of trials and own knobs."""

    synthetic: SyntheticData
    mars: MarsData
    ilids_vid: IlidsVidData = Field(alias="ilids-vid")
    prid2011: Prid2011Data

    def by_name(self) -> dict[Dataset, _Data]:
        """Each dataset's entry, by the name that stands in params.yaml."""
        return {
            "synthetic": self.synthetic,
            "mars": self.mars,
            "ilids-vid": self.ilids_vid,
            "prid2011": self.prid2011,
        }


class Rerank(_Params):
    """k-reciprocal re-ranking (the paper's [42]); `weight` is the share of the plain distance."""

    k1: int = Field(ge=1)
    k2: int = Field(ge=1)
    weight: float = Field(ge=0, le=1)


class Evaluate(_Params):
    """Which distance and test frames the headline comes from, and how results are re-ranked."""

    distance: Distance
    test_frames: TestFrames
    rerank: Literal["none"] | Rerank


class Pair(_Params):
    """Trained on one dataset, tested on another."""

    source: Dataset
    target: Dataset

    @model_validator(mode="after")
    def _differ(self) -> Pair:
        if self.source == self.target:
            raise ValueError(f"source and target are both {self.source}")
        return self


class Params(_Params):
    """The whole of params.yaml."""

    sampler: str
    seed: int = Field(ge=0, le=2**31)
    datasets: tuple[Dataset, ...] = Field(min_length=1)
    arms: tuple[str, ...] = Field(min_length=1)
    cross: tuple[Pair, ...]
    occlusion: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(min_length=2)
    variants: dict[str, dict[str, Any]]
    readings: dict[str, dict[str, Any]]
    samplers: dict[str, Sampler]
    data: Data
    recipes: dict[str, Recipe]
    evaluate: Evaluate

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
        for key in ("datasets", "arms"):
            names = getattr(self, key)
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{key}: {name!r} stands there twice")
        for pair in self.cross:
            for name in (pair.source, pair.target):
                if name not in self.datasets:
                    raise ValueError(f"cross: {name} is not in datasets")
            if self.cross.count(pair) > 1:
                raise ValueError(f"cross: {pair.source} to {pair.target} stands there twice")
        if self.sampler not in self.samplers:
            raise ValueError(f"sampler: {self.sampler!r} is not one of {_listed(self.samplers)}")
        headline = f"cmmanet-{self.sampler}"
        if headline not in self.arms:
            raise ValueError(
                f"sampler: {self.sampler!r} makes {headline!r} the headline, which is not in arms"
            )
        for dataset, data in self.data.by_name().items():
            recipe = data.recipe
            if recipe not in self.recipes:
                raise ValueError(
                    f"data.{dataset}.recipe: {recipe!r} is not one of {_listed(self.recipes)}"
                )
        return self


class ArmPlan(Recipe):
    """Everything that one arm's training depends on."""

    dataset: Dataset
    arm: str
    variant: str
    recipe: str
    sampler: str
    sampling: Sampler
    seed: int
    trials: int


class DataPlan(_Params):
    """What fetch and index depend on; `render` is synthetic's own."""

    dataset: Dataset
    render: Render | None


class SplitPlan(_Params):
    """What split depends on; `test_half` is iLIDS-VID's own."""

    dataset: Dataset
    trials: int
    test_half: TestHalf | None


class EvaluatePlan(_Params):
    """What evaluate depends on."""

    rerank: Literal["none"] | Rerank


class ReportPlan(_Params):
    """What the report shows: exactly these arms of these datasets."""

    datasets: tuple[Dataset, ...]
    arms: tuple[str, ...]
    sampler: str
    headline: str
    distance: Distance
    test_frames: TestFrames


class CrossPlan(_Params):
    """What the cross-dataset table shows."""

    pairs: tuple[Pair, ...]
    arms: tuple[str, ...]
    distance: Distance
    test_frames: TestFrames


class OcclusionPlan(_Params):
    """What the occlusion study renders and shows; `render` is None if synthetic is not run."""

    render: Render | None
    levels: tuple[float, ...]
    arms: tuple[str, ...]
    distance: Distance
    test_frames: TestFrames


class ReadingsPlan(_Params):
    """What the ambiguity table shows: one arm under these readings, on these datasets."""

    datasets: tuple[Dataset, ...]
    arm: str
    readings: tuple[str, ...]
    distance: Distance
    test_frames: TestFrames


def load_params(path: Path) -> Params:
    """Read and validate `params.yaml`.

    Raises:
        ParamsError: for a file that is no YAML mapping, an unknown or missing key, or a
            value out of range; the message lists every such key on its own line.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: not found; run from the repository's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected keys and values, found {type(content).__name__}")
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError(_readable(error, path.name)) from None
    # Overrides of datasets that are not run as well, and variants that no arm uses: a slip is
    # better told before it is used.
    for dataset, data in params.data.by_name().items():
        try:
            Recipe.model_validate(_recipe(params, dataset))
        except ValidationError as error:
            where = f"{path.name}: data.{dataset}.overrides over recipes.{data.recipe}"
            raise ParamsError(_readable(error, where)) from None
    for dataset in params.datasets:
        for arm in (*params.arms, *params.variants):
            resolve_arm(params, dataset, arm)
        for reading in params.readings:
            resolve_reading(params, dataset, reading)
    return params


def resolve_arm(params: Params, dataset: Dataset, arm: str) -> ArmPlan:
    """Lay the arm's variant over its dataset's recipe and validate the result.

    Raises:
        ParamsError: if the arm names no variant or sampler, or the result is not valid.
    """
    variant, sampler = _split_arm(params, arm)
    data = params.data.by_name()[dataset]
    merged = _merge(_recipe(params, dataset), params.variants[variant])
    plan = {
        "dataset": dataset,
        "arm": arm,
        "variant": variant,
        "recipe": data.recipe,
        "sampler": sampler,
        "sampling": params.samplers[sampler].model_dump(),
        "seed": params.seed,
        "trials": data.trials,
    }
    taken = sorted(set(plan) & set(merged))
    if taken:
        raise ParamsError(f"params.yaml: variants.{variant}.{taken[0]}: not a key of a recipe")
    try:
        return ArmPlan.model_validate(merged | plan)
    except ValidationError as error:
        layers = [f"variants.{variant}", f"recipes.{data.recipe}"]
        if data.overrides:
            layers.insert(1, f"data.{dataset}.overrides")
        where = f"params.yaml: {' over '.join(layers)}"
        raise ParamsError(_readable(error, where)) from None


def resolve_reading(params: Params, dataset: Dataset, reading: str) -> ArmPlan:
    """Lay another reading of what the paper leaves open over the paper's own arm.

    It may change any key of a recipe, and `sampling`, which is the arm's sampler.

    Raises:
        ParamsError: if the result is not valid, or the arm itself.
    """
    plan = resolve_arm(params, dataset, PAPER_ARM).model_dump()
    changes = params.readings[reading]
    named = f"params.yaml: readings.{reading}"
    for key in changes:
        if key != "sampling" and key not in Recipe.model_fields:
            raise ParamsError(f"{named}.{key}: not a key of a recipe, nor `sampling`")
    if "kind" in changes.get("sampling", {}):
        plan["sampling"] = {}  # another sampler: the arm's own keys mean nothing to it
    try:
        return ArmPlan.model_validate(_merge(plan, {**changes, "arm": f"{READING}{reading}"}))
    except ValidationError as error:
        raise ParamsError(_readable(error, f"{named} over {PAPER_ARM}")) from None


def plans(params: Params) -> dict[str, BaseModel]:
    """Every plan file of the `plan` stage, by its path below `plan/`."""
    files: dict[str, BaseModel] = {
        "report.json": ReportPlan(
            datasets=params.datasets,
            arms=params.arms,
            sampler=params.sampler,
            headline=f"cmmanet-{params.sampler}",
            distance=params.evaluate.distance,
            test_frames=params.evaluate.test_frames,
        ),
        "readings.json": ReadingsPlan(
            datasets=params.datasets,
            arm=PAPER_ARM,
            readings=_readings(params),
            distance=params.evaluate.distance,
            test_frames=params.evaluate.test_frames,
        ),
        "cross.json": CrossPlan(
            pairs=params.cross,
            arms=params.arms,
            distance=params.evaluate.distance,
            test_frames=params.evaluate.test_frames,
        ),
        "occlusion.json": OcclusionPlan(
            render=params.data.synthetic.render if "synthetic" in params.datasets else None,
            levels=params.occlusion,
            arms=params.arms,
            distance=params.evaluate.distance,
            test_frames=params.evaluate.test_frames,
        ),
        "evaluate.json": EvaluatePlan(rerank=params.evaluate.rerank),
    }
    for dataset in params.datasets:
        data = params.data.by_name()[dataset]
        test_half = data.test_half if isinstance(data, IlidsVidData) else None
        render = data.render if isinstance(data, SyntheticData) else None
        files[f"{dataset}/data.json"] = DataPlan(dataset=dataset, render=render)
        files[f"{dataset}/split.json"] = SplitPlan(
            dataset=dataset, trials=data.trials, test_half=test_half
        )
        for arm in params.arms:
            files[f"{dataset}/{arm}.json"] = resolve_arm(params, dataset, arm)
        for reading in _readings(params):
            plan = resolve_reading(params, dataset, reading)
            files[f"{dataset}/{plan.arm}.json"] = plan
    return files


def _readings(params: Params) -> tuple[str, ...]:
    """The readings; none without the arm that they are readings of."""
    return tuple(params.readings) if PAPER_ARM in params.arms else ()


def _recipe(params: Params, dataset: Dataset) -> dict[str, Any]:
    """The dataset's recipe with its overrides."""
    data = params.data.by_name()[dataset]
    return _merge(params.recipes[data.recipe].model_dump(), data.overrides)


def _split_arm(params: Params, arm: str) -> tuple[str, str]:
    if arm in params.variants:
        if PAPER_SAMPLER not in params.samplers:
            raise ParamsError(f"params.yaml: samplers: {PAPER_SAMPLER!r} is needed by arm {arm!r}")
        return arm, PAPER_SAMPLER
    for sampler in params.samplers:
        variant = arm.removesuffix(f"-{sampler}")
        if variant != arm and variant in params.variants:
            return variant, sampler
    raise ParamsError(
        f"params.yaml: arms: {arm!r} is neither a variant ({_listed(params.variants)}) nor "
        f"<variant>-<sampler> (samplers: {_listed(params.samplers)})"
    )


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names))


def _readable(error: ValidationError, where: str) -> str:
    lines = []
    for problem in error.errors():
        path = _key(problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "model_type":
            continue  # weights given as a word: the list of words is its own problem
        if isinstance(problem["input"], dict) and "literal[" in str(problem["loc"][-1:]):
            continue  # and given as keys: one of these is its own problem
        if problem["type"] == "extra_forbidden":
            text = "unknown key"
        elif problem["type"] == "missing":
            text = "missing"
        elif problem["type"] != "value_error":
            text = f"{text[0].lower()}{text[1:]}, got {problem['input']!r}"
        lines.append(f"{where}: {path}: {text}" if path else f"{where}: {text}")
    return "\n".join(lines)


def _key(location: tuple[int | str, ...]) -> str:
    """The key as it stands in the file: pydantic puts the names of union members in."""
    parts = list(location)
    for choice, depth in (("samplers", 2), ("sampling", 1)):
        if parts[:1] == [choice] and len(parts) > depth:
            del parts[depth]
    return ".".join(str(part) for part in parts if not _UNION_MEMBER.match(str(part)))
