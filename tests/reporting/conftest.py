"""Made-up plans, results and comparisons."""

from __future__ import annotations

import statistics
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from cmmanet.reporting.results import Figure, Planned, planned
from cmmanet.reporting.tables import render_tables

ARMS = [
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
METRICS = ("rank1", "rank5", "rank10", "rank20", "map", "map_step")
PROTOCOLS = {
    "synthetic": ("mars", 300, 640, 24, 12),
    "mars": ("mars", 1980, 12180, 3248, 870),
    "ilids-vid": ("two-camera", 150, 150, 0, 0),
    "prid2011": ("two-camera", 89, 89, 0, 0),
}
PEOPLE = {"synthetic": 60, "mars": 625, "ilids-vid": 150, "prid2011": 89}
# What each part of a scoring's name takes from every number, or adds to it.
SHIFTS = {
    "cosine": 0.0,
    "euclidean": -0.007,
    "dense": 0.0,
    "chunk_first": -0.031,
    "without_queries": -0.043,
    "reranked": 0.021,
}
RERANKING = {"k1": 20, "k2": 6, "weight": 0.3}

# What the variants change in a recipe.
VARIANTS = {
    "baseline": ([], 0.1),
    "single_mam": ([4], 0.0),
    "single_mam_con": ([4], 0.1),
    "multi_mam": ([3, 4], 0.0),
}
COST = {
    "parameters": 11_500_000,
    "multiply_adds": 310_000_000,
    "train_frames": 5280,
    "train_seconds": 21.3,
    "train_peak_memory": 900_000_000,
    "embed_frames": 3127,
    "embed_seconds": 8.25,
    "embed_peak_memory": 700_000_000,
}
CODE = {"commit": "abc1234def5678", "dirty": False, "date": "2026-11-22T16:00:00+00:00"}
ENVIRONMENT = {
    "device": "NVIDIA H200",
    "precision": "bf16",
    "python": "3.11.7",
    "torch": "2.15.0",
    "torchvision": "0.29.2",
    **CODE,
}


def make_config(dataset: str, arm: str, *, recipe: str, trials: int) -> dict[str, Any]:
    """A plan as results hold it; of a recipe called otherwise, with the paper's settings."""
    demo, strong = recipe == "demo", recipe == "strong"
    restricted = arm.endswith("restricted")
    mam_after, concentration = VARIANTS.get(arm, ([3, 4], 0.1))
    return {
        "image": {"height": 128, "width": 64} if demo else {"height": 256, "width": 128},
        "clip": {"frames": 2 if demo else 6, "flip": True, "erase": 0.5 if strong else 0.0},
        "batch": {
            "identities": {"demo": 12, "strong": 8}.get(recipe, 7),
            "clips": 2 if demo else 4,
        },
        "model": {
            "backbone": "resnet18" if demo else "resnet50",
            "weights": "none" if demo else "imagenet",
            "last_stride": 1 if strong else 2,
            "mam_after": list(mam_after),
            "submodules": 4,
            "hidden": 256,
            "neck": "bnneck" if strong else "none",
        },
        "losses": {
            "identity": 1.0,
            "smoothing": 0.1 if strong else 0.0,
            "triplet": 1.0,
            "margin": 0.3,
            "diversity": 0.1,
            "diversity_form": "eq8",
            "concentration": concentration,
        },
        "optimiser": {
            "lr": {"demo": 0.002, "strong": 0.00035}.get(recipe, 0.0002),
            "weight_decay": 0.0005,
        },
        "schedule": {
            "iterations": 110,
            "warmup": 20 if strong else 0,
            "milestones": [70, 90],
        },
        "precision": "auto",
        "compile": False,
        "dataset": dataset,
        "arm": arm,
        "variant": arm.split("-")[0],
        "recipe": recipe,
        "sampler": "restricted" if restricted else "random_interval",
        "sampling": (
            {"kind": "restricted"}
            if restricted
            else {"kind": "random_interval", "max_interval": 8, "draw": "epoch", "start": "any"}
        ),
        "seed": 0,
        "trials": trials,
    }


def make_report(
    datasets: list[str], arms: list[str] = ARMS, sampler: str = "random_interval"
) -> dict[str, Any]:
    return {
        "datasets": datasets,
        "arms": arms,
        "headline": f"cmmanet-{sampler}",
        "sampler": sampler,
        "distance": "cosine",
        "test_frames": "dense",
    }


def scorings(protocol: str, reranked: bool) -> list[str]:
    """Names of all scorings that a result under this protocol holds."""
    marks = ["", *([".without_queries"] if protocol == "mars" else []), *[".reranked"] * reranked]
    modes = product(("cosine", "euclidean"), ("dense", "chunk_first"), marks)
    return [f"{distance}.{frames}{mark}" for distance, frames, mark in modes]


def make_result(
    dataset: str,
    arm: str,
    rank1: list[float],
    *,
    partial: bool = False,
    recipe: str = "paper",
    reranked: bool = False,
) -> dict[str, Any]:
    """A result with these rank-1 values, one a trial; every other metric follows from them."""
    protocol, query, gallery, distractors, junk = PROTOCOLS[dataset]
    trials = []
    for trial, value in enumerate(rank1):
        metrics = {
            name: {
                metric: value + sum(SHIFTS[part] for part in name.split(".")) + 0.017 * place
                for place, metric in enumerate(METRICS)
            }
            | {"queries": query, "valid": query - 140 * ("without" in name and dataset == "mars")}
            for name in scorings(protocol, reranked)
        }
        trials.append(
            {
                "trial": trial,
                "seed": trial,
                "mlflow_run": "0" * 32,
                "iterations": 110,
                "cost": dict(COST),
                "metrics": metrics,
            }
        )

    def over_trials(reduce: Any) -> dict[str, dict[str, float]]:
        return {
            name: {
                metric: reduce([trial["metrics"][name][metric] for trial in trials])
                for metric in METRICS
            }
            for name in trials[0]["metrics"]
        }

    return {
        "dataset": dataset,
        "arm": arm,
        "variant": arm.split("-")[0],
        "sampler": "restricted" if arm.endswith("restricted") else "random_interval",
        "partial": partial,
        "data": {
            "found_frames": 142000,
            "official_frames": None if dataset == "synthetic" else 1191003,
        },
        "protocol": {
            "name": protocol,
            "splits": "the info files",
            "query": query,
            "gallery": gallery,
            "distractors": distractors,
            "junk": junk,
        },
        "reranking": dict(RERANKING) if reranked else None,
        "recipe": recipe,
        "config": make_config(dataset, arm, recipe=recipe, trials=len(rank1)),
        "trials": trials,
        "mean": over_trials(statistics.fmean),
        "std": over_trials(statistics.stdev) if len(trials) > 1 else None,
        "environment": dict(ENVIRONMENT),
        "embedding": dict(ENVIRONMENT),
        "evaluation": dict(CODE),
    }


def make_results(
    dataset: str, trials: int = 3, arms: list[str] = ARMS, **kwargs: Any
) -> dict[tuple[str, str], dict[str, Any]]:
    jitter = [0.0, 0.006, -0.004, 0.002, 0.008, -0.006, 0.001, 0.003, -0.002, 0.005]
    return {
        (dataset, arm): make_result(
            dataset,
            arm,
            # Every other arm has its trials mirrored, so that steps have a spread.
            [0.8 + 0.013 * place + (-1) ** place * jitter[trial] for trial in range(trials)],
            **kwargs,
        )
        for place, arm in enumerate(arms)
    }


def make_comparison(
    means: dict[str, dict[str, float]],
    steps: list[tuple[str, str]],
    *,
    dataset: str,
    trials: int,
    half_width: float = 0.02,
) -> dict[str, Any]:
    """A comparison of arms with these means: gains that half a width of 2 points resolves or not.

    Intervals over people are 3 points to both sides. One trial tells nothing of trainings.
    """
    query, people = PROTOCOLS[dataset][1], PEOPLE[dataset]
    splits = PROTOCOLS[dataset][0] == "two-camera"
    degrees = (len(means) - 1) * (trials - 1)

    def judged(gain: float) -> dict[str, Any]:
        if degrees < 3:
            return {"gain": gain, "half_width": None, "degrees": None, "resolved": None}
        resolved = abs(gain) > half_width
        return {"gain": gain, "half_width": half_width, "degrees": 9.0, "resolved": resolved}

    return {
        "scoring": "cosine.dense",
        "queries": query,
        "people": people,
        "trials": trials,
        "test_to_train": 1.0 if splits else None,
        "bootstrap": {"draws": 10_000, "seed": 0},
        "intervals": {}
        if splits
        else {
            arm: {metric: [mean[metric] - 0.03, mean[metric] + 0.03] for metric in METRICS}
            for arm, mean in means.items()
        },
        "training": {
            metric: {"std": 0.0061 if degrees else None, "degrees": degrees} for metric in METRICS
        },
        "steps": [
            {
                "before": before,
                "after": after,
                "metrics": {
                    metric: judged(means[after][metric] - means[before][metric])
                    for metric in METRICS
                },
            }
            for before, after in steps
        ],
    }


def make_comparisons(
    report: dict[str, Any], results: dict[tuple[str, str], Any], **kwargs: Any
) -> dict[str, Any]:
    """The comparison of each planned dataset: the paper's steps, and those to other arms."""
    arms, headline = report["arms"], report["headline"]
    steps = [*STEPS, *((headline, arm) for arm in arms if arm not in {*ARMS, headline})]
    return {
        dataset: make_comparison(
            {
                arm: results[dataset, arm]["mean"][f"{report['distance']}.{report['test_frames']}"]
                for arm in arms
            },
            [step for step in steps if set(step) <= set(arms)],
            dataset=dataset,
            trials=len(results[dataset, headline]["trials"]),
            **kwargs,
        )
        for dataset in report["datasets"]
    }


def make_plan(
    report: dict[str, Any],
    results: dict[tuple[str, str], Any],
    comparisons: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Planned:
    """What the page is made of: comparisons made up from the results, no claims and no figures."""
    if comparisons is None:
        comparisons = make_comparisons(report, results, **kwargs)
    claims = {dataset: {"measures": {}, "claims": []} for dataset in report["datasets"]}
    figures: dict[str, list[Figure]] = {dataset: [] for dataset in report["datasets"]}
    return planned(report, results, comparisons, claims, figures)


def make_page(report: dict[str, Any], results: dict[tuple[str, str], Any], **kwargs: Any) -> str:
    """The page of these results, with comparisons made up from them."""
    return render_tables(make_plan(report, results, **kwargs))


@pytest.fixture(scope="session")
def made_up() -> SimpleNamespace:
    """The makers of this file, for the tests beside it: tests are no package to import from."""
    return SimpleNamespace(
        arms=ARMS,
        report=make_report,
        result=make_result,
        results=make_results,
        comparison=make_comparison,
        comparisons=make_comparisons,
        page=make_page,
        plan=make_plan,
    )
