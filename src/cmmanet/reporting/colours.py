"""One colour, dash and marker an arm, the same in every figure and on every page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# Of Okabe and Ito's palette, which the colour-blind can tell apart (https://jfly.uni-koeln.de/color),
# with dashes and markers for print without colour.
_PAPERS = {
    "baseline": ("#000000", (), "o"),
    "single_mam": ("#E69F00", (6, 2), "s"),
    "single_mam_con": ("#D55E00", (2, 2), "D"),
    "multi_mam": ("#56B4E9", (8, 2, 2, 2), "^"),
    "cmmanet-random_interval": ("#0072B2", (), "v"),
    "cmmanet-restricted": ("#009E73", (4, 1, 1, 1), "P"),
}
_OWN_COLOURS = ("#CC79A7", "#7F7F7F", "#B8A90C")
_OWN_DASHES: tuple[tuple[int, ...], ...] = ((), (5, 3), (1, 2))
_OWN_MARKERS = ("X", "*", "<", ">")

RIGHT, WRONG = "#0072B2", "#D55E00"
"""Frames of a right and of a wrong answer; wrong ones are dashed as well."""


class Style(NamedTuple):
    """How an arm is drawn: `#RRGGBB`, lengths of dashes and gaps in points, matplotlib's marker."""

    colour: str
    dashes: tuple[int, ...]
    marker: str


def styles(arms: Sequence[str]) -> dict[str, Style]:
    """The style of each arm; of the user's own arms, in their order in the plan."""
    own = [arm for arm in arms if arm not in _PAPERS]
    found = {arm: Style(*_PAPERS[arm]) for arm in arms if arm in _PAPERS}
    for number, arm in enumerate(own):
        round_, place = divmod(number, len(_OWN_COLOURS))
        found[arm] = Style(
            _OWN_COLOURS[place],
            _OWN_DASHES[round_ % len(_OWN_DASHES)],
            _OWN_MARKERS[number % len(_OWN_MARKERS)],
        )
    return {arm: found[arm] for arm in arms}
