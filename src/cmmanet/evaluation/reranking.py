"""k-reciprocal re-ranking: probes that share their neighbours are the same person.

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017, in the
convention of its authors' `re_ranking.py`, from which published numbers come. Where that code and
the paper differ, the code is followed:

- A probe is any row of query and gallery together, N = Q + G of them, and its neighbours come from
  all N; in the paper, from the gallery. Where queries stand in the gallery too, as in MARS, each
  is there twice.
- The k1 neighbours come without the probe itself, so a list has k1 + 1 places; the k2 of the
  query expansion come with it, so k2 = 1 expands nothing.
- The smaller lists of the expansion have round(k1 / 2) neighbours, a half going to the even number;
  the authors' Matlab code has round((k1 + 1) / 2) - 1, the same for an even k1.
- A neighbour's set joins where more than 2/3 of it is shared; in the paper, at least 2/3.
- A probe's distances are divided by its greatest, and the weights exp(-d) of its set by their sum;
  in the paper neither is. So Σ max(V_p, V_g) = 2 - Σ min(V_p, V_g).

The code leaves to its sort how ties fall, and every query that stands in the gallery makes some.
Here a probe is always the first of its own list, and the others follow by distance, then by index,
queries before gallery. Equal embeddings have equal distances, to the last bit: distances are
computed once for each pair of distinct embeddings. Where distances of distinct embeddings differ by
rounding alone, rounding decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor

from cmmanet.evaluation.prepare import prepare

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PAIRS = 128  # pairs of embeddings that are compared at a time, within the caches
QUERIES, MINIMA = 128, 1 << 22  # the most queries and minima that are summed at a time


@torch.no_grad()
def reranked_distances(
    query: Tensor,
    gallery: Tensor,
    *,
    distance: Literal["cosine", "euclidean"] = "cosine",
    k1: int,
    k2: int,
    weight: float,
    chunk: int = 256,
) -> Tensor:
    """Give distances (1 - weight)·Jaccard + weight·d for `rank_distances`.

    d is the squared Euclidean distance, of unit vectors under cosine, divided for each query by its
    greatest to any row of query or gallery (by nothing where all are 0).

    Distances are float64 whatever the embeddings' dtype. They are computed where the embeddings
    are, `chunk` rows at a time, and never held for all N × N pairs; the rest is sparse, on the CPU.

    Args:
        query: [Q, D].
        gallery: [G, D].
        distance: the base distance.
        k1: neighbours of a k-reciprocal set; all there are, where more than that. The paper's 20.
        k2: neighbours, with the probe itself, over whose features it is averaged; likewise. Its 6.
        weight: λ in [0, 1], the share of the base distance. Its 0.3.
        chunk: rows whose distances are computed at a time; changes the result by rounding at most.

    Returns:
        float64 [Q, G], on the embeddings' device.

    Raises:
        ValueError: embeddings that do not go together, or as `rank` refuses them; an unknown
            distance; `k1`, `k2` or `chunk` below 1; `weight` outside [0, 1].
    """
    if min(k1, k2, chunk) < 1:
        raise ValueError(f"k1, k2 and chunk must be at least 1, not {k1}, {k2} and {chunk}")
    if not 0 <= weight <= 1:
        raise ValueError(f"weight is the base distance's share, from 0 to 1, not {weight}")
    prepared = prepare(query, gallery, distance)
    queries = len(query)
    together = torch.cat([prepared.query, prepared.gallery])
    del prepared
    distinct, kind = _distinct(together)
    del together
    places = min(max(k1 + 1, k2), len(kind))
    near = _nearest(distinct, places, int(kind[:queries].max()) + 1, chunk)
    lists = _lists(near, kind, places, chunk).cpu().numpy()
    greatest = torch.where(near.greatest > 0, near.greatest, 1)
    features = _features(_expanded_sets(lists, k1), near, distinct, greatest, kind)
    del distinct
    if k2 > 1:
        features = _indicators(lists[:, :k2]) @ features / min(k2, len(lists))

    base = near.rows.div_(greatest[: len(near.rows), None])
    blended = base.new_empty(queries, len(gallery))
    for rows, jaccard in _jaccard_distances(features, queries):
        blended[rows] = torch.lerp(
            torch.from_numpy(jaccard).to(base.device),
            base[kind[:queries][rows, None], kind[queries:]],
            weight,
        )
    return blended


def _distinct(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Give the distinct rows, in the order in which they first occur, and which each row is."""
    # On the CPU: of rows, CUDA 13's `unique` reads memory that is not its own.
    kind = torch.unique(embeddings.cpu(), dim=0, return_inverse=True)[1].to(embeddings.device)
    row = torch.arange(len(kind), device=kind.device)
    first = torch.full((int(kind.max()) + 1,), len(kind), device=kind.device)
    first, order = first.scatter_reduce(0, kind, row, "amin").sort()
    return embeddings[first], order.argsort()[kind]


