"""Which numbers a result holds, and under which conventions.

No torch here: the report needs the names alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cmmanet.params import Distance, TestFrames

METRICS = {
    "rank1": "R1",
    "rank5": "R5",
    "rank10": "R10",
    "rank20": "R20",
    "map": "mAP",
    "map_step": "mAP (step)",
}
"""Each metric of `Ranking.summary` by its name there, and as a table heads it."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """How tracklets are compared and ranked; `str` gives its name in results and MLflow.

    >>> str(Scoring("cosine", "dense")), str(Scoring("cosine", "dense", reranked=True))
    ('cosine.dense', 'cosine.dense.reranked')

    Attributes:
        distance: between tracklets' features.
        test_frames: every frame, or the first of each of N chunks.
        without_queries: the queries' own rows are taken out of the gallery, as some public loaders
            do. The official protocol of MARS leaves them in, right answers to other queries.
        reranked: by k-reciprocal re-ranking, which looks at the whole test set at once.
    """

    distance: Distance
    test_frames: TestFrames
    without_queries: bool = False
    reranked: bool = False

    def __str__(self) -> str:
        marks = [name for name in ("without_queries", "reranked") if getattr(self, name)]
        return ".".join([self.distance, self.test_frames, *marks])

    def variations(self) -> Iterator[Scoring]:
        """Every scoring that differs from this one in one thing."""
        yield replace(self, test_frames="dense" if self.test_frames != "dense" else "chunk_first")
        yield replace(self, distance="cosine" if self.distance != "cosine" else "euclidean")
        yield replace(self, without_queries=not self.without_queries)
        yield replace(self, reranked=not self.reranked)
