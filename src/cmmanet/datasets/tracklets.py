"""Tables of tracklets: as official files list them, and as the archives have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

# A tracklet's role: queries are in the gallery as well.
TRAIN, GALLERY, QUERY = "train", "gallery", "query"
# In a dataset with several splits, each split decides.
BOTH = "both"


@dataclass(frozen=True, slots=True)
class Listing:
    """The frames and tracklets that a dataset's official files list, before any archive is opened.

    Frames [F] are in tracklet order; tracklet [T] has `length` frames, starting at `first`.
    """

    member: Sequence[str]
    number: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    pid: npt.NDArray[np.int64]
    camera: npt.NDArray[np.int64]
    role: npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Tracklets:
    """The tracklet table [T]; `first` is the row of a tracklet's first frame."""

    tracklet: npt.NDArray[np.int64]
    pid: npt.NDArray[np.int64]
    camera: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    role: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.pid)

    def frames_of(self, rows: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return all frames [F] of the tracklets in `rows` [M], and the place in `rows` of each."""
        length = self.length[rows]
        start = np.cumsum(length) - length
        frames = np.repeat(self.first[rows] - start, length) + np.arange(length.sum())
        return frames, np.repeat(np.arange(len(rows)), length)


class Split(TypedDict):
    """One split, as rows of the tracklet table."""

    train: list[int]
    query: list[int]
    gallery: list[int]


def answerable(tracklets: Tracklets, split: Split) -> int:
    """Count the queries whose identity is in the gallery under another camera."""
    cameras: dict[int, set[int]] = {}
    for pid, camera in _pid_and_camera(tracklets, split["gallery"]):
        cameras.setdefault(pid, set()).add(camera)
    queries = _pid_and_camera(tracklets, split["query"])
    return sum(bool(cameras.get(pid, set()) - {camera}) for pid, camera in queries)


def _pid_and_camera(tracklets: Tracklets, rows: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(tracklets.pid[rows].tolist(), tracklets.camera[rows].tolist(), strict=True))


class Trials(TypedDict):
    """The file trials.json: a dataset's splits, and the split of each trial."""

    protocol: str
    source: str
    """Where the splits were read from."""
    splits: list[Split]
    trials: list[int]