class _Nearest(NamedTuple):
    """Of M distinct embeddings: the nearest, and the distances of the first few of them.

    Attributes:
        distances: [M, k], ascending.
        kinds: int64 [M, k], which they are; equal distances by number.
        greatest: [M], the distance of the farthest.
        rows: [rows, M], of the first `rows` embeddings.
    """

    distances: Tensor
    kinds: Tensor
    greatest: Tensor
    rows: Tensor


def _nearest(embeddings: Tensor, k: int, rows: int, chunk: int) -> _Nearest:
    m = len(embeddings)
    k = min(k, m)
    squares = torch.linalg.vecdot(embeddings, embeddings)
    near = _Nearest(
        embeddings.new_full((m, k), torch.inf),
        torch.zeros(m, k, dtype=torch.int64, device=embeddings.device),
        embeddings.new_zeros(m),
        embeddings.new_empty(rows, m),
    )
    for start in range(0, m, chunk):
        # Distances go both ways: from these rows to themselves and all later ones, and back.
        here, back = slice(start, start + chunk), slice(start + chunk, m)
        block = torch.addmm(
            squares[here, None] + squares[start:],
            embeddings[here],
            embeddings[start:].T,
            alpha=-2,
        ).clamp_(min=0)
        block.diagonal().zero_()
        reverse = block[:, chunk:].T.contiguous()
        near.rows[here, start:] = block[: max(0, rows - start)]
        near.rows[back, here] = reverse[: max(0, rows - start - chunk)]
        _add(near, here, block, start)
        _add(near, back, reverse, start)
    return near


def _add(near: _Nearest, rows: slice, block: Tensor, start: int) -> None:
    """Let `near` know of the distances of these rows to those from `start` on."""
    if not len(block):
        return
    near.greatest[rows] = near.greatest[rows].maximum(block.amax(1))
    k = near.kinds.shape[1]
    values, places = block.topk(min(k + 1, block.shape[1]), largest=False)
    tied = (values[:, 1:] == values[:, :-1]).any(1)
    if tied.any():  # topk takes any of them
        ordered = block[tied].sort(stable=True)
        values[tied] = ordered.values[:, : values.shape[1]]
        places[tied] = ordered.indices[:, : values.shape[1]]
    # What was there has lower numbers, so that a stable sort leaves equal distances by number.
    both = torch.cat([near.distances[rows], values], dim=1).sort(stable=True)
    kinds = torch.cat([near.kinds[rows], places + start], dim=1)
    near.distances[rows] = both.values[:, :k]
    near.kinds[rows] = kinds.gather(1, both.indices[:, :k])


def _lists(near: _Nearest, kind: Tensor, places: int, chunk: int) -> Tensor:
    """Give each probe's nearest [N, places]: itself, then by distance, then by index."""
    # Members of a kind beyond the list's length come into no list but, as its first, their own.
    # And k kinds fill k places: of kinds as near as each other, those with the first members.
    sizes = kind.bincount()
    by_kind = kind.argsort(stable=True)
    begin = sizes.cumsum(0) - sizes
    slot = torch.arange(min(places, int(sizes.max())), device=kind.device)
    lists = []
    for start in range(0, len(sizes), chunk):
        kinds = near.kinds[start : start + chunk, :, None]
        member = by_kind[(begin[kinds] + slot).clamp(max=len(kind) - 1)].flatten(1)
        distances = torch.where(
            slot < sizes[kinds], near.distances[start : start + chunk, :, None], torch.inf
        ).flatten(1)
        member, order = member.sort(1)
        order = distances.gather(1, order).argsort(stable=True)
        lists.append(member.gather(1, order[:, :places]))
    nearest = torch.cat(lists)[kind]
    itself = torch.arange(len(kind), device=kind.device)[:, None]
    absent = (nearest != itself).all(1)
    nearest[absent, -1] = itself[absent, 0]
    return nearest.gather(1, (nearest != itself).byte().argsort(stable=True))


