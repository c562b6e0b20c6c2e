"""From params.yaml to the plan files: an arm is a recipe with a variant's changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from cmmanet.params.messages import ParamsError, readable
from cmmanet.params.plan_files import (
    ArmPlan,
    ClaimsPlan,
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
from cmmanet.params.whole import PAPER_ARM, READING, Params


def plans(params: Params) -> dict[str, BaseModel]:
    """Return every plan file of the `plan` stage, by its path below `plan/`."""
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
        arms = {arm: resolve_arm(params, dataset, arm) for arm in params.arms}
        concentrated = tuple(arm for arm, plan in arms.items() if plan.losses.concentration)
        files[f"{dataset}/claims.json"] = ClaimsPlan(arms=params.arms, concentrated=concentrated)
        files |= {f"{dataset}/{arm}.json": plan for arm, plan in arms.items()}
        for reading in _readings(params):
            plan = resolve_reading(params, dataset, reading)
            files[f"{dataset}/{plan.arm}.json"] = plan
    return files


def _render(params: Params, dataset: str) -> Render | None:
    data = params.data[dataset]
    return data.render if isinstance(data, RenderedEntry) else None


def _readings(params: Params) -> tuple[str, ...]:
    """Return the names of the readings; none if their arm is not among the arms."""
    return tuple(params.readings) if PAPER_ARM in params.arms else ()


def resolve_arm(params: Params, dataset: str, arm: str) -> ArmPlan:
    """Lay the variant named `arm` over its dataset's recipe and validate the result.

    Raises:
        ParamsError: if the result is not valid.
    """
    data, sampler = params.data[dataset], params.sampler_of(arm)
    changes = {key: value for key, value in params.variants[arm].items() if key != "sampler"}
    merged = _merge(recipe_of(params, dataset), changes)
    plan = {
        "dataset": dataset,
        "arm": arm,
        "variant": arm,
        "recipe": data.recipe,
        "sampler": sampler,
        "sampling": params.samplers[sampler].model_dump(),
        "seed": params.seed,
        "trials": data.trials,
    }
    taken = sorted(set(plan) & set(merged))
    if taken:
        raise ParamsError(
            f"params.yaml: variants.{arm}.{taken[0]}: not a key of a recipe, nor `sampler`"
        )
    try:
        return ArmPlan.model_validate(merged | plan)
    except ValidationError as error:
        layers = [f"variants.{arm}", f"recipes.{data.recipe}"]
        if data.overrides:
            layers.insert(1, f"data.{dataset}.overrides")
        where = f"params.yaml: {' over '.join(layers)}"
        raise ParamsError(readable(error, where)) from None


def resolve_reading(params: Params, dataset: str, reading: str) -> ArmPlan:
    """Lay another reading of what the paper leaves open over the paper's arm.

    It may change any key of a recipe, and `sampling`, which is the arm's sampler.

    Raises:
        ParamsError: if the result or the arm is not valid.
    """
    plan = resolve_arm(params, dataset, PAPER_ARM).model_dump()
    changes = params.readings[reading]
    named = f"params.yaml: readings.{reading}"
    for key in changes:
        if key != "sampling" and key not in Recipe.model_fields:
            raise ParamsError(f"{named}.{key}: not a key of a recipe, nor `sampling`")
    sampling = changes.get("sampling")
    if isinstance(sampling, Mapping) and "kind" in sampling:
        plan["sampling"] = {}  # another sampler: the keys of the arm's mean nothing to it
    try:
        return ArmPlan.model_validate(_merge(plan, {**changes, "arm": f"{READING}{reading}"}))
    except ValidationError as error:
        raise ParamsError(readable(error, f"{named} over {PAPER_ARM}")) from None


def recipe_of(params: Params, dataset: str) -> dict[str, Any]:
    """Return the dataset's recipe with its overrides."""
    data = params.data[dataset]
    return _merge(params.recipes[data.recipe].model_dump(), data.overrides)


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `change`; nested keys are merged, and a list is replaced."""
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged
