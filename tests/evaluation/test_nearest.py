import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmmanet.evaluation.nearest import nearest


def by_hand(query: Tensor, gallery: Tensor, distance: str) -> list[list[tuple[float, int]]]:
    """Every gallery row by distance and then by place, in plain Python."""
    found = []
    for q in query.tolist():
        pairs = []
        for row, g in enumerate(gallery.tolist()):
            if distance == "euclidean":
                value = math.dist(q, g)
            else:
                product = sum(a * b for a, b in zip(q, g, strict=True))
                value = 1 - product / (math.hypot(*q) * math.hypot(*g))
            pairs.append((round(value, 9), row))
        found.append(sorted(pairs))
    return found


@settings(deadline=None, max_examples=60)
@given(data=st.data(), distance=st.sampled_from(["cosine", "euclidean"]))
def test_answers_are_those_of_a_full_sort(
    data: st.DataObject, distance: Literal["cosine", "euclidean"]
) -> None:
    # Few small whole numbers: many rows are equal, and more are at the same distance. Powers of
    # two apart, so that vectors of one direction are equal bits when they have unit length.
    vector = st.sampled_from([[1.0, 0.0], [2.0, 0.0], [0.0, 4.0], [-1.0, 0.0], [1.0, 1.0]])
    query = torch.tensor(data.draw(st.lists(vector, min_size=1, max_size=6)))
    gallery = torch.tensor(data.draw(st.lists(vector, min_size=1, max_size=12)))
    top = data.draw(st.integers(1, 14))
    chunk = data.draw(st.integers(1, 7))
    values, rows = nearest(query, gallery, top=top, distance=distance, chunk=chunk)
    assert values.dtype == torch.float64
    assert rows.shape == values.shape == (len(query), min(top, len(gallery)))
    for number, expected in enumerate(by_hand(query, gallery, distance)):
        assert rows[number].tolist() == [row for _, row in expected][:top]
        assert values[number].tolist() == pytest.approx(
            [value for value, _ in expected][:top], abs=1e-8
        )


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_equal_rows_tie_wherever_they_lie(distance: Literal["cosine", "euclidean"]) -> None:
    torch.manual_seed(0)
    one = torch.randn(1, 2048)
    gallery = torch.randn(301, 2048)
    places = [0, 1, 2, 7, 64, 150, 299, 300]
    gallery[places] = one
    query = torch.cat([torch.randn(5, 2048), one + 0.01 * torch.randn(1, 2048), one])
    values, rows = nearest(query, gallery, top=5, distance=distance)
    for near in (5, 6):
        assert rows[near].tolist() == places[:5]
        assert len(set(values[near].tolist())) == 1
    assert values[6, 0] == 0


def test_a_small_distance_keeps_its_digits() -> None:
    angle = 1e-6
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    gallery = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    values, _ = nearest(query, gallery, top=1)
    assert values.item() == pytest.approx(angle**2 / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": 0}, "top and chunk"),
        ({"chunk": 0}, "top and chunk"),
        ({"distance": "manhattan"}, "distance is 'cosine' or 'euclidean'"),
        ({"query": torch.zeros(2, 3)}, "2 of 2 query embeddings are zero"),
        ({"gallery": torch.tensor([[1.0, math.nan, 0.0]])}, "gallery embeddings are NaN"),
        ({"gallery": torch.ones(0, 3)}, "gallery must be floating point"),
    ],
)
def test_what_cannot_be_ranked_is_refused(change: dict, message: str) -> None:
    arguments = {"query": torch.ones(2, 3), "gallery": torch.ones(4, 3), "top": 1} | change
    with pytest.raises(ValueError, match=message):
        nearest(**arguments)
