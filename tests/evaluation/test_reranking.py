import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmanet.evaluation import reranking
from cmmanet.evaluation.ranking import rank, rank_distances
from cmmanet.evaluation.reranking import reranked_distances


def naive(query, gallery, distance, k1, k2, weight):
    """The paper's equations with sets, as the module's docstring says that they are to be read."""
    rows = np.concatenate([query, gallery]).astype(np.float64)
    if distance == "cosine":
        rows = rows / np.sqrt((rows**2).sum(1, keepdims=True))
    everyone = range(len(rows))
    # Pair by pair, so that equal rows have equal distances.
    squares = [[float(((rows[p] - rows[g]) ** 2).sum()) for g in everyone] for p in everyone]
    d = [[value / (max(row) or 1) for value in row] for row in squares]
    order = [sorted(everyone, key=lambda g: (g != p, squares[p][g], g)) for p in everyone]

    def near(p, k):
        return set(order[p][: k + 1])

    def reciprocal(p, k):
        return {g for g in near(p, k) if p in near(g, k)}

    half = k1 // 2 if k1 % 4 != 3 else k1 // 2 + 1
    features = []
    for p in everyone:
        base = reciprocal(p, k1)
        expanded = set(base)
        for q in base:
            joining = reciprocal(q, half)
            if Fraction(len(joining & base), len(joining)) > Fraction(2, 3):
                expanded |= joining
        total = math.fsum(math.exp(-d[p][g]) for g in expanded)
        features.append([math.exp(-d[p][g]) / total if g in expanded else 0 for g in everyone])
    averaged = []
    for p in everyone:
        nearest = order[p][:k2]
        averaged.append(
            [math.fsum(features[q][g] for q in nearest) / len(nearest) for g in everyone]
        )
    result = np.empty((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(gallery)):
            pairs = list(zip(averaged[i], averaged[len(query) + j], strict=True))
            jaccard = 1 - math.fsum(map(min, pairs)) / math.fsum(map(max, pairs))
            result[i, j] = (1 - weight) * jaccard + weight * d[i][len(query) + j]
    return torch.from_numpy(result)


def same(a, b, tolerance=1e-9):
    assert a.dtype == torch.float64
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def clustered(seed, queries, gallery, dimensions, people=4):
    """Queries and gallery around a few centres, without ties."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(people, dimensions, generator=generator, dtype=torch.float64)
    rows = centres[torch.arange(queries + gallery) % people]
    rows = rows + 0.7 * torch.randn(rows.shape, generator=generator, dtype=torch.float64)
    return rows[:queries], rows[queries:]


@st.composite
def problems(draw):
    """Random rows or small integers, whose distances often tie, and duplicates among them."""
    queries, gallery = draw(st.integers(1, 6)), draw(st.integers(1, 24))
    dimensions = draw(st.integers(1, 5))
    distance = draw(st.sampled_from(["cosine", "euclidean"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if distance == "euclidean" and draw(st.booleans()):  # integers' distances are exact
        rows = rng.integers(0, 3, (queries + gallery, dimensions)).astype(np.float64)
    else:
        # 1-d unit vectors are -1 and 1, equal up to rounding at most.
        rows = rng.normal(size=(queries + gallery, dimensions + 1))
    copies = draw(st.sampled_from([0, 0.3, 0.9]))
    copied = rng.random(len(rows)) < copies
    rows[copied] = rows[rng.integers(0, draw(st.integers(1, len(rows))), copied.sum())]
    return rows[:queries], rows[queries:], distance


@settings(max_examples=80, deadline=None)
@given(
    problems(),
    st.integers(1, 12) | st.sampled_from([20, 40]),
    st.integers(1, 6) | st.just(40),
    st.sampled_from([0, 0.3, 1]),
    st.sampled_from([1, 3, 8, 1024]),
)
def test_agrees_with_the_equations(problem, k1, k2, weight, chunk):
    query, gallery, distance = problem
    given = {"distance": distance, "k1": k1, "k2": k2, "weight": weight}
    ours = reranked_distances(
        torch.from_numpy(query), torch.from_numpy(gallery), chunk=chunk, **given
    )
    same(ours, naive(query, gallery, **given))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (7, 1, 0.0), (9, 15, 0.8)])
def test_agrees_where_queries_stand_in_the_gallery(distance, k1, k2, weight):
    _, gallery = clustered(0, 1, 90, 16, people=6)
    query = gallery[::6]
    given = {"distance": distance, "k1": k1, "k2": k2, "weight": weight}
    same(reranked_distances(query, gallery, **given), naive(query, gallery, **given))


@pytest.mark.parametrize("rows", [2, 9, 40])
def test_agrees_where_all_embeddings_are_equal(rows):
    query, gallery = np.ones((rows // 2, 3)), np.ones((rows, 3))
    given = {"distance": "cosine", "k1": 4, "k2": 3, "weight": 0.3}
    same(
        reranked_distances(torch.from_numpy(query), torch.from_numpy(gallery), **given),
        naive(query, gallery, **given),
    )


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_all_weight_on_the_base_gives_its_order(distance):
    query, gallery = clustered(1, 12, 80, 8)
    ours = reranked_distances(query, gallery, distance=distance, k1=10, k2=3, weight=1)
    if distance == "cosine":
        query, gallery = (torch.nn.functional.normalize(rows) for rows in (query, gallery))
    assert torch.equal(ours.argsort(1), torch.cdist(query, gallery).argsort(1))
    labels = {
        "query_ids": torch.arange(12) % 4 + 1,
        "gallery_ids": torch.arange(80) % 4 + 1,
        "query_cameras": torch.zeros(12, dtype=torch.int64),
        "gallery_cameras": torch.ones(80, dtype=torch.int64),
    }
    expected = rank(query, gallery, distance=distance, **labels).summary()
    assert rank_distances(ours, **labels).summary() == expected


def test_neighbours_repair_a_rank():
    # On a line: the query at 0; one wrong answer at -0.9, with company of its own beyond; the right
    # answer at 1.0, its company on the query's side.
    query = torch.tensor([[0.0]])
    right, wrong = [[1.0], [0.5], [0.7]], [[-0.9], [-1.0], [-1.1], [-1.2]]
    gallery = torch.tensor(right + wrong)
    plain = reranked_distances(query, gallery, distance="euclidean", k1=3, k2=1, weight=1)[0]
    ours = reranked_distances(query, gallery, distance="euclidean", k1=3, k2=1, weight=0)[0]
    assert plain[3] < plain[0]
    assert ours[0] < ours[3]
    # -0.9 is no k-reciprocal neighbour of anyone near 0: it shares nothing with the query.
    assert ours[3] == 1


def test_chunks_do_not_matter(monkeypatch):
    _, gallery = clustered(2, 1, 200, 12, people=8)
    given = {"k1": 12, "k2": 5, "weight": 0.3}
    query = torch.cat([gallery[::7], clustered(3, 20, 1, 12)[0]])
    expected = reranked_distances(query, gallery, **given)
    for chunk in (1, 7, 64, 199, 10_000):
        same(reranked_distances(query, gallery, chunk=chunk, **given), expected, 1e-12)
    for name, value in (("PAIRS", 1), ("QUERIES", 3), ("MINIMA", 5)):
        monkeypatch.setattr(reranking, name, value)
        same(reranked_distances(query, gallery, **given), expected, 1e-12)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_gallery_order_does_not_matter(distance):
    query, gallery = clustered(4, 15, 120, 10)
    given = {"distance": distance, "k1": 8, "k2": 4, "weight": 0.3}
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    same(
        reranked_distances(query, gallery[order], **given),
        reranked_distances(query, gallery, **given)[:, order],
        1e-12,
    )


def test_any_float_embeddings():
    query, gallery = clustered(5, 4, 30, 6)
    query, gallery = query.bfloat16(), gallery.half()
    given = {"k1": 5, "k2": 2, "weight": 0.3}
    expected = reranked_distances(query.double(), gallery.double(), **given)
    ours = reranked_distances(query.requires_grad_(), gallery, **given)
    assert not ours.requires_grad
    same(ours, expected, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same():
    _, gallery = clustered(6, 1, 500, 32, people=20)
    query, given = gallery[:60], {"k1": 20, "k2": 6, "weight": 0.3}
    ours = reranked_distances(query.cuda(), gallery.cuda(), **given)
    assert ours.is_cuda
    same(ours.cpu(), reranked_distances(query, gallery, **given))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": torch.ones(3)}, r"query must be floating point \[rows, D\].*\[3\]"),
        ({"gallery": torch.ones(0, 3)}, r"gallery must be .*\[0, 3\]"),
        ({"gallery": torch.ones(4, 2)}, "3-d on cpu, 2-d on cpu"),
        ({"gallery": torch.ones(4, 3, device="meta")}, "3-d on cpu, 3-d on meta"),
        (
            {"gallery": torch.tensor([[1.0], [math.nan], [1.0], [1.0]]).expand(4, 3)},
            r"1 of 4 gallery embeddings are NaN or infinite \(first: row 1\)",
        ),
        ({"query": torch.zeros(2, 3)}, r"2 of 2 query embeddings are zero.*row 0"),
        ({"distance": "manhattan"}, "'cosine' or 'euclidean', not 'manhattan'"),
        ({"k1": 0}, "k1, k2 and chunk must be at least 1, not 0, 2 and 256"),
        ({"k2": 0}, "must be at least 1, not 3, 0 and 256"),
        ({"chunk": 0}, "must be at least 1, not 3, 2 and 0"),
        ({"weight": -0.1}, "from 0 to 1, not -0.1"),
        ({"weight": 1.1}, "from 0 to 1, not 1.1"),
        ({"weight": math.nan}, "from 0 to 1, not nan"),
    ],
)
def test_errors(changes, message):
    given = {"query": torch.ones(2, 3), "gallery": torch.ones(4, 3), "k1": 3, "k2": 2}
    with pytest.raises(ValueError, match=message) as error:
        reranked_distances(**({"weight": 0.3} | given | changes))
    assert "\n" not in str(error.value)
