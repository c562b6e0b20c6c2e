"""Scores of an arm's runs, and the result that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import torch
from pydantic import ValidationError
from torch import Tensor

from cmmanet.datasets.tracklets import Split, Tracklets, Trials
from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.ranking import Ranking
from cmmanet.evaluation.records import (
    ArmResult,
    Cost,
    Environment,
    Protocol,
    RunResult,
    Scorings,
    TrainingEnvironment,
    WatchedRun,
)
from cmmanet.evaluation.scoring import score
from cmmanet.params import ArmPlan, EvaluatePlan, Rerank, TestFrames
from pipeline.parts import workspace

Result = TypeVar("Result", bound=ArmResult)


def reranking_of(plan: EvaluatePlan) -> Rerank | None:
    """Return the plan's re-ranking; None for none."""
    return None if plan.rerank == "none" else plan.rerank


def score_split(
    features: Mapping[TestFrames, Tensor],
    rows: Sequence[int],
    tracklets: Tracklets,
    split: Split,
    reranking: Rerank | None,
) -> dict[Scoring, Ranking]:
    """Score a split by features [M, D] of the tracklets in `rows`.

    Raises:
        ValueError: the split has tracklets that are not among them, or no query with a true match.
    """
    place = {row: position for position, row in enumerate(rows)}
    try:
        query = [place[row] for row in split["query"]]
        gallery = [place[row] for row in split["gallery"]]
    except KeyError as lost:
        raise ValueError(f"tracklet {lost} of the split was not embedded; embed again") from None
    scores = score(
        features,
        pid=torch.from_numpy(tracklets.pid[np.array(rows)]),
        camera=torch.from_numpy(tracklets.camera[np.array(rows)]),
        query=query,
        gallery=gallery,
        reranking=reranking,
    )
    if not scores:
        raise ValueError(
            f"none of the {len(query):,} queries has a right answer in the gallery: a part of a "
            "dataset that holds no person in two cameras cannot be scored"
        )
    return scores


def each_query(
    trial: int, split: Split, tracklets: Tracklets, scores: dict[Scoring, Ranking]
) -> pa.Table:
    """Return a table with one row per scoring and query with a true match."""
    tables = []
    for scoring, ranking in scores.items():
        valid = ranking.valid.numpy()
        query = np.array(split["query"])[valid]
        columns = {
            "trial": np.full(len(query), trial),
            "scoring": np.full(len(query), str(scoring)),
            "query": query,
            "pid": tracklets.pid[query],
            "first_right_rank": ranking.first_right_rank.numpy()[valid],
            "ap_trapezoid": ranking.ap_trapezoid.numpy()[valid],
            "ap_step": ranking.ap_step.numpy()[valid],
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def summaries(scores: Mapping[Scoring, Ranking]) -> Scorings:
    """Return the metrics of each scoring by its name."""
    return {str(scoring): ranking.summary() for scoring, ranking in scores.items()}


class TestedRun(NamedTuple):
    """A run, its embedding and its metrics.

    Attributes:
        record: the run's run.json.
        embedding: environment and cost of the embedding.
        split: the split tested on; None for a mean over several.
        metrics: by scoring.
        warnings: about its training; None where they are not part of the result.
    """

    record: dict[str, Any]
    embedding: dict[str, Any]
    split: int | None
    metrics: Scorings
    warnings: dict[str, str] | None = None


def arm_result(
    kind: type[Result],
    runs: Sequence[TestedRun],
    trials: Trials,
    tracklets: Tracklets,
    **fields: Any,
) -> Result:
    """Summarise the runs of an arm, tested on splits `trials` of `tracklets`.

    Args:
        kind: the type of the result.
        runs: at least one.
        trials: of the dataset tested on.
        tracklets: of the dataset tested on.
        **fields: of the result, those that are not in the runs.

    Raises:
        ValueError: the record of a run was written by another version.
    """
    first = runs[0]
    try:
        results = [_run_result(run) for run in runs]
        config = ArmPlan.model_validate(first.record["config"])
        environment = TrainingEnvironment(**first.record["environment"])
        embedding = Environment(**_without_cost(first.embedding))
    except (KeyError, ValidationError) as error:
        dataset, arm = first.record["dataset"], first.record["arm"]
        raise ValueError(
            f"{workspace.run_folder(dataset, arm)}: written by an incompatible version; run "
            f"`dvc repro train@{dataset}-{arm}`"
        ) from error
    return kind.summarise(
        results,
        config,
        protocol=protocol(trials, tracklets),
        environment=environment,
        embedding=embedding,
        **fields,
    )


def protocol(trials: Trials, tracklets: Tracklets) -> Protocol:
    """Return how queries meet the gallery; of several splits the first one's sizes."""
    split = trials["splits"][0]
    pid = tracklets.pid[split["gallery"]]
    return Protocol(
        name=trials["protocol"],
        splits=trials["source"],
        query=len(split["query"]),
        gallery=len(split["gallery"]),
        distractors=int((pid == 0).sum()),
        junk=int((pid == -1).sum()),
    )


def _run_result(run: TestedRun) -> RunResult:
    record = run.record
    result = RunResult(
        trial=record["trial"],
        split=run.split,
        seed=record["seed"],
        mlflow_run=record["mlflow_run"],
        iterations=record["iterations"],
        cost=_cost(record, run.embedding["cost"]),
        metrics=run.metrics,
    )
    return result if run.warnings is None else WatchedRun(**dict(result), warnings=run.warnings)


def _cost(record: dict[str, Any], embedding: dict[str, Any]) -> Cost:
    config = record["config"]
    clips = config["batch"]["identities"] * config["batch"]["clips"]
    return Cost(
        parameters=record["cost"]["parameters"],
        multiply_adds=record["cost"]["multiply_adds"],
        train_frames=record["iterations"] * clips * config["clip"]["frames"],
        train_seconds=record["train_seconds"],
        train_peak_memory=record["cost"]["peak_memory"],
        embed_frames=embedding["frames"],
        embed_seconds=embedding["seconds"],
        embed_peak_memory=embedding["peak_memory"],
    )


def _without_cost(embedding: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in embedding.items() if key != "cost"}
