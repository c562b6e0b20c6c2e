"""Answers to single queries, for people to look at, under the protocol that `ranking` scores."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cmmanet.evaluation.nearest import nearest
from cmmanet.evaluation.ranking import JUNK


class Answers(NamedTuple):
    """The first answers to a query: gallery rows, their distances, and whether each is right."""

    rows: list[int]
    distances: list[float]
    right: list[bool]


def answers(
    query: Tensor,
    gallery: Tensor,
    *,
    query_id: int,
    gallery_ids: Tensor,
    query_camera: int,
    gallery_cameras: Tensor,
    top: int,
    distance: Literal["cosine", "euclidean"] = "cosine",
) -> Answers:
    """The `top` first answers to query [D] in gallery [G, D], fewer where there are no more.

    As `ranking.rank`: junk (id -1) and rows of the query's id and camera are left out, and of
    equal distances a wrong answer comes first.

    Raises:
        ValueError: as `nearest`, for what is left of the gallery.
    """
    same = gallery_ids == query_id
    left_out = (gallery_ids == JUNK) | (same & (gallery_cameras == query_camera))
    # `nearest` keeps the gallery's order among equal distances: wrong answers go first.
    rows = torch.cat([(~left_out & ~same).nonzero()[:, 0], (~left_out & same).nonzero()[:, 0]])
    distances, places = nearest(query[None], gallery[rows], top=top, distance=distance)
    found = rows[places[0]]
    return Answers(found.tolist(), distances[0].tolist(), same[found].tolist())


def worst_first(queries: pd.DataFrame) -> list[int]:
    """Places of queries in the table, by official AP, the lowest first.

    At the same AP, the query whose first right answer comes later goes first, then the earlier row.

    Args:
        queries: a row a query, with the columns `ap_trapezoid` and `first_right_rank`.
    """
    order: list[int] = np.lexsort(
        (-queries["first_right_rank"].to_numpy(), queries["ap_trapezoid"].to_numpy())
    ).tolist()
    return order


def spread(count: int, *, evenly: int, ends: int) -> list[int]:
    """Of 0 to count - 1, `evenly` from the first to the last, and `ends` at each end; in order.

    >>> spread(11, evenly=3, ends=2)
    [0, 1, 5, 9, 10]
    >>> spread(3, evenly=4, ends=2)
    [0, 1, 2]
    """
    even = {place * (count - 1) // (evenly - 1) for place in range(evenly)}
    return sorted(even | set(range(count)[:ends]) | set(range(count)[-ends:]))
