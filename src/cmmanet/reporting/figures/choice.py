"""Which tracklet a figure shows: by a rule, and never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FRAMES = 6
"""Frames that a figure shows of a tracklet, which has at least as many."""

# As captions tell them.
MEDIAN_RULE = (
    f"the query of trial 0 with at least {FRAMES} frames whose average precision under {{arm}} is "
    "the median of those (the lower of two; of equals, the first row)"
)
OCCLUDED_RULE = (
    f"the query of trial 0 with at least {FRAMES} frames of which a share nearest to one half is "
    "occluded (of equals, the first row)"
)


def median_row(precision: Mapping[int, float]) -> int:
    """The row whose average precision is the lower median; of equal ones the lowest row.

    >>> median_row({7: 0.5, 3: 0.5, 1: 0.9, 2: 0.1})
    3
    """
    value = sorted(precision.values())[(len(precision) - 1) // 2]
    return min(row for row, ap in precision.items() if ap == value)


def half_occluded_row(share: Mapping[int, float]) -> int:
    """The row whose share of occluded frames is nearest to one half; of equal ones the lowest.

    >>> half_occluded_row({4: 0.25, 2: 0.75, 9: 1.0})
    2
    """
    return min(share, key=lambda row: (abs(share[row] - 0.5), row))


def evenly_spaced(first: int, length: int) -> Sequence[int]:
    """`FRAMES` frame rows of a tracklet, from its first to its last.

    >>> evenly_spaced(100, 11)
    [100, 102, 104, 106, 108, 110]
    """
    return [first + place * (length - 1) // (FRAMES - 1) for place in range(FRAMES)]
