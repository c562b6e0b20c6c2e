"""Embeddings made ready to be compared: refused if that cannot be, and in float64."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor


class Prepared(NamedTuple):
    """Copies in float64, of unit length under cosine, and the squares of their lengths [rows]."""

    query: Tensor
    query_squares: Tensor
    gallery: Tensor
    gallery_squares: Tensor


def prepare(query: Tensor, gallery: Tensor, distance: Literal["cosine", "euclidean"]) -> Prepared:
    """Check and convert query [Q, D] and gallery [G, D].

    Raises:
        ValueError: an unknown distance; embeddings that are empty, not floating point, of
            different sizes, on different devices, NaN or infinite, or zero under cosine.
    """
    if distance not in ("cosine", "euclidean"):
        raise ValueError(f"distance is 'cosine' or 'euclidean', not {distance!r}")
    for name, embeddings in (("query", query), ("gallery", gallery)):
        if embeddings.ndim != 2 or not embeddings.is_floating_point() or not embeddings.numel():
            raise ValueError(
                f"{name} must be floating point [rows, D] with at least one row and D ≥ 1, "
                f"not {embeddings.dtype} {list(embeddings.shape)}"
            )
    if query.shape[1] != gallery.shape[1] or query.device != gallery.device:
        raise ValueError(
            "query and gallery embeddings must have one size and one device, not "
            f"{query.shape[1]}-d on {query.device}, {gallery.shape[1]}-d on {gallery.device}"
        )
    return Prepared(*_float64("query", query, distance), *_float64("gallery", gallery, distance))


def check_rows(complaint: str, bad: Tensor, remedy: str) -> None:
    """Refuse what has a row in `bad` [rows], with the first of them."""
    if bad.any():
        where = f"first: row {int(bad.nonzero()[0])}"
        raise ValueError(f"{int(bad.sum())} of {len(bad)} {complaint} ({where}): {remedy}")


def _float64(name: str, embeddings: Tensor, distance: str) -> tuple[Tensor, Tensor]:
    embeddings = embeddings.to(torch.float64, copy=True)  # so that it can be scaled in place
    squares = torch.linalg.vector_norm(embeddings, dim=1).square()
    remedy = "embed these again or leave them out"
    check_rows(f"{name} embeddings are NaN or infinite", ~squares.isfinite(), remedy)
    if distance == "cosine":
        remedy = "zero has no cosine; leave these out or use distance='euclidean'"
        check_rows(f"{name} embeddings are zero", squares == 0, remedy)
        embeddings /= squares.sqrt()[:, None]
        squares = torch.linalg.vector_norm(embeddings, dim=1).square()
    return embeddings, squares
