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
    """A dataset's splits and tracklets; its frames are opened on demand.

    Attributes:
        folder: of its tables.
        frames: the raw folder, and the sha256 of each archive by name.
        trials: its splits.
        tracklets: its tracklet table.
    """

    folder: Path
    frames: dict[str, Any]
    trials: Trials
    tracklets: Tracklets

    @property
    def raw(self) -> Path:
        """Folder of the archives."""
        return workspace.raw_data(self.frames["folder"])

    def open_frames(self) -> FrameStore:
        """Return a reader of the frames; it opens each archive on first use."""
        return open_store(self.folder, [self.raw / name for name in self.frames["archives"]])


def open_dataset(dataset: str) -> Dataset:
    """Read a dataset's index and splits.

    Raises:
        FileNotFoundError: says which stage to run.
    """
    folder = workspace.data_folder(dataset)
    return _opened(folder, workspace.read_json(folder / "frames.json", f"index {dataset}"), dataset)


def open_training_data(dataset: str) -> Dataset:
    """Read a dataset's index and splits for training: nothing of it depends on test archives.

    Raises:
        FileNotFoundError: says which stage to run.
    """
    folder = workspace.data_folder(dataset)
    archives = workspace.read_json(folder / "training.json", f"split {dataset}")
    return _opened(folder, archives, dataset)


def _opened(folder: Path, frames: dict[str, Any], dataset: str) -> Dataset:
    trials = workspace.read_json(folder / "trials.json", f"split {dataset}")
    return Dataset(folder, frames, trials, load_tracklets(folder))
