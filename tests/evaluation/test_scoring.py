from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.ranking import Ranking, rank_distances
from cmmanet.evaluation.reranking import reranked_distances
from cmmanet.evaluation.scoring import score
from cmmanet.params import Distance, Rerank, TestFrames

# (pid, camera) of each tracklet, in no order: junk, distractors, person 5 before one camera only.
MARS = [
    *((1, 1), (-1, 2), (2, 1), (0, 3), (1, 2), (1, 3), (2, 2), (0, 1), (1, 2), (3, 1)),
    *((5, 4), (3, 2), (-1, 1), (2, 1), (3, 3), (5, 4), (2, 3), (1, 1)),
]
MARS_QUERY = [11, 0, 2, 4, 6, 10]
TWO_CAMERA = [(pid, camera) for pid in range(1, 8) for camera in (1, 2)]

RERANKING = Rerank(k1=4, k2=2, weight=0.3)

Features = dict[TestFrames, torch.Tensor]


def features_of(rows: int, seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    return {
        "dense": torch.from_numpy(rng.normal(0.3, 1, (rows, 5)).astype(np.float32)),
        "chunk_first": torch.from_numpy(rng.normal(0.3, 1, (rows, 5)).astype(np.float32)),
    }


def scored(
    labels: list[tuple[int, int]],
    query: list[int],
    gallery: list[int],
    reranking: Rerank | None = None,
    features: Features | None = None,
) -> dict[Scoring, Ranking]:
    pid, camera = torch.tensor(labels).T
    return score(
        features or features_of(len(labels)),
        pid=pid,
        camera=camera,
        query=query,
        gallery=gallery,
        reranking=reranking,
    )


def apart(distance: Distance) -> Callable[[list[float], list[float]], float]:
    def cosine(one: list[float], other: list[float]) -> float:
        product = sum(a * b for a, b in zip(one, other, strict=True))
        return 1 - product / (math.hypot(*one) * math.hypot(*other))

    return cosine if distance == "cosine" else math.dist


def naive(
    labels: list[tuple[int, int]],
    query: list[int],
    gallery: list[int],
    features: torch.Tensor,
    distance: Distance,
) -> list[tuple[int, float, float] | None]:
    """Each query's first right rank, trapezoid AP and step AP; None without a right answer."""
    values, between = features.double().tolist(), apart(distance)
    found: list[tuple[int, float, float] | None] = []
    for asked in query:
        answers = [
            (between(values[asked], values[row]), labels[row][0] == labels[asked][0])
            for row in gallery
            if labels[row][0] != -1 and labels[row] != labels[asked]
        ]
        ranks = [place for place, (_, right) in enumerate(sorted(answers), 1) if right]
        trapezoid = step = 0.0
        for number, place in enumerate(ranks, 1):
            before = 1.0 if place == 1 else (number - 1) / (place - 1)
            trapezoid += (before + number / place) / 2 / len(ranks)
            step += number / place / len(ranks)
        found.append((ranks[0], trapezoid, step) if ranks else None)
    return found


def assert_is(ranking: Ranking, expected: list[tuple[int, float, float] | None]) -> None:
    assert ranking.valid.tolist() == [one is not None for one in expected]
    for place, one in enumerate(expected):
        if one is not None:
            assert int(ranking.first_right_rank[place]) == one[0]
            assert float(ranking.ap_trapezoid[place]) == pytest.approx(one[1], abs=1e-12)
            assert float(ranking.ap_step[place]) == pytest.approx(one[2], abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_queries_in_the_gallery_are_scored_with_and_without_them(seed: int) -> None:
    gallery = list(range(len(MARS)))
    features = features_of(len(MARS), seed)
    scores = scored(MARS, MARS_QUERY, gallery, features=features)
    assert len(scores) == 2 * 2 * 2
    others = [row for row in gallery if row not in MARS_QUERY]
    for scoring, ranking in scores.items():
        rows = others if scoring.without_queries else gallery
        values = features[scoring.test_frames]
        assert_is(ranking, naive(MARS, MARS_QUERY, rows, values, scoring.distance))
        assert not ranking.valid[MARS_QUERY.index(10)], "seen by one camera alone"


@pytest.mark.parametrize("seed", range(5))
def test_two_cameras_have_no_queries_to_take_out(seed: int) -> None:
    query, gallery = list(range(0, 14, 2)), list(range(13, 0, -2))
    features = features_of(len(TWO_CAMERA), seed)
    scores = scored(TWO_CAMERA, query, gallery, features=features)
    assert {str(scoring) for scoring in scores} == {
        *("cosine.dense", "cosine.chunk_first", "euclidean.dense", "euclidean.chunk_first"),
    }
    for scoring, ranking in scores.items():
        values = features[scoring.test_frames]
        assert_is(ranking, naive(TWO_CAMERA, query, gallery, values, scoring.distance))


def test_only_a_part_of_the_tracklets_is_ranked() -> None:
    gallery = [16, 3, 8, 14, 1]
    features = features_of(len(MARS))
    scores = scored(MARS, [0, 2, 9], gallery, features=features)
    expected = naive(MARS, [0, 2, 9], gallery, features["dense"], "cosine")
    assert_is(scores[Scoring("cosine", "dense")], expected)


@pytest.mark.parametrize(
    ("query", "gallery"),
    [
        ([0, 4], [0, 4]),  # nothing would be left
        ([0, 4], [0, 4, 1, 3, 6]),  # nothing right would be left
    ],
)
def test_without_queries_is_left_out_where_it_says_nothing(
    query: list[int], gallery: list[int]
) -> None:
    scores = scored(MARS, query, gallery, RERANKING)
    assert scores and not any(scoring.without_queries for scoring in scores)


def test_no_right_answer_leaves_nothing() -> None:
    assert scored(MARS, [10, 15], list(range(len(MARS))), RERANKING) == {}


@pytest.mark.parametrize("labels", [MARS, TWO_CAMERA])
def test_reranking_adds_the_official_protocol_over_other_distances(
    labels: list[tuple[int, int]],
) -> None:
    query = MARS_QUERY if labels is MARS else list(range(0, 14, 2))
    gallery = list(range(len(MARS))) if labels is MARS else list(range(1, 14, 2))
    features = features_of(len(labels))
    plain = scored(labels, query, gallery, features=features)
    scores = scored(labels, query, gallery, RERANKING, features)
    assert {s for s in scores if not s.reranked} == set(plain)
    reranked = {s for s in scores if s.reranked}
    assert len(reranked) == 4 and not any(s.without_queries for s in reranked)
    pid, camera = torch.tensor(labels).T
    for scoring in reranked:
        values = features[scoring.test_frames]
        distances = reranked_distances(
            values[query], values[gallery], distance=scoring.distance, k1=4, k2=2, weight=0.3
        )
        expected = rank_distances(
            distances,
            query_ids=pid[query],
            gallery_ids=pid[gallery],
            query_cameras=camera[query],
            gallery_cameras=camera[gallery],
        )
        assert torch.equal(scores[scoring].first_right_rank, expected.first_right_rank)
        torch.testing.assert_close(
            scores[scoring].ap_step, expected.ap_step, rtol=0, atol=0, equal_nan=True
        )


def test_named_conventions_are_those_of_other_peoples_code(shared: Path) -> None:
    golden = np.load(shared / "golden/mars_small_features.npz")
    expected = json.loads((shared / "golden/mars_small_expected.json").read_text())
    features = torch.from_numpy(golden["features"])
    labels = list(zip(golden["pid"].tolist(), golden["cam"].tolist(), strict=True))
    query = golden["query_idx0"].tolist()
    scores = scored(
        labels,
        query,
        list(range(len(labels))),
        features={"dense": features, "chunk_first": features[:, :2]},
    )
    plain = scores[Scoring("euclidean", "dense")].summary()
    without = scores[Scoring("euclidean", "dense", without_queries=True)].summary()
    # AP3D takes junk out beforehand, which the official protocol does for each query.
    for summary, name, mean_ap, queries in (
        (plain, "A_official_matlab_octave", "map", "n_query"),
        (plain, "B_AP3D_query+gallery_step_AP", "map_step", "n_valid_query"),
        (without, "C_torchreid_gallery_excl_query_step_AP", "map_step", "n_valid_query"),
    ):
        wanted = expected[name]
        assert summary["valid"] == wanted[queries]
        assert summary[mean_ap] == pytest.approx(wanted["mAP"], abs=1e-9)
        for k in (1, 5, 10, 20):
            assert summary[f"rank{k}"] == pytest.approx(wanted[f"R{k}"], abs=1e-9)


EVERY = [
    Scoring(distance, frames, without, reranked)
    for distance, frames, without, reranked in product(
        ("cosine", "euclidean"), ("dense", "chunk_first"), (False, True), (False, True)
    )
]


def test_names_tell_scorings_apart() -> None:
    assert len({str(scoring) for scoring in EVERY}) == len(EVERY)
    named = Scoring("euclidean", "chunk_first", without_queries=True, reranked=True)
    assert str(named) == "euclidean.chunk_first.without_queries.reranked"


@pytest.mark.parametrize("scoring", EVERY, ids=str)
def test_variations_differ_in_one_thing_each(scoring: Scoring) -> None:
    fields = ("distance", "test_frames", "without_queries", "reranked")
    changed = [
        [name for name in fields if getattr(other, name) != getattr(scoring, name)]
        for other in scoring.variations()
    ]
    assert sorted(changed) == sorted([name] for name in fields)
    assert set(scoring.variations()) <= set(EVERY)
