"""What the pixels of rendered frames show."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from PIL import Image

from cmmanet.frames.archive import FrameColumns, FrameStore, list_members
from cmmanet.frames.index import FRAMES
from pipeline.dataset import Dataset


def label_maps(opened: Dataset, rows: Sequence[int]) -> npt.NDArray[np.uint8] | None:
    """Label maps [n, H, W] of `datasets.canvas.Part` for test frames by their rows in the index.

    None for a dataset that has no masks.

    Raises:
        ArchiveError: if their archive is damaged.
    """
    path = opened.raw / "masks_test.zip"
    if not path.is_file():
        return None
    members = list_members(path, ".png")
    store = FrameStore([path], FrameColumns.of(members))
    place = {name: position for position, name in enumerate(members)}
    names = pq.read_table(opened.folder / FRAMES, columns=["name"])["name"]
    masks = [name.removesuffix(".jpg") + ".png" for name in names.take(rows).to_pylist()]
    maps = [Image.open(io.BytesIO(store.read(place[mask])), formats=("PNG",)) for mask in masks]
    return np.stack([np.asarray(image) for image in maps])
