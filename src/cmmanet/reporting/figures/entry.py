"""A figure's file, caption and alternative text."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import RootModel

from cmmanet.params.strict import Strict


class Figure(Strict):
    """A figure of figures.json; `file` is None where it was not drawn.

    `paper` is the paper's figure that it follows. `caption` says what is shown and by which rule it
    was chosen, or why it was not drawn; `alt` describes it to those who do not see it.
    """

    file: str | None
    title: str
    paper: str | None
    caption: str
    alt: str


class FigureList(RootModel[tuple[Figure, ...]]):
    """The file reports/figures/<dataset>/figures.json."""


class Entry(NamedTuple):
    """A figure with the bytes of its file; None where it is not drawn. The rest as `Figure`."""

    file: str
    title: str
    paper: str | None
    caption: str
    alt: str
    content: bytes | None

    def listed(self) -> Figure:
        """Return the entry of figures.json."""
        return Figure(
            file=None if self.content is None else self.file,
            title=self.title,
            paper=self.paper,
            caption=self.caption,
            alt=self.alt,
        )


def not_drawn(file: str, title: str, paper: str | None, reason: str) -> Entry:
    """Return the entry of a figure that is left out, with the reason."""
    return Entry(file, title, paper, f"not drawn: {reason}", f"not drawn: {reason}", None)
