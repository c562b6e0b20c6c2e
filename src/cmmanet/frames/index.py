"""The frame index: which bytes of which archive are which frame of which tracklet.

Two Parquet tables, built once: `frames.parquet`, a row a frame in tracklet order, and
`tracklets.parquet`, a row a tracklet that says where its frames start.
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
from cmmanet.frames.archive import LOOSE, ArchiveError, FrameColumns, FrameStore, Members

FRAMES = "frames.parquet"
TRACKLETS = "tracklets.parquet"


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What was found of what the official files list, and which frames were not.

    Examples are the first few.
    """

    listed_frames: int
    found_frames: int
    listed_tracklets: int
    found_tracklets: int
    missing: tuple[str, ...]
    unlisted_members: int
    unlisted_examples: tuple[str, ...]


def build_index(listing: Listing, archives: Sequence[Members], folder: Path) -> IndexSummary:
    """Find every listed frame among the archives' members and write the two tables.

    A frame that no archive has is left out of its tracklet, and a tracklet with no frame
    at all out of the table, both told in the summary. Rows keep the official order.

    Raises:
        ArchiveError: if two archives have a member of the same name.
        ValueError: if no listed frame is in any archive: list and archives do not belong
            together.
    """
    listed = pa.array(listing.member, pa.string())
    members = pa.chunked_array([part.name for part in archives], pa.string()).combine_chunks()
    if pc.count_distinct(members).as_py() != len(members):
        counts = pc.value_counts(members)
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"].as_py()
        raise ArchiveError(f"{twice} is in two archives: which one is meant?")
    places = pc.index_in(listed, value_set=members)
    found = places.is_valid().to_numpy(zero_copy_only=False)
    if not found.any():
        raise ValueError(
            f"none of the {len(found):,} listed frames (such as {listing.member[0]}) is in the "
            "archives: the info folder and the archives do not belong together"
        )
    member = places.drop_null().to_numpy()
    owner = np.repeat(np.arange(len(listing.pid)), listing.length)[found]
    length = np.bincount(owner, minlength=len(listing.pid))
    kept = length > 0
    renumbered = np.cumsum(kept) - 1
    number = np.repeat(np.arange(len(archives), dtype=np.uint8), [len(part) for part in archives])
    frames = pa.table(
        {
            "tracklet": renumbered[owner].astype(np.int32),
            "number": listing.number[found],
            "name": listed.filter(pa.array(found)),
            "archive": number[member],
            **{
                column: np.concatenate([getattr(part, column) for part in archives])[member]
                for column in ("offset", "stored", "size", "compression", "crc")
            },
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

    unlisted = np.ones(len(members), bool)
    unlisted[member] = False
    others = members.filter(pa.array(unlisted))
    first = pc.select_k_unstable(others, k=5, sort_keys=[("name", "ascending")])
    return IndexSummary(
        listed_frames=len(found),
        found_frames=len(member),
        listed_tracklets=len(kept),
        found_tracklets=int(kept.sum()),
        missing=tuple(listed.filter(pa.array(~found)).to_pylist()),
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
    """Open the frames of an index for reading; `archives` in the index's own order."""
    columns = ["archive", "offset", "stored", "size", "compression", "crc"]
    table = pq.read_table(folder / FRAMES, columns=columns)
    arrays: dict[str, Any] = {name: table[name].to_numpy() for name in columns}
    names = _Names(folder / FRAMES, table.num_rows)
    if (arrays["compression"] == LOOSE).any():
        names.load()  # every read needs one: once for all workers, not once in each
    return FrameStore(archives, FrameColumns(**arrays, name=names))


class _Names(Sequence[str]):
    """The name column, read when first asked for: messages and loose files need it."""

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
