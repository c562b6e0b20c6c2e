"""Score the embeddings of one run under every convention that the field reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import torch
from torch import Tensor

from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.ranking import Ranking, rank, rank_distances
from cmmanet.evaluation.reranking import reranked_distances
from cmmanet.params import Distance, Rerank, TestFrames


def score(
    features: Mapping[TestFrames, Tensor],
    *,
    pid: Tensor,
    camera: Tensor,
    query: Sequence[int],
    gallery: Sequence[int],
    reranking: Rerank | None,
) -> dict[Scoring, Ranking]:
    """Rank the gallery for every query under each `Scoring`.

    Both distances and all test frames, under the official protocol; also without the queries
    where the gallery contains them, as in MARS, and re-ranked where `reranking` is given. A
    scoring that leaves no query with a true match is left out.

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
            distances = reranked_distances(
                of_query, of_gallery, distance=distance, **reranking.model_dump()
            )
            scores[replace(plain, reranked=True)] = rank_distances(distances, **labels(gallery))
    return {scoring: ranking for scoring, ranking in scores.items() if ranking.valid.any()}
