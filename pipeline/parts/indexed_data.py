"""A dataset as the stages index and split write it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmmanet.datasets.tracklets import Tracklets, Trials
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.index import load_tracklets, open_store
from pipeline.parts import workspace


@dataclass(frozen=True)
class Dataset:
    """A dataset's index, splits and tracklets; its frames are opened on demand."""

    folder: Path
    index: dict[str, Any]
    trials: Trials
    tracklets: Tracklets

    @property
    def raw(self) -> Path:
        """Folder of the archives."""
        return workspace.raw_folder() / str(self.index["folder"])

    def open_frames(self) -> FrameStore:
        """Return a reader of the frames; it opens each archive on first use."""
        return open_store(self.folder, [self.raw / name for name in self.index["archives"]])


def open_dataset(dataset: str) -> Dataset:
    """Read a dataset's index and trials.

    Raises:
        FileNotFoundError: says which stage to run.
    """
    folder = workspace.data_folder(dataset)
    trials = workspace.read_json(folder / "trials.json", f"split {dataset}")
    index = workspace.read_json(folder / "index.json", f"index {dataset}")
    return Dataset(folder, index, trials, load_tracklets(folder))
