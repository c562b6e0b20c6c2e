"""Made-up plans, results and comparisons, of the models that stages write and reports read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, TypeVar

from pydantic import BaseModel

from cmmanet.evaluation.comparison import DRAWS, SEED, Bootstrap, Comparison, Spread, Step
from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.records import Cost, EvaluateResult, WatchedRun
from cmmanet.evaluation.uncertainty import Gain
from cmmanet.params import ArmPlan, ReportPlan
from cmmanet.reporting.document import Document
from cmmanet.reporting.inputs import ReportInputs
from cmmanet.reporting.report import build_report

Record = TypeVar("Record", bound=BaseModel)
Results = dict[tuple[str, str], EvaluateResult]

arms = [
    "baseline",
    "single_mam",
    "single_mam_con",
    "multi_mam",
    "cmmanet-random_interval",
    "cmmanet-restricted",
]
# Of the paper's Tables III to V.
STEPS = [
    ("cmmanet-restricted", "cmmanet-random_interval"),
    ("baseline", "single_mam"),
    ("single_mam", "single_mam_con"),
    ("single_mam", "multi_mam"),
    ("multi_mam", "cmmanet-random_interval"),
]
# Name, queries, gallery, distractors and junk; then identities.
PROTOCOLS = {
    "synthetic": ("mars", 300, 640, 24, 12),
    "mars": ("mars", 1980, 12180, 3248, 870),
    "ilids-vid": ("two-camera", 150, 150, 0, 0),
    "prid2011": ("two-camera", 89, 89, 0, 0),
}
PEOPLE = {"synthetic": 60, "mars": 625, "ilids-vid": 150, "prid2011": 89}
# Added to every number by each part of a scoring's name.
SHIFTS = {
    "cosine": 0.0,
    "euclidean": -0.007,
    "dense": 0.0,
    "chunk_first": -0.031,
    "without_queries": -0.043,
    "reranked": 0.021,
}
JITTER = [0.0, 0.006, -0.004, 0.002, 0.008, -0.006, 0.001, 0.003, -0.002, 0.005]
COST = Cost(
    parameters=11_500_000, multiply_adds=310_000_000,
    train_frames=5280, train_seconds=21.3, train_peak_memory=900_000_000,
    embed_frames=3127, embed_seconds=8.25, embed_peak_memory=700_000_000,
)  # fmt: skip
CODE = {"commit": "abc1234def5678", "dirty": False, "date": "2026-11-22T16:00:00+00:00"}
ENVIRONMENT = {
    "device": "NVIDIA H200", "precision": "bf16", "nondeterministic": [],
    "python": "3.11.7", "torch": "2.15.0", "torchvision": "0.29.2", **CODE,
}  # fmt: skip
PAPER = {
    "image": {"height": 256, "width": 128},
    "clip": {"frames": 6, "flip": True, "erase": 0.0},
    "batch": {"identities": 7, "clips": 4},
    "model": {
        "backbone": "resnet50", "weights": "imagenet", "last_stride": 2, "mam_after": [3, 4],
        "submodules": 4, "hidden": 256, "neck": "none",
    },
    "losses": {
        "identity": 1.0, "smoothing": 0.0, "triplet": 1.0, "margin": 0.3,
        "diversity": 0.1, "diversity_form": "eq8", "concentration": 0.1,
    },
    "optimiser": {"lr": 0.0002, "weight_decay": 0.0005},
    "schedule": {"iterations": 110, "warmup": 0, "milestones": [70, 90]},
    "precision": "auto",
    "sampling": {"kind": "random_interval", "max_interval": 8, "draw": "epoch", "start": "any"},
    "seed": 0,
}  # fmt: skip
# Changes to the paper's recipe. A recipe called otherwise has the paper's settings.
RECIPES: dict[str, dict[str, Any]] = {
    "demo": {
        "image": {"height": 128, "width": 64}, "clip/frames": 2,
        "batch": {"identities": 12, "clips": 2}, "model/backbone": "resnet18",
        "model/weights": "none", "optimiser/lr": 0.002,
    },
    "strong": {
        "clip/erase": 0.5, "batch/identities": 8, "model/last_stride": 1, "model/neck": "bnneck",
        "losses/smoothing": 0.1, "optimiser/lr": 0.00035, "schedule/warmup": 20,
    },
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "baseline": {"model/mam_after": []},
    "single_mam": {"model/mam_after": [4], "losses/concentration": 0.0},
    "single_mam_con": {"model/mam_after": [4]},
    "multi_mam": {"losses/concentration": 0.0},
}


def changed(record: Record, values: Mapping[str, Any]) -> Record:
    """Return the record with other values at these paths: config/optimiser/lr, trials/0/seed."""
    content = record.model_dump(mode="json")
    for path, value in values.items():
        *keys, last = (int(key) if key.isdecimal() else key for key in path.split("/"))
        place = content
        for key in keys:
            place = place[key]
        place[last] = value
    return type(record).model_validate(content)


def config(dataset: str, arm: str, recipe: str = "paper", trials: int = 1) -> ArmPlan:
    variant, _, sampler = arm.partition("-")
    names = {"dataset": dataset, "arm": arm, "variant": variant, "recipe": recipe}
    sampling = {"sampler": "random_interval"}
    if sampler == "restricted":
        sampling = {"sampler": sampler, "sampling": {"kind": sampler}}
    plan = ArmPlan.model_validate({**PAPER, **names, **sampling, "trials": trials})
    return changed(plan, {**RECIPES.get(recipe, {}), **VARIANTS.get(arm, {})})


def report(
    datasets: Sequence[str], arms: Sequence[str] = arms, sampler: str = "random_interval"
) -> ReportPlan:
    return ReportPlan(
        datasets=datasets,
        arms=arms,
        headline=f"cmmanet-{sampler}",
        sampler=sampler,
        distance="cosine",
        test_frames="dense",
    )


def scorings(dataset: str, reranked: bool) -> list[str]:
    """Return the names of all scorings on a dataset."""
    marks = ["", *([".without_queries"] if PROTOCOLS[dataset][0] == "mars" else [])]
    marks += [".reranked"] * reranked
    modes = product(("cosine", "euclidean"), ("dense", "chunk_first"), marks)
    return [f"{distance}.{frames}{mark}" for distance, frames, mark in modes]


def runs(dataset: str, rank1: Sequence[float], reranked: bool = False) -> list[WatchedRun]:
    """Return runs with these rank-1 values; every other metric follows from them."""
    queries = PROTOCOLS[dataset][1]
    return [
        WatchedRun(
            trial=trial,
            split=0,
            seed=trial,
            mlflow_run="0" * 32,
            iterations=110,
            warnings={},
            cost=COST,
            metrics={
                name: {
                    metric: value + sum(SHIFTS[part] for part in name.split(".")) + 0.017 * place
                    for place, metric in enumerate(METRICS)
                }
                | {
                    "queries": queries,
                    "valid": queries - 140 * ("without" in name and dataset == "mars"),
                }
                for name in scorings(dataset, reranked)
            },
        )
        for trial, value in enumerate(rank1)
    ]


def fields(dataset: str, *, partial: bool = False, reranked: bool = False) -> dict[str, Any]:
    """Return the fields of an arm's result that do not follow from its runs."""
    keys = ("name", "query", "gallery", "distractors", "junk")
    protocol = dict(zip(keys, PROTOCOLS[dataset], strict=True))
    return {
        "dataset": dataset,
        "partial": partial,
        "protocol": protocol | {"splits": "the info files"},
        "reranking": {"k1": 20, "k2": 6, "weight": 0.3} if reranked else None,
        "environment": {**ENVIRONMENT, "processes": 1},
        "embedding": ENVIRONMENT,
        "evaluation": CODE,
    }


