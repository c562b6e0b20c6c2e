"""Ranking metrics: CMC and mean average precision, under MARS's protocol.

The protocol (Zheng et al., "MARS: A Video Benchmark for Large-Scale Person Re-Identification",
ECCV 2016, and the authors' MARS-evaluation code): for each query, drop from the gallery the junk
(id -1) and the rows with the query's id *and* camera; distractors (id 0) stay, as wrong answers.
Two-camera protocols (iLIDS-VID, PRID-2011) are the same function: nothing there is dropped.

The gallery is never sorted. A right answer's rank is its place among the right answers plus the
number of wrong answers that are at least as near, and counting those takes one binary search for
each wrong answer among the query's few right ones.

Ties are pessimistic: a wrong answer at the same distance as a right one counts as nearer, so a
collapsed network that gives every tracklet the same feature gets the score of the worst order, not
of a lucky one. Distances that differ by no more than float64 rounding are ties.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cmmanet.evaluation.metrics import PRECISIONS, RANKS
from cmmanet.evaluation.prepare import check_rows, prepare

JUNK = -1


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Every query's result and the curve over the valid ones, on the CPU.

    A query is valid when the gallery holds a right answer for it (same id, another camera); only
    valid queries enter the means. With none valid, the means are NaN.

    Attributes:
        cmc: float64 [max_rank], the share of valid queries with a right answer at rank ≤ 1, 2, …;
            held at its last value past the gallery's size.
        ap_trapezoid: float64 [Q], average precision as the official MARS code has it,
            (1/R)·Σ_i ½[(i-1)/(r_i-1) + i/r_i] over right answers at ranks r_1 < … < r_R, the first
            term being 1 when r_i = 1; NaN where the query is not valid.
        ap_step: float64 [Q], average precision as most Python ports have it, (1/R)·Σ_i i/r_i; NaN
            where the query is not valid.
        valid: bool [Q].
        first_right_rank: int64 [Q], r_1, counted from 1; 0 where the query is not valid.
    """

    cmc: Tensor
    ap_trapezoid: Tensor
    ap_step: Tensor
    valid: Tensor
    first_right_rank: Tensor

    def summary(self) -> dict[str, float | int]:
        """Return every metric of `METRICS`, and the counts `queries` and `valid`.

        Metrics are fractions in [0, 1]. Rates come from `first_right_rank`, so rank20 is correct
        for any `max_rank`.
        """
        first = self.first_right_rank[self.valid]
        aps = {name: getattr(self, column)[self.valid] for name, column in PRECISIONS.items()}
        return {
            **{name: (first <= rank).double().mean().item() for name, rank in RANKS.items()},
            **{name: values.mean().item() for name, values in aps.items()},
            "queries": len(self.valid),
            "valid": int(self.valid.sum()),
        }


@torch.no_grad()
def rank(
    query: Tensor,
    gallery: Tensor,
    *,
    query_ids: Tensor,
    gallery_ids: Tensor,
    query_cameras: Tensor,
    gallery_cameras: Tensor,
    distance: Literal["cosine", "euclidean"] = "cosine",
    max_rank: int = 50,
    chunk: int = 256,
) -> Ranking:
    """Rank gallery [G, D] for each of query [Q, D].

    Distances are float64 whatever the embeddings' dtype: exactness over speed. Works where the
    embeddings are, CPU or CUDA, `chunk` queries at a time, so that memory beyond one float64 copy
    of the embeddings is two [chunk, G] matrices. Ids and cameras are integers of any dtype, on any
    device.

    Raises:
        ValueError: shapes, lengths or devices that do not go together; an empty query or gallery;
            embeddings that are not floating point, are NaN or infinite, or are zero under cosine;
            ids or cameras that are not integers; a query id below 1; a gallery id below -1; an
            unknown distance; `max_rank` or `chunk` below 1.
    """
    query, query_square, gallery, gallery_square = prepare(query, gallery, distance)
    labels = _labels(
        (len(query), len(gallery)),
        query.device,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        query_cameras=query_cameras,
        gallery_cameras=gallery_cameras,
    )
    # Junk plays no part, and MARS lists its own, 7 % of the gallery, first: no distances for it.
    first = int((labels.gallery_ids != JUNK).int().argmax())
    gallery, gallery_square = gallery[first:], gallery_square[first:]
    labels = labels._replace(
        gallery_ids=labels.gallery_ids[first:], gallery_cameras=labels.gallery_cameras[first:]
    )
    # Where BLAS puts a dot product decides how it rounds: without an allowance equal vectors would
    # not tie. The error grows as √D (Higham and Mary, 2019); measured at D = 2048, half of this.
    rounding = (4 + 2 * query.shape[1] ** 0.5) * torch.finfo(torch.float64).eps
    least_gallery_square = (1 - rounding) * gallery_square

    def bounds(rows: slice, same: Tensor) -> tuple[Tensor, Tensor]:
        # ‖q-g‖² = ‖q‖² + ‖g‖² - 2q·g, which for unit vectors is 2 - 2·cos. A query's own ‖q‖²
        # orders nothing: it is left out of both bounds, but not of what they may be apart.
        low = torch.addmm(least_gallery_square, query[rows], gallery.T, alpha=-2)
        squares = query_square[rows, None] + gallery_square[same]
        return low, low.gather(1, same) + 2 * rounding * squares

    return _rank(bounds, labels, max_rank, chunk)


