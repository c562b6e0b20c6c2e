"""What the frames of a dataset are called, to name a tracklet by its first one."""

from __future__ import annotations

from pathlib import PurePosixPath

import pyarrow.parquet as pq

from cmmanet.frames.index import FRAMES
from pipeline.parts.indexed_data import Dataset


def first_frames(opened: Dataset) -> list[str]:
    """The file name of each tracklet's first frame."""
    names = pq.read_table(opened.folder / FRAMES, columns=["name"])["name"]
    return [PurePosixPath(name).name for name in names.take(opened.tracklets.first).to_pylist()]
