"""Scoring one split of a dataset by embeddings, whoever made them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from cmmanet.datasets.tracklets import Split, Tracklets, Trials
from cmmanet.evaluation.metrics import METRICS, Scoring
from cmmanet.evaluation.ranking import Ranking
from cmmanet.evaluation.scoring import Reranking, score
from cmmanet.params import EvaluatePlan, TestFrames


def reranking_of(plan: EvaluatePlan) -> Reranking | None:
    """The plan's re-ranking; None for none."""
    return None if plan.rerank == "none" else Reranking(**plan.rerank.model_dump())


def score_split(
    features: Mapping[TestFrames, Tensor],
    rows: Sequence[int],
    tracklets: Tracklets,
    split: Split,
    reranking: Reranking | None,
) -> dict[Scoring, Ranking]:
    """Score a split by features [M, D] of the tracklets in `rows`.

    Raises:
        ValueError: if the split has tracklets that are not among them, or no query with a right
            answer.
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
    """One row a query that has a right answer, for each scoring."""
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


def over_trials(
    trials: Sequence[Mapping[str, Mapping[str, float]]],
    reduce: Callable[[list[float]], float] = statistics.fmean,
) -> dict[str, dict[str, float]]:
    """Reduce the metrics of several trials to one, for every scoring."""
    return {
        scoring: {
            metric: reduce([trial[scoring][metric] for trial in trials]) for metric in METRICS
        }
        for scoring in trials[0]
    }


def protocol(trials: Trials, tracklets: Tracklets) -> dict[str, Any]:
    """How queries meet the gallery; of several splits the first one's sizes."""
    split = trials["splits"][0]
    pid = tracklets.pid[split["gallery"]]
    return {
        "name": trials["protocol"],
        "splits": trials["source"],
        "query": len(split["query"]),
        "gallery": len(split["gallery"]),
        "distractors": int((pid == 0).sum()),
        "junk": int((pid == -1).sum()),
    }
