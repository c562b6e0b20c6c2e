"""Answers against a full sort in plain Python, and against what `rank` scores."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmanet.evaluation.ranking import rank
from cmmanet.evaluation.retrieval import answers, spread, worst_first


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["cosine", "euclidean"]), st.booleans())
def test_answers_are_the_head_of_the_sorted_gallery(
    seed: int, distance: Literal["cosine", "euclidean"], tied: bool
) -> None:
    draw = torch.Generator().manual_seed(seed)
    gallery = torch.randn(30, 4, generator=draw)
    if tied:
        gallery = gallery[torch.randint(0, 3, (30,), generator=draw)]
    query = torch.randn(4, generator=draw)
    ids = torch.randint(-1, 5, (30,), generator=draw)
    cameras = torch.randint(1, 4, (30,), generator=draw)
    ids[:2], cameras[:2] = torch.tensor([3, -1]), torch.tensor([2, 1])  # there is a right one
    found = answers(
        query, gallery, query_id=3, gallery_ids=ids, query_camera=1, gallery_cameras=cameras,
        top=6, distance=distance,
    )  # fmt: skip

    kept = []
    for row in range(30):
        pid, camera = int(ids[row]), int(cameras[row])
        if pid == -1 or (pid == 3 and camera == 1):
            continue
        q, g = query.double(), gallery[row].double()
        if distance == "cosine":
            value = 1 - float(q @ g / q.norm() / g.norm())
        else:
            value = float((q - g).norm())
        # Equal rows tie, and wrong answers go first.
        kept.append((round(value, 9), pid == 3, row))
    kept.sort()
    assert found.rows == [row for _, _, row in kept[:6]]
    assert found.right == [right for _, right, _ in kept[:6]]
    assert found.distances == pytest.approx([value for value, _, _ in kept[:6]], abs=1e-6)

    ranking = rank(
        query[None], gallery, query_ids=torch.tensor([3]), gallery_ids=ids,
        query_cameras=torch.tensor([1]), gallery_cameras=cameras, distance=distance,
    )  # fmt: skip
    first = int(ranking.first_right_rank[0])
    if first <= len(found.right):
        assert found.right.index(True) == first - 1
    else:
        assert not any(found.right)


def test_a_collapsed_network_answers_wrong_first() -> None:
    ids, cameras = torch.tensor([7, 5, 7, 0]), torch.tensor([2, 2, 3, 1])
    found = answers(
        torch.ones(3), torch.ones(4, 3), query_id=7, gallery_ids=ids, query_camera=1,
        gallery_cameras=cameras, top=10,
    )  # fmt: skip
    assert found.rows == [1, 3, 0, 2] and found.right == [False, False, True, True]


def test_nothing_left_of_the_gallery_is_told() -> None:
    alone = {"gallery_ids": torch.tensor([-1]), "gallery_cameras": torch.tensor([2])}
    with pytest.raises(ValueError, match="at least one row"):
        answers(torch.ones(2), torch.ones(1, 2), query_id=1, query_camera=1, top=3, **alone)


QUERIES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(1, 4)), min_size=1, max_size=20
)


@given(QUERIES)
def test_the_worst_queries_go_first(queries: list[tuple[float, int]]) -> None:
    table = pd.DataFrame(queries, columns=["ap_trapezoid", "first_right_rank"])
    left, order = list(range(len(queries))), []
    while left:
        worst = left[0]
        for place in left[1:]:
            ap, first = queries[place]
            if ap < queries[worst][0] or (ap == queries[worst][0] and first > queries[worst][1]):
                worst = place
        order.append(worst)
        left.remove(worst)
    assert worst_first(table) == order


@given(st.integers(1, 300), st.integers(2, 40), st.integers(1, 4))
def test_places_are_spread_over_all(count: int, evenly: int, ends: int) -> None:
    places = spread(count, evenly=evenly, ends=ends)
    assert places == sorted(set(places)) and set(places) <= set(range(count))
    assert set(range(min(ends, count))) <= set(places)
    assert set(range(max(0, count - ends), count)) <= set(places)
    assert len(places) <= evenly + 2 * (ends - 1)
    gaps = [after - before for before, after in pairwise(places)]
    assert max(gaps, default=0) <= -(-(count - 1) // (evenly - 1))
    if count <= evenly:
        assert places == list(range(count))
