"""The nearest rows of a gallery, for people to look at; `ranking` scores whole galleries."""

from typing import Literal

import torch
from torch import Tensor

from cmmanet.evaluation.prepare import prepare


@torch.no_grad()
def nearest(
    query: Tensor,
    gallery: Tensor,
    *,
    top: int,
    distance: Literal["cosine", "euclidean"] = "cosine",
    chunk: int = 128,
) -> tuple[Tensor, Tensor]:
    """Find the min(top, G) rows of gallery [G, D] nearest to each of query [Q, D], nearest first.

    Gives distances float64 [Q, min(top, G)], cosine's being 1 - cos, and the rows int64 of the
    same shape. Rows at the same distance keep the gallery's order; equal rows are at the same
    distance. Memory beyond a float64 copy of the embeddings is a few [chunk, G] matrices.

    Raises:
        ValueError: embeddings that are empty, not floating point, NaN or infinite, or zero under
            cosine; an unknown distance; `top` or `chunk` below 1.
    """
    if top < 1 or chunk < 1:
        raise ValueError(f"top and chunk must be at least 1, not {top} and {chunk}")
    prepared = prepare(query, gallery, distance)

    blocks = []
    for part in torch.split(prepared.query, chunk):
        # Each pair by itself and no matrix product, whose rounding depends on a row's place:
        # equal rows would not tie. Nor is anything lost where query and row nearly agree.
        distances = torch.cdist(part, prepared.gallery, compute_mode="donot_use_mm_for_euclid_dist")
        if distance == "cosine":
            distances = distances.square() / 2  # of unit vectors, ‖q-g‖² = 2 - 2·cos
        blocks.append(_least(distances, min(top, len(gallery))))
    values, rows = zip(*blocks, strict=True)
    return torch.cat(values), torch.cat(rows)


def _least(distances: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` least values of each row of distances [c, G], and their columns, in order."""
    # topk does not say which of several equal values it takes.
    bound = distances.topk(count, largest=False).values[:, -1:]
    less, equal = distances < bound, distances == bound
    wanted = count - less.sum(1, keepdim=True)
    chosen = less | (equal & (equal.cumsum(1) <= wanted))
    columns = chosen.nonzero()[:, 1].view(-1, count)
    values, order = distances.gather(1, columns).sort(dim=1, stable=True)
    return values, columns.gather(1, order)
