"""What is told of a figure beside its picture."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A figure as `figures.json` lists it, and the bytes of its file; None where it is not drawn.

    `paper` is the paper's own figure, and `alt` for those who do not see it.
    """

    file: str
    title: str
    paper: str | None
    caption: str
    alt: str
    content: bytes | None

    def listed(self) -> dict[str, str | None]:
        """The entry without its bytes; `file` is None where there is none."""
        told = self._asdict()
        content = told.pop("content")
        return told | {"file": None if content is None else self.file}


def not_drawn(file: str, title: str, paper: str | None, reason: str) -> Entry:
    """A figure that is left out, and why."""
    return Entry(file, title, paper, f"not drawn: {reason}", f"not drawn: {reason}", None)
