"""The frame index: which bytes of which archive are which frame of which tracklet.

Two Parquet tables, built once: `frames.parquet`, a row a frame in tracklet order, and
`tracklets.parquet`, a row a tracklet that says where its frames start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cmmanet.datasets.tracklets import Listing, Tracklets
from cmmanet.frames.archive import FrameColumns, FrameStore, Member

FRAMES = "frames.parquet"
TRACKLETS = "tracklets.parquet"


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What was found of what the official files list; examples are the first few."""

    listed_frames: int
    found_frames: int
    listed_tracklets: int
    found_tracklets: int
    missing_examples: tuple[str, ...]
    unlisted_members: int
    unlisted_examples: tuple[str, ...]


def build_index(
    listing: Listing, archives: Sequence[Mapping[str, Member]], folder: Path
) -> IndexSummary:
    """Find every listed frame among the archives' members and write the two tables.

    A frame that no archive has is left out of its tracklet, and a tracklet with no frame
    at all out of the table, both counted in the summary. Rows keep the official order.

    Raises:
        ValueError: if no listed frame is in any archive: list and archives do not belong
            together.
    """
    where: dict[str, tuple[int, Member]] = {}
    for number, members in enumerate(archives):
        for name, member in members.items():
            where[name] = (number, member)
    found = np.fromiter((name in where for name in listing.member), bool, len(listing.member))
    if not found.any():
        raise ValueError(
            f"none of the {len(found):,} listed frames (such as {listing.member[0]}) is in the "
            "archives: the info folder and the archives do not belong together"
        )
    names = [name for name, here in zip(listing.member, found, strict=True) if here]
    places = [where[name] for name in names]

    owner = np.repeat(np.arange(len(listing.pid)), listing.length)[found]
    length = np.bincount(owner, minlength=len(listing.pid))
    kept = length > 0
    renumbered = np.cumsum(kept) - 1
    frames = pa.table(
        {
            "tracklet": renumbered[owner].astype(np.int32),
            "number": listing.number[found],
            "name": pa.array(names, pa.string()),
            "archive": np.array([number for number, _ in places], np.uint8),
            "offset": np.array([member.offset for _, member in places], np.int64),
            "stored": np.array([member.stored for _, member in places], np.int64),
            "size": np.array([member.size for _, member in places], np.int64),
            "compression": np.array([member.compression for _, member in places], np.uint8),
            "crc": np.array([member.crc for _, member in places], np.uint32),
        }
    )
    kept_length = length[kept].astype(np.int64)
    tracklets = pa.table(
        {
            "tracklet": np.arange(kept.sum(), dtype=np.int64),
            "pid": listing.pid[kept],
            "camera": listing.camera[kept],
            "first": np.cumsum(kept_length) - kept_length,
            "length": kept_length,
            "role": pa.array(listing.role[kept].tolist(), pa.string()),
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

    for name in names:
        del where[name]
    missing = [name for name, here in zip(listing.member, found, strict=True) if not here]
    return IndexSummary(
        listed_frames=len(found),
        found_frames=len(names),
        listed_tracklets=len(kept),
        found_tracklets=int(kept.sum()),
        missing_examples=tuple(missing[:5]),
        unlisted_members=len(where),
        unlisted_examples=tuple(sorted(where)[:5]),
    )


def load_tracklets(folder: Path) -> Tracklets:
    """Read the tracklet table of an index."""
    table = pq.read_table(folder / TRACKLETS)
    columns: dict[str, Any] = {name: table[name].to_numpy() for name in table.column_names}
    columns["role"] = columns["role"].astype(np.str_)
    return Tracklets(**columns)


def open_store(folder: Path, archives: Sequence[Path]) -> FrameStore:
    """Open the frames of an index for reading; `archives` in the index's own order."""
    columns = ["archive", "offset", "stored", "size", "compression", "crc"]
    table = pq.read_table(folder / FRAMES, columns=columns)
    return FrameStore(
        archives,
        FrameColumns(
            **{name: table[name].to_numpy() for name in columns},
            name=_Names(folder / FRAMES, table.num_rows),
        ),
    )


class _Names(Sequence[str]):
    """The name column, read when first asked for: messages and loose files need it."""

    def __init__(self, path: Path, length: int) -> None:
        self._path = path
        self._length = length
        self._names: pa.ChunkedArray | None = None

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        if self._names is None:
            self._names = pq.read_table(self._path, columns=["name"])["name"]
        if isinstance(row, slice):
            return [str(name) for name in self._names[row].to_pylist()]
        return str(self._names[int(row)].as_py())