def _indicators(lists: Integers) -> csr_array[Any]:
    """Give the matrix [N, N] that is 1 at each row's list."""
    n, k = lists.shape
    columns = lists.flatten()  # a copy, which is then sorted
    matrix = csr_array((np.ones(n * k), columns, np.arange(0, n * k + 1, k)), shape=(n, n))
    matrix.sort_indices()
    return matrix


def _expanded_sets(lists: Integers, k1: int) -> csr_array[Any]:
    """Give R*(p, k1) of every probe (Eq. 4), as the places of a matrix [N, N]."""
    near, half = _indicators(lists[:, : k1 + 1]), _indicators(lists[:, : round(k1 / 2) + 1])
    sets, half = near.multiply(near.T).tocsr(), half.multiply(half.T).tocsr()
    joins = (sets @ half.T).multiply(sets).tocsr()
    joins.data = (3 * joins.data > 2 * half.sum(1)[joins.indices]).astype(np.float64)
    joins.eliminate_zeros()
    expanded: csr_array[Any] = sets + joins @ half
    expanded.sort_indices()
    return expanded


def _features(
    sets: csr_array[Any], near: _Nearest, distinct: Tensor, greatest: Tensor, kind: Tensor
) -> csr_array[Any]:
    """Give V [N, N] (Eq. 7), each row with sum 1."""
    row = np.repeat(np.arange(len(kind)), np.diff(sets.indptr))
    own, other = (kind[torch.from_numpy(ends).to(kind.device)] for ends in (row, sets.indices))
    weights = torch.exp(-_distances(near, distinct, own, other) / greatest[own]).cpu().numpy()
    sums = np.add.reduceat(weights, sets.indptr[:-1])  # no set is empty: its probe is in it
    return csr_array((weights / sums[row], sets.indices, sets.indptr), shape=sets.shape)


def _distances(near: _Nearest, distinct: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Give the distances [P] of pairs of distinct embeddings, which `near` mostly knows."""
    m = len(distinct)

    def key(a: Tensor, b: Tensor) -> Tensor:
        return a.minimum(b) * m + a.maximum(b)

    known, order = key(torch.arange(m, device=one.device)[:, None], near.kinds).flatten().sort()
    pairs = key(one, other)
    place = torch.searchsorted(known, pairs).clamp(max=len(known) - 1)
    distances = near.distances.flatten()[order[place]]
    new = known[place] != pairs
    asked, which = torch.unique(pairs[new], return_inverse=True)
    parts = [
        (distinct[part // m] - distinct[part % m]).square_().sum(1) for part in asked.split(PAIRS)
    ]
    distances[new] = torch.cat(parts)[which]
    return distances


def _jaccard_distances(features: csr_array[Any], queries: int) -> Iterator[tuple[slice, Floats]]:
    """Give rows of queries and their Jaccard distances [rows, G] to the gallery (Eq. 10)."""
    query, gallery = features[:queries], features[queries:].tocsc()
    # Each value of a query meets all that the gallery has in the same column.
    begin = gallery.indptr[query.indices].astype(np.int64)
    meets = gallery.indptr[query.indices + 1] - begin
    done = np.concatenate([[0], meets.cumsum()])[query.indptr]
    bounds = np.concatenate(
        [
            np.arange(0, queries, QUERIES),
            done.searchsorted(np.arange(0, done[-1], MINIMA)),
            [queries],
        ]
    )
    for first, last in pairwise(np.unique(bounds)):
        values = slice(query.indptr[first], query.indptr[last])
        count = meets[values]
        row = np.repeat(np.arange(last - first), np.diff(query.indptr[first : last + 1]))
        skip = begin[values] - (count.cumsum() - count)
        place = np.arange(count.sum()) + np.repeat(skip, count)
        shared = np.bincount(
            np.repeat(row * gallery.shape[0], count) + gallery.indices[place],
            np.minimum(np.repeat(query.data[values], count), gallery.data[place]),
            minlength=(last - first) * gallery.shape[0],
        ).reshape(last - first, -1)
        yield slice(first, last), 1 - shared / (2 - shared)
