"""The metrics of a result, and the conventions under which they are measured.

Neither torch nor pydantic here: reports need the names alone, ranking must run where only torch is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmmanet.params import Distance, TestFrames

RANKS = {"rank1": 1, "rank5": 5, "rank10": 10, "rank20": 20}
"""Share of queries with a true match among the first so many of the gallery."""

PRECISIONS = {"map": "ap_trapezoid", "map_step": "ap_step"}
"""Means of an average precision: its name in `Ranking` and in the tables of queries."""

METRICS = {
    **{name: f"R{rank}" for name, rank in RANKS.items()},
    "map": "mAP",
    "map_step": "mAP (step)",
}
"""Every metric of a result, with its heading in tables."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """A way to compare and rank tracklets; `str` gives its name in results and MLflow.

    >>> str(Scoring("cosine", "dense")), str(Scoring("cosine", "dense", reranked=True))
    ('cosine.dense', 'cosine.dense.reranked')

    Attributes:
        distance: between tracklets' features.
        test_frames: every frame, or the first of each of N chunks.
        without_queries: the queries' own rows are removed from the gallery, as some public loaders
            do. The official protocol of MARS keeps them as true matches of other queries.
        reranked: by k-reciprocal re-ranking, which uses the whole test set at once.
    """

    distance: Distance
    test_frames: TestFrames
    without_queries: bool = False
    reranked: bool = False

    def __str__(self) -> str:
        marks = [name for name in ("without_queries", "reranked") if getattr(self, name)]
        return ".".join([self.distance, self.test_frames, *marks])

    def variations(self) -> Iterator[Scoring]:
        """Yield every scoring that differs from this one in one convention."""
        yield replace(self, test_frames="dense" if self.test_frames != "dense" else "chunk_first")
        yield replace(self, distance="cosine" if self.distance != "cosine" else "euclidean")
        yield replace(self, without_queries=not self.without_queries)
        yield replace(self, reranked=not self.reranked)
