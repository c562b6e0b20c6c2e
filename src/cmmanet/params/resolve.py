"""From params.yaml to the plan files: an arm is a recipe and what is laid over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from cmmanet.params.messages import ParamsError, listed, readable
from cmmanet.params.plan_files import (
    ArmPlan,
    CrossPlan,
    DataPlan,
    EvaluatePlan,
    OcclusionPlan,
    ReadingsPlan,
    ReportPlan,
    SplitPlan,
)
from cmmanet.params.recipe import Recipe
from cmmanet.params.sections import HalvedEntry, Render, RenderedEntry
from cmmanet.params.whole import PAPER_ARM, PAPER_SAMPLER, READING, Params


def plans(params: Params) -> dict[str, BaseModel]:
    """Every plan file of the `plan` stage, by its path below `plan/`."""
    files: dict[str, BaseModel] = {
        "report.json": ReportPlan(
            datasets=params.datasets,
            arms=params.arms,
            sampler=params.sampler,
            headline=params.headline,
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
            render=_render(params, "synthetic") if "synthetic" in params.datasets else None,
            levels=params.occlusion,
            arms=params.arms,
            distance=params.evaluate.distance,
            test_frames=params.evaluate.test_frames,
        ),
        "evaluate.json": EvaluatePlan(rerank=params.evaluate.rerank),
    }
    for dataset in params.datasets:
        data = params.data[dataset]
        test_half = data.test_half if isinstance(data, HalvedEntry) else None
        render = _render(params, dataset)
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


def _render(params: Params, dataset: str) -> Render | None:
    data = params.data[dataset]
    return data.render if isinstance(data, RenderedEntry) else None


def _readings(params: Params) -> tuple[str, ...]:
    """The readings; none without the arm that they are readings of."""
    return tuple(params.readings) if PAPER_ARM in params.arms else ()


def resolve_arm(params: Params, dataset: str, arm: str) -> ArmPlan:
    """Lay the arm's variant over its dataset's recipe and validate the result.

    Raises:
        ParamsError: if the arm names no variant or sampler, or the result is not valid.
    """
    variant, sampler = _split_arm(params, arm)
    data = params.data[dataset]
    merged = _merge(recipe_of(params, dataset), params.variants[variant])
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
        raise ParamsError(readable(error, where)) from None


def resolve_reading(params: Params, dataset: str, reading: str) -> ArmPlan:
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
    sampling = changes.get("sampling")
    if isinstance(sampling, Mapping) and "kind" in sampling:
        plan["sampling"] = {}  # another sampler: the arm's own keys mean nothing to it
    try:
        return ArmPlan.model_validate(_merge(plan, {**changes, "arm": f"{READING}{reading}"}))
    except ValidationError as error:
        raise ParamsError(readable(error, f"{named} over {PAPER_ARM}")) from None


def recipe_of(params: Params, dataset: str) -> dict[str, Any]:
    """The dataset's recipe with its overrides."""
    data = params.data[dataset]
    return _merge(params.recipes[data.recipe].model_dump(), data.overrides)


def _split_arm(params: Params, arm: str) -> tuple[str, str]:
    """The variant and the sampler that an arm's name says."""
    if arm in params.variants:
        if PAPER_SAMPLER not in params.samplers:
            raise ParamsError(f"params.yaml: samplers: {PAPER_SAMPLER!r} is needed by arm {arm!r}")
        return arm, PAPER_SAMPLER
    for sampler in params.samplers:
        variant = arm.removesuffix(f"-{sampler}")
        if variant != arm and variant in params.variants:
            return variant, sampler
    raise ParamsError(
        f"params.yaml: arms: {arm!r} is neither a variant ({listed(params.variants)}) nor "
        f"<variant>-<sampler> (samplers: {listed(params.samplers)})"
    )


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what `change` says; keys below keys are merged, and a list is replaced."""
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged
