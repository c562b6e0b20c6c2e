"""Made-up plans and results."""

from __future__ import annotations

import statistics
from types import SimpleNamespace
from typing import Any

import pytest

ARMS = [
    "baseline",
    "single_mam",
    "single_mam_con",
    "multi_mam",
    "cmmanet-random_interval",
    "cmmanet-restricted",
]
METRICS = ("rank1", "rank5", "rank10", "rank20", "map", "map_step")
PROTOCOLS = {
    "synthetic": ("mars", 300, 640, 24, 12),
    "mars": ("mars", 1980, 12180, 3248, 870),
    "ilids-vid": ("two-camera", 150, 150, 0, 0),
    "prid2011": ("two-camera", 89, 89, 0, 0),
}


# What the variants change in a recipe.
VARIANTS = {
    "baseline": ([], 0.1),
    "single_mam": ([4], 0.0),
    "single_mam_con": ([4], 0.1),
    "multi_mam": ([3, 4], 0.0),
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
        "test_frames": "dense",
    }


def make_result(
    dataset: str,
    arm: str,
    rank1: list[float],
    *,
    partial: bool = False,
    recipe: str = "paper",
) -> dict[str, Any]:
    """A result with these rank-1 values, one a trial; every other metric follows from them."""
    protocol, query, gallery, distractors, junk = PROTOCOLS[dataset]
    trials = []
    for trial, value in enumerate(rank1):
        shifts = {"dense": 0.0, "chunk_first": -0.031}
        metrics = {
            mode: {metric: value + shift + 0.017 * place for place, metric in enumerate(METRICS)}
            | {"queries": query, "valid": query}
            for mode, shift in shifts.items()
        }
        trials.append(
            {
                "trial": trial,
                "seed": trial,
                "mlflow_run": "0" * 32,
                "iterations": 110,
                "train_seconds": 21.3,
                "metrics": metrics,
            }
        )

    def over_trials(reduce: Any) -> dict[str, dict[str, float]]:
        return {
            mode: {
                metric: reduce([trial["metrics"][mode][metric] for trial in trials])
                for metric in METRICS
            }
            for mode in ("dense", "chunk_first")
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
            "distance": "cosine",
        },
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


@pytest.fixture(scope="session")
def made_up() -> SimpleNamespace:
    """The makers of this file, for the tests beside it: tests are no package to import from."""
    return SimpleNamespace(arms=ARMS, report=make_report, result=make_result, results=make_results)
