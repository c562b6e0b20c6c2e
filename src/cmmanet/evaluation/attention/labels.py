"""What each pixel of a rendered frame shows: label maps beside the archives, read in place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmmanet.datasets.rendered.canvas import Part
from cmmanet.frames.archive import FrameColumns, FrameStore, list_members
from cmmanet.frames.decode import DecodeError, open_png
from cmmanet.frames.index import FRAMES

MASKS = "masks_*.zip"
"""The archives of label maps, beside those of the frames; `datasets.rendered` writes them."""


def open_labels(folder: Path, raw: Path) -> FrameStore | None:
    """Open the label maps of an index's frames, by the frames' rows.

    The map of bbox_test/0002/NAME.jpg is bbox_test/0002/NAME.png in an archive of `MASKS`.

    Args:
        folder: of the index.
        raw: of the archives.

    Returns:
        None where there are no such archives, as in every dataset that is not rendered.

    Raises:
        ArchiveError: for an archive that is not to be trusted.
        ValueError: if a frame has no label map.
    """
    archives = sorted(raw.glob(MASKS))
    if not archives:
        return None
    parts = [list_members(path, ".png") for path in archives]
    names = pq.read_table(folder / FRAMES, columns=["name"])["name"]
    wanted = pc.replace_substring_regex(names, pattern=r"\.[^./]*$", replacement=".png")
    there = pa.concat_arrays([part.name for part in parts])
    places = pc.index_in(wanted, value_set=there)
    if places.null_count:
        first = wanted.filter(places.is_null())[0].as_py()
        raise ValueError(
            f"{raw}: {places.null_count:,} frames have no label map ({first} is in none of "
            f"{', '.join(path.name for path in archives)}): remove that folder and run the stage "
            "fetch again"
        )
    return FrameStore(archives, FrameColumns.from_members(parts, places.to_numpy()))


def read_labels(store: FrameStore, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Label maps of frames by their rows in the index: uint8 [n, H, W] of `Part` values.

    Raises:
        DecodeError: for what is no label map, or not of its neighbours' size; named with its
            archive.
    """
    maps: list[npt.NDArray[np.uint8]] = []
    for row in rows:
        try:
            maps.append(_decode(store.read(row)))
            if maps[-1].shape != maps[0].shape:
                raise DecodeError("not of the size of the others")
        except DecodeError as error:
            raise DecodeError(
                f"{store.describe(row)}: no label map: {error}; remove the archive's folder and "
                "run the stage fetch again"
            ) from None
    return np.stack(maps)


def _decode(data: bytes) -> npt.NDArray[np.uint8]:
    image = open_png(data)
    if image.mode != "L":
        raise DecodeError(f"its pixels are {image.mode}, not 8 bits")
    labels = np.array(image)
    if labels.max() > max(Part):
        raise DecodeError(f"it has a label {labels.max()}, and parts go up to {max(Part)}")
    return labels