def result(
    dataset: str,
    arm: str,
    rank1: Sequence[float],
    *,
    recipe: str = "paper",
    reranked: bool = False,
    partial: bool = False,
) -> EvaluateResult:
    counts = ("train_identities", "train_tracklets", "train_frames", "test_tracklets")
    return EvaluateResult.summarise(
        runs(dataset, rank1, reranked),
        config(dataset, arm, recipe, len(rank1)),
        mlflow_run="0" * 32,
        data={
            **dict.fromkeys((*counts, "test_frames"), 1),
            "found_frames": 142000,
            "official_frames": None if dataset == "synthetic" else 1191003,
        },
        **fields(dataset, partial=partial, reranked=reranked),
    )


def results(dataset: str, trials: int = 3, arms: Sequence[str] = arms, **kwargs: Any) -> Results:
    """Return results 1.3 points apart; of every other arm the jitter of runs is mirrored."""
    return {
        (dataset, arm): result(
            dataset,
            arm,
            [0.8 + 0.013 * place + (-1) ** place * jitter for jitter in JITTER[:trials]],
            **kwargs,
        )
        for place, arm in enumerate(arms)
    }


def comparison(
    means: Mapping[str, Mapping[str, float]],
    steps: Sequence[tuple[str, str]],
    *,
    dataset: str,
    trials: int,
) -> Comparison:
    """Compare arms with these means: half-widths are 2 points, intervals 3 to both sides.

    With fewer than 3 degrees of freedom there is no verdict.
    """
    splits = PROTOCOLS[dataset][0] == "two-camera"
    degrees = (len(means) - 1) * (trials - 1)

    def gain(value: float) -> Gain:
        judged = (None, None, None) if degrees < 3 else (0.02, 9.0, abs(value) > 0.02)
        return Gain(value, *judged)

    intervals = {
        arm: {metric: (mean[metric] - 0.03, mean[metric] + 0.03) for metric in METRICS}
        for arm, mean in means.items()
    }
    spread = Spread(std=0.0061 if degrees else None, degrees=degrees)
    return Comparison(
        scoring="cosine.dense",
        queries=PROTOCOLS[dataset][1],
        people=PEOPLE[dataset],
        trials=trials,
        test_to_train=1.0 if splits else None,
        bootstrap=Bootstrap(draws=DRAWS, seed=SEED),
        intervals={} if splits else intervals,
        training=dict.fromkeys(METRICS, spread),
        steps=tuple(
            Step(
                before=before,
                after=after,
                metrics={name: gain(means[after][name] - means[before][name]) for name in METRICS},
            )
            for before, after in steps
        ),
    )


