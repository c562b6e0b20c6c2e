"""The files inside an archive or folder as columns, and what no archive may hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# How the bytes of a frame lie: zip's own numbers, and two that zip does not use.
STORED, DEFLATED = 0, 8
TAR, LOOSE = 254, 255

# A frame is a crop of some kilobytes; a member that claims more is damaged or hostile.
MAX_FRAME_BYTES = 16 * 2**20

# Names become paths and lines of messages. RE2 syntax.
_UNSAFE_NAME = r"^/|^[A-Za-z]:|\\|[[:cntrl:]]|(^|/)\.\.(/|$)"


class ArchiveError(ValueError):
    """An archive that is missing, cut short, damaged or not to be trusted."""


@dataclass(frozen=True, slots=True)
class Members:
    """Where the bytes of each file [M] lie: 30 bytes a file and its name, no Python objects."""

    name: pa.StringArray
    offset: npt.NDArray[np.int64]
    stored: npt.NDArray[np.uint32]
    size: npt.NDArray[np.uint32]
    compression: npt.NDArray[np.uint8]
    crc: npt.NDArray[np.uint32]  # of the inflated bytes; 0 where the archive keeps none

    def __len__(self) -> int:
        return len(self.offset)

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return (name.as_py() for name in self.name)


def plain_members(
    path: Path, names: list[str], offset: Iterable[int], size: Iterable[int], compression: int
) -> Members:
    """Members that lie as they are, as in a tar or a folder.

    Raises:
        ArchiveError: for a name or a size that `check_members` refuses, or that is no UTF-8.
    """
    try:
        column = pa.array(names, pa.string())
    except UnicodeEncodeError:
        bad = next(name for name in names if not _encodable(name))
        raise ArchiveError(f"{path}: {bad!r} is no name in UTF-8; rename it") from None
    sizes = np.fromiter(size, np.int64, len(names))
    check_members(path, column, sizes)
    return Members(
        name=column,
        offset=np.fromiter(offset, np.int64, len(names)),
        stored=sizes.astype(np.uint32),
        size=sizes.astype(np.uint32),
        compression=np.full(len(names), compression, np.uint8),
        crc=np.zeros(len(names), np.uint32),
    )


def check_members(path: Path, names: pa.StringArray, claimed: npt.NDArray[np.int64]) -> None:
    """Refuse names that lead elsewhere, come twice, or claim more than a frame can have.

    Raises:
        ArchiveError: names the first such member.
    """
    unsafe = pc.match_substring_regex(names, _UNSAFE_NAME).to_numpy(zero_copy_only=False)
    refuse(
        path,
        names,
        unsafe,
        "is no name for a frame: absolute, with '..', a backslash or a control character",
    )
    if pc.count_distinct(names).as_py() != len(names):
        counts = pc.value_counts(names)
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"].as_py()
        raise ArchiveError(f"{path}: {shown(twice)} is in the archive twice")
    if (absurd := claimed > MAX_FRAME_BYTES).any():
        reason = f"claims {claimed[absurd][0]:,} bytes; a frame has at most {MAX_FRAME_BYTES:,}"
        refuse(path, names, absurd, reason)


def refuse(path: Path, names: pa.StringArray, bad: npt.NDArray[np.bool_], reason: str) -> None:
    """Raise an ArchiveError about the first member that is `bad`, if any is."""
    if bad.any():
        raise ArchiveError(f"{path}: {shown(names[int(bad.argmax())].as_py())} {reason}")


def shown(name: str) -> str:
    """A name as a message shows it: on one line, whatever is in it."""
    return name if name.isprintable() else repr(name)


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
