"""The frame index: archive, place and tracklet of every frame.

Two Parquet tables, built once: `frames.parquet` with a row per frame in tracklet order, and
`tracklets.parquet` with a row per tracklet, which has the row of its first frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmmanet.datasets.tracklets import Listing, Tracklets
from cmmanet.frames.archive import FrameColumns, FrameStore
from cmmanet.frames.members import COLUMNS, LOOSE, ArchiveError, Members, repeated

FRAMES = "frames.parquet"
TRACKLETS = "tracklets.parquet"


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """How much of what the official files list is in the archives, and which frames are not.

    `unlisted_examples` are the first few members that no file lists.
    """

    listed_frames: int
    found_frames: int
    listed_tracklets: int
    found_tracklets: int
    missing: tuple[str, ...]
    unlisted_members: int
    unlisted_examples: tuple[str, ...]


def build_index(listing: Listing, archives: Sequence[Members], folder: Path) -> IndexSummary:
    """Locate every listed frame among the archives' members and write the two tables.

    A frame that no archive has is left out of its tracklet, and a tracklet without any frame is
    left out of the table; the summary counts both. Rows keep the official order.

    Raises:
        ArchiveError: if two archives have a member of the same name.
        ValueError: if no listed frame is in any archive: list and archives do not belong
            together.
    """
    listed = pa.array(listing.member, pa.string())
    members = pa.chunked_array([part.name for part in archives], pa.string()).combine_chunks()
    if (name := repeated(members)) is not None:
        raise ArchiveError(f"{name} is in two archives; remove one of them")
    places = pc.index_in(listed, value_set=members)
    present = places.is_valid().to_numpy(zero_copy_only=False)
    if not present.any():
        raise ValueError(
            f"none of the {len(present):,} listed frames (such as {listing.member[0]}) is in the "
            "archives: the info folder and the archives do not belong together"
        )
    member = places.drop_null().to_numpy()
    owner = np.repeat(np.arange(len(listing.pid)), listing.length)[present]
    length = np.bincount(owner, minlength=len(listing.pid))
    filled = length > 0
    renumbered = np.cumsum(filled) - 1
    number = np.repeat(np.arange(len(archives), dtype=np.uint8), [len(part) for part in archives])
    frames = pa.table(
        {
            "tracklet": renumbered[owner].astype(np.int32),
            "number": listing.number[present],
            "name": listed.filter(pa.array(present)),
            "archive": number[member],
            **{
                column: np.concatenate([getattr(part, column) for part in archives])[member]
                for column in COLUMNS
            },
        }
    )
    length = length[filled].astype(np.int64)
    tracklets = pa.table(
        {
            "tracklet": np.arange(filled.sum(), dtype=np.int64),
            "pid": listing.pid[filled],
            "camera": listing.camera[filled],
            "first": np.cumsum(length) - length,
            "length": length,
            "role": pa.array(listing.role[filled].tolist(), pa.string()),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in ((FRAMES, frames), (TRACKLETS, tracklets)):
        partial = folder / f".{name}"
        try:
            pq.write_table(table, partial)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(folder / name)

    unlisted = np.ones(len(members), bool)
    unlisted[member] = False
    others = members.filter(pa.array(unlisted))
    first = pc.select_k_unstable(others, k=5, sort_keys=[("name", "ascending")])
    return IndexSummary(
        listed_frames=len(present),
        found_frames=len(member),
        listed_tracklets=len(filled),
        found_tracklets=int(filled.sum()),
        missing=tuple(listed.filter(pa.array(~present)).to_pylist()),
        unlisted_members=len(others),
        unlisted_examples=tuple(others.take(first).to_pylist()),
    )


def load_tracklets(folder: Path) -> Tracklets:
    """Read the tracklet table of an index."""
    table = pq.read_table(folder / TRACKLETS)
    columns: dict[str, Any] = {name: table[name].to_numpy() for name in table.column_names}
    columns["role"] = columns["role"].astype(np.str_)
    return Tracklets(**columns)


def open_store(folder: Path, archives: Sequence[Path]) -> FrameStore:
    """Open the frames of an index for reading; `archives` are in the index's order."""
    columns = ["archive", *COLUMNS]
    table = pq.read_table(folder / FRAMES, columns=columns)
    arrays: dict[str, Any] = {name: table[name].to_numpy() for name in columns}
    names = _Names(folder / FRAMES, table.num_rows)
    if (arrays["compression"] == LOOSE).any():
        names.load()  # each read of a loose file needs one: load once, not in each worker
    return FrameStore(archives, FrameColumns(**arrays, name=names))


class _Names(Sequence[str]):
    """The name column, read on first use: only messages and loose files need it."""

    def __init__(self, path: Path, length: int) -> None:
        self._path = path
        self._length = length
        self._names: pa.ChunkedArray | None = None

    def load(self) -> pa.ChunkedArray:
        if self._names is None:
            self._names = pq.read_table(self._path, columns=["name"])["name"]
        return self._names

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        names = self.load()
        if isinstance(row, slice):
            return [str(name) for name in names[row].to_pylist()]
        return str(names[int(row)].as_py())