@torch.no_grad()
def rank_distances(
    distances: Tensor,
    *,
    query_ids: Tensor,
    gallery_ids: Tensor,
    query_cameras: Tensor,
    gallery_cameras: Tensor,
    max_rank: int = 50,
    chunk: int = 128,
) -> Ranking:
    """Rank by distances [Q, G] made elsewhere; as `rank`, but only equal distances are ties.

    Raises:
        ValueError: as `rank`, for what applies.
    """
    if distances.ndim != 2 or not distances.is_floating_point() or not distances.numel():
        raise ValueError(
            "distances must be floating point [Q, G] with at least one query and gallery row, "
            f"not {distances.dtype} {list(distances.shape)}"
        )
    least, greatest = distances.aminmax(dim=1)  # NaN goes through both, in one pass
    endless = ~(least.isfinite() & greatest.isfinite())
    check_rows("rows of distances hold NaN or infinity", endless, "look for it in the embeddings")
    labels = _labels(
        (distances.shape[0], distances.shape[1]),
        distances.device,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        query_cameras=query_cameras,
        gallery_cameras=gallery_cameras,
    )
    distances = distances.contiguous()  # the binary search would copy each block, with a warning

    def bounds(rows: slice, same: Tensor) -> tuple[Tensor, Tensor]:
        return distances[rows], distances[rows].gather(1, same)

    return _rank(bounds, labels, max_rank, chunk)


class _Labels(NamedTuple):
    query_ids: Tensor
    gallery_ids: Tensor
    query_cameras: Tensor
    gallery_cameras: Tensor


def _rank(
    bounds: Callable[[slice, Tensor], tuple[Tensor, Tensor]],
    labels: _Labels,
    max_rank: int,
    chunk: int,
) -> Ranking:
    """Rank from the least values [c, G] that distances may have, and the greatest [c, m] of some.

    `bounds` gets the queries' rows and, for the greatest, gallery rows [c, m].
    """
    if max_rank < 1 or chunk < 1:
        raise ValueError(f"max_rank and chunk must be at least 1, not {max_rank} and {chunk}")
    # Gallery rows of one id lie side by side in this order: a query finds its own by two searches.
    sorted_ids, by_id = labels.gallery_ids.sort()
    begin = torch.searchsorted(sorted_ids, labels.query_ids)
    same_ids = torch.searchsorted(sorted_ids, labels.query_ids, right=True) - begin
    junk = (labels.gallery_ids == JUNK).nonzero()[:, 0]

    blocks = []
    for start in range(0, len(labels.query_ids), chunk):
        rows = slice(start, start + chunk)
        m = max(1, int(same_ids[rows].max()))
        place = torch.arange(m, device=begin.device)
        same = by_id[(begin[rows, None] + place) % len(by_id)]  # [c, m], m distinct gallery rows
        same_id = place < same_ids[rows, None]
        right = same_id & (labels.gallery_cameras[same] != labels.query_cameras[rows, None])

        low, high = bounds(rows, same)
        right_distances = high.masked_fill_(~right, torch.inf).sort(1).values
        # How many right answers are strictly nearer than each gallery row; as if all m of them for
        # a row that is not a wrong answer: counted behind the last, it moves no rank.
        nearer = torch.searchsorted(right_distances, low)
        nearer.scatter_(1, same, torch.where(same_id, m, nearer.gather(1, same)))
        nearer.index_fill_(1, junk, m)
        del low  # with the next line, at most two [c, G] are held at once
        blocks.append(_score(nearer, right.sum(1), m))
        del nearer

    rights, first, trapezoid, step = (
        torch.cat(column).cpu() for column in zip(*blocks, strict=True)
    )
    valid = rights > 0
    hits = torch.bincount(first[valid].clamp(max=max_rank + 1), minlength=max_rank + 2)
    return Ranking(
        cmc=hits[1 : max_rank + 1].cumsum(0).double() / valid.sum(),
        ap_trapezoid=trapezoid,
        ap_step=step,
        valid=valid,
        first_right_rank=first,
    )


def _score(nearer: Tensor, rights: Tensor, m: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give rights [c], first right rank [c], trapezoid AP [c] and step AP [c].

    `nearer` [c, G], in 0…m, says how many right answers are nearer than each gallery row; of those
    a query has `rights` [c]. Overwrites `nearer`.
    """
    c = len(rights)
    nearer += torch.arange(c, device=nearer.device)[:, None] * (m + 1)
    wrong_after = torch.bincount(nearer.view(-1), minlength=c * (m + 1)).view(c, m + 1)
    place = torch.arange(1, m + 1, device=nearer.device)
    ranks = place + wrong_after[:, :m].cumsum(1)

    present = place <= rights[:, None]
    precision = place / ranks.double()
    before = torch.where(ranks == 1, 1.0, (place - 1) / (ranks - 1).clamp(min=1).double())
    trapezoid = torch.where(present, (before + precision) / 2, 0.0).sum(1) / rights
    step = torch.where(present, precision, 0.0).sum(1) / rights
    return rights, torch.where(rights > 0, ranks[:, 0], 0), trapezoid, step


def _labels(sizes: tuple[int, int], device: torch.device, **labels: Tensor) -> _Labels:
    for name, values in labels.items():
        rows = sizes[name.startswith("gallery")]
        if values.shape != (rows,):
            wanted = f"[{rows}], one for each {name.partition('_')[0]} row"
            raise ValueError(f"{name} must be {wanted}, not {list(values.shape)}")
        if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
            raise ValueError(f"{name} must be integers, not {values.dtype}")
    checked = _Labels(**{k: v.to(device, torch.int64).contiguous() for k, v in labels.items()})
    check_rows("query ids are below 1", checked.query_ids < 1, "persons count from 1")
    remedy = "junk is -1, a distractor 0, and persons count from 1"
    check_rows("gallery ids are below -1", checked.gallery_ids < JUNK, remedy)
    return checked