def comparisons(report: ReportPlan, results: Results) -> dict[str, Comparison]:
    """Compare the arms of each planned dataset by the paper's steps, and those to other arms."""
    own = [(report.headline, arm) for arm in report.arms if arm not in {*arms, report.headline}]
    scoring = f"{report.distance}.{report.test_frames}"
    return {
        dataset: comparison(
            {arm: results[dataset, arm].mean[scoring] for arm in report.arms},
            [step for step in [*STEPS, *own] if set(step) <= set(report.arms)],
            dataset=dataset,
            trials=len(results[dataset, report.headline].trials),
        )
        for dataset in report.datasets
    }


def plan(
    report: ReportPlan, results: Results, compared: dict[str, Comparison] | None = None
) -> ReportInputs:
    """Return the inputs of a page without claims and figures."""
    return ReportInputs(
        headline=report.headline,
        sampler=report.sampler,
        scoring=Scoring(report.distance, report.test_frames),
        results={on: {arm: results[on, arm] for arm in report.arms} for on in report.datasets},
        comparisons=comparisons(report, results) if compared is None else compared,
        claims={dataset: {"measures": {}, "claims": []} for dataset in report.datasets},
        figures=dict.fromkeys(report.datasets, ()),
    )


def document(report: ReportPlan, results: Results, **parts: Any) -> Document:
    """Build the report of these results, with comparisons made up from them."""
    return build_report(replace(plan(report, results), **parts))
