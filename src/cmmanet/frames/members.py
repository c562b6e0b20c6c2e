"""The files inside an archive or folder as columns, and the names and sizes that are refused."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# How the bytes of a frame are stored: zip's own numbers, and two that zip does not use.
STORED, DEFLATED = 0, 8
TAR, LOOSE = 254, 255

# A frame is a crop of some kilobytes; a member that claims more is damaged or hostile.
MAX_FRAME_BYTES = 16 * 2**20

# What desktops, NAS boxes, notebooks, sync tools and archivers leave behind, in a name between two
# slashes. "." and ".." are not hidden.
_NOT_DATA = re.compile(
    r"/(?:\.(?!\.?/)|(?:__MACOSX|@eaDir|@Recycle|@Recently-Snapshot|#recycle|#snapshot|~snapshot"
    r"|lost\+found|\$RECYCLE\.BIN|System Volume Information)/)",
    re.IGNORECASE,
)

# Names become paths and lines of messages. RE2 syntax.
_UNSAFE_NAME = r"^/|^[A-Za-z]:|\\|[[:cntrl:]]|(^|/)\.\.(/|$)"


class ArchiveError(ValueError):
    """An archive that is missing, cut short, damaged or not to be trusted."""


COLUMNS = ("offset", "stored", "size", "compression", "crc")
"""The columns of `Members` that reading a frame needs."""


@dataclass(frozen=True, slots=True)
class Members:
    """Where the bytes of each file [M] are: 30 bytes per file and its name, no Python objects."""

    name: pa.StringArray
    offset: npt.NDArray[np.int64]
    stored: npt.NDArray[np.uint32]
    size: npt.NDArray[np.uint32]
    compression: npt.NDArray[np.uint8]
    crc: npt.NDArray[np.uint32]  # of the inflated bytes; 0 where the archive has none

    def __len__(self) -> int:
        return len(self.offset)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return (name.as_py() for name in self.name)


def make_members(path: Path, names: list[str], numbers: array[int]) -> Members:
    """Make the members of an archive from their names and a row of `COLUMNS` for each.

    Raises:
        ArchiveError: for a name that is unsafe, repeated or not UTF-8, and for a size that no
            frame can have.
    """
    try:
        name = pa.array(names, pa.string())
    except UnicodeEncodeError:
        bad = next(name for name in names if not _encodable(name))
        raise ArchiveError(f"{path}: {bad!r} is not a name in UTF-8; rename it") from None
    offset, stored, size, compression, crc = np.frombuffer(numbers, np.int64).reshape(-1, 5).T
    _check_members(path, name, np.maximum(stored, size))
    return Members(
        name=name,
        offset=offset.copy(),
        stored=stored.astype(np.uint32),
        size=size.astype(np.uint32),
        compression=compression.astype(np.uint8),
        crc=crc.astype(np.uint32),
    )


def is_data(name: str) -> bool:
    """Whether a name is free of parts that begin with a dot or that systems keep for themselves."""
    return _NOT_DATA.search(f"/{name}/") is None


def _check_members(path: Path, names: pa.StringArray, sizes: npt.NDArray[np.int64]) -> None:
    """Refuse unsafe or repeated names [M], and sizes [M] that no frame can have."""
    unsafe = pc.match_substring_regex(names, _UNSAFE_NAME).to_numpy(zero_copy_only=False)
    if unsafe.any():
        raise ArchiveError(
            f"{path}: {printable(names[int(unsafe.argmax())].as_py())} is not a name for a frame: "
            "absolute, with '..', a backslash or a control character; rename it, or unpack the "
            "archive and pack it again"
        )
    if (name := repeated(names)) is not None:
        raise ArchiveError(f"{path}: {printable(name)} is in the archive twice")
    if (absurd := sizes > MAX_FRAME_BYTES).any():
        row = int(absurd.argmax())
        raise ArchiveError(
            f"{path}: {printable(names[row].as_py())} claims {sizes[row]:,} bytes; a frame has at "
            f"most {MAX_FRAME_BYTES:,}"
        )


def repeated(names: pa.StringArray) -> str | None:
    """Return the first name that is there more than once."""
    if pc.count_distinct(names).as_py() == len(names):
        return None
    counts = pc.value_counts(names)
    return str(counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"].as_py())


def printable(name: str) -> str:
    """Return a name as a message shows it: on one line, whatever is in it."""
    return name if name.isprintable() else repr(name)


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
