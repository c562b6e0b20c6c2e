"""Scoring one trial's embeddings under every convention that the field reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.ranking import Ranking, rank, rank_distances
from cmmanet.evaluation.reranking import reranked_distances
from cmmanet.params import Distance, TestFrames


class Reranking(NamedTuple):
    """Parameters of k-reciprocal re-ranking; `weight` is the share of the plain distance."""

    k1: int
    k2: int
    weight: float


def score(
    features: Mapping[TestFrames, Tensor],
    *,
    pid: Tensor,
    camera: Tensor,
    query: Sequence[int],
    gallery: Sequence[int],
    reranking: Reranking | None,
) -> dict[Scoring, Ranking]:
    """Rank the gallery for every query under each `Scoring` that there is.

    Both distances and all test frames, under the official protocol. Where queries stand in the
    gallery, as in MARS, also without them. With `reranking`, the official protocol re-ranked.
    What leaves no query with a right answer is left out.

    Args:
        features: by test frames, float [M, D]: rows are tracklets.
        pid: int [M].
        camera: int [M].
        query: rows of the queries.
        gallery: rows of the gallery.
        reranking: None leaves it out.

    Raises:
        ValueError: as `rank` and `reranked_distances`.
    """
    asked = set(query)
    others = [row for row in gallery if row not in asked]

    def labels(gallery: Sequence[int]) -> dict[str, Any]:
        query_rows, gallery_rows = torch.tensor(query), torch.tensor(gallery)
        return {
            "query_ids": pid[query_rows],
            "gallery_ids": pid[gallery_rows],
            "query_cameras": camera[query_rows],
            "gallery_cameras": camera[gallery_rows],
        }

    scores = {}
    for distance, (frames, values) in product(get_args(Distance), features.items()):
        plain = Scoring(distance, frames)
        of_query, of_gallery = values[list(query)], values[list(gallery)]
        scores[plain] = rank(of_query, of_gallery, **labels(gallery), distance=distance)
        if 0 < len(others) < len(gallery):
            scores[replace(plain, without_queries=True)] = rank(
                of_query, values[others], **labels(others), distance=distance
            )
        if reranking is not None:
            scores[replace(plain, reranked=True)] = rank_distances(
                reranked_distances(of_query, of_gallery, distance=distance, **reranking._asdict()),
                **labels(gallery),
            )
    return {scoring: ranking for scoring, ranking in scores.items() if ranking.valid.any()}
