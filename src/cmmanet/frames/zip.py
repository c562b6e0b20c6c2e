"""Lists a zip in columns.

`zipfile` makes an object for each member, which is 0.9 GB for MARS, and believes the central
directory. Here the directory is parsed into arrays, and every member's local header must say
the same as its entry. Format: PKWARE's APPNOTE.TXT, 4.3.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmmanet.frames.members import (
    DEFLATED,
    STORED,
    ArchiveError,
    Members,
    check_members,
    refuse,
)

_END = struct.Struct("<4s4H2IH")
_ZIP64_LOCATOR = struct.Struct("<4sIQI")
_ZIP64_END = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = np.dtype(
    [("signature", "<u4"), ("system", "<u2"), ("version", "<u2"), ("flags", "<u2"),
     ("method", "<u2"), ("time", "<u4"), ("crc", "<u4"), ("stored", "<u4"), ("size", "<u4"),
     ("name", "<u2"), ("extra", "<u2"), ("comment", "<u2"), ("disk", "<u2"),
     ("internal", "<u2"), ("external", "<u4"), ("offset", "<u4")]
)  # fmt: skip
_LOCAL = np.dtype(
    [("signature", "<u4"), ("version", "<u2"), ("flags", "<u2"), ("method", "<u2"),
     ("time", "<u4"), ("crc", "<u4"), ("stored", "<u4"), ("size", "<u4"), ("name", "<u2"),
     ("extra", "<u2")]
)  # fmt: skip
_CENTRAL_SIGNATURE, _LOCAL_SIGNATURE = 0x02014B50, 0x04034B50
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_HAS_DESCRIPTOR, _UTF8 = 0x8, 0x800
_IN_ZIP64_FIELD = 0xFFFFFFFF
_UNIX = 3

# MARS in one zip has a directory of 0.1 GB; it is read whole.
_MAX_DIRECTORY = 2**30
# No offset or size reaches this: sums of a few of them fit in int64.
_BEYOND = 2**60
_BLOCK = 4 * 2**20  # read at once for the local headers; fits in the cache
_ROWS = 2**16  # gathered at once


def list_zip(path: Path, suffix: str) -> Members:
    """Every member of a zip whose name ends in `suffix`, by its place in the file.

    Raises:
        ArchiveError: for a zip that is damaged, cut short, in several files or behind other
            data; for members that overlap or whose local header says otherwise than the
            directory; for a listed member that is encrypted, a link, compressed in an unknown
            way, or of a name or size that `check_members` refuses.
    """
    with path.open("rb") as file:
        descriptor, total = file.fileno(), os.fstat(file.fileno()).st_size
        end = _find_end(path, descriptor, total)
        if end.size > _MAX_DIRECTORY:
            raise ArchiveError(f"{path}: claims a directory of {end.size:,} bytes")
        directory = np.frombuffer(_read(path, descriptor, end.size, end.offset), np.uint8)
        entries = _parse_directory(path, directory, end.entries)
        listed = pc.ends_with(entries.name, suffix).to_numpy(zero_copy_only=False)
        _check_listed(path, entries, listed)
        _check_places(path, entries, np.zeros(end.entries, np.int64), end.offset)
        extra = _check_local_headers(path, descriptor, directory, entries)
        _check_places(path, entries, extra, end.offset)
    offset = entries.offset + _LOCAL.itemsize + entries.header["name"] + extra
    return Members(
        name=entries.name.filter(pa.array(listed)),
        offset=offset[listed],
        stored=entries.stored[listed].astype(np.uint32),
        size=entries.size[listed].astype(np.uint32),
        compression=entries.header["method"][listed].astype(np.uint8),
        crc=entries.header["crc"][listed],
    )


class _End(NamedTuple):
    """What the end of a zip says of its central directory."""

    entries: int
    size: int
    offset: int


class _Entries(NamedTuple):
    """The central directory in columns, in the order of the members in the file."""

    start: npt.NDArray[np.int64]  # in the directory
    header: npt.NDArray[np.void]  # of _CENTRAL
    name: pa.StringArray
    offset: npt.NDArray[np.int64]  # of the local header; this and the sizes beyond 4 GiB too
    stored: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]


def _damaged(path: Path, what: str = "cut short or damaged") -> ArchiveError:
    return ArchiveError(
        f"{path}: no whole zip archive ({path.stat().st_size:,} bytes): {what}; "
        "get the archive again"
    )


def _read(path: Path, descriptor: int, size: int, offset: int) -> bytes:
    data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise _damaged(path)
    return data


def _find_end(path: Path, descriptor: int, total: int) -> _End:
    start = max(0, total - _END.size - 0xFFFF)
    tail = _read(path, descriptor, total - start, start)
    # The signature may stand in the comment too: the record is where its comment ends the file.
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at + 3 if at < len(tail) else at)) >= 0:
        if at + _END.size <= len(tail):
            _, disk, first_disk, here, entries, size, offset, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == len(tail):
                break
    else:
        raise _damaged(path)
    place = start + at
    locator = at - _ZIP64_LOCATOR.size
    if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
        _, disk64, place64, disks = _ZIP64_LOCATOR.unpack_from(tail, locator)
        if place64 + _ZIP64_END.size > start + locator:
            raise _damaged(path, "its zip64 record is not where it should be")
        record = _ZIP64_END.unpack(_read(path, descriptor, _ZIP64_END.size, place64))
        if record[0] != b"PK\x06\x06" or place64 + 12 + record[1] != start + locator:
            raise _damaged(path, "its zip64 record is not where it should be")
        # The short record either repeats a number or leaves it to the long one.
        short = ((here, 0xFFFF), (entries, 0xFFFF), (size, _IN_ZIP64_FIELD),
                 (offset, _IN_ZIP64_FIELD))  # fmt: skip
        for (value, elsewhere), value64 in zip(short, record[6:], strict=True):
            if value not in (elsewhere, value64):
                raise _damaged(path, "its two end records contradict each other")
        disk, first_disk, here, entries, size, offset = record[4:]
        disk, place = max(disk, disk64, disks - 1), place64
    if disk or first_disk or here != entries:
        raise ArchiveError(f"{path}: one of several parts of a zip; join them into one file")
    if offset + size > place:
        raise _damaged(path)
    if offset + size < place:
        raise ArchiveError(
            f"{path}: {place - offset - size:,} bytes before the zip archive, or after its "
            "directory (a self-extracting archive?); unpack it and zip it anew"
        )
    return _End(entries, size, offset)


def _parse_directory(path: Path, directory: npt.NDArray[np.uint8], count: int) -> _Entries:
    if count * _CENTRAL.itemsize > len(directory):
        raise _damaged(path, "its directory is too short")
    start = np.empty(count, np.int64)
    lengths = struct.Struct("<3H").unpack_from
    at, last = 0, len(directory) - _CENTRAL.itemsize
    buffer = directory.data
    # The one loop over members: where an entry starts, only the one before it tells.
    for row in range(count):
        if at > last:
            raise _damaged(path, "its directory is too short")
        start[row] = at
        name, extra, comment = lengths(buffer, at + 28)
        at += 46 + name + extra + comment
    if at != len(directory):
        raise _damaged(path, "its directory does not end where it should")
    header = _structs(directory, start, _CENTRAL)
    if (header["signature"] != _CENTRAL_SIGNATURE).any():
        raise _damaged(path, "its directory is damaged")
    if not np.isin(header["disk"], (0, 0xFFFF)).all():
        raise ArchiveError(f"{path}: one of several parts of a zip; join them into one file")
    places = [header[field].astype(np.int64) for field in ("size", "stored", "offset")]
    _resolve_zip64(directory, start, header, places)
    order = np.argsort(places[2], kind="stable")
    start, header = start[order], header[order]
    size, stored, offset = (column[order] for column in places)
    return _Entries(start, header, _names(path, directory, start, header), offset, stored, size)


def _structs(
    buffer: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], dtype: np.dtype[np.void]
) -> npt.NDArray[np.void]:
    """The records of `dtype` that start at `start`; they may lie anywhere in the buffer."""
    if len(start) == 0:
        return np.empty(0, dtype)
    windows = np.lib.stride_tricks.sliding_window_view(buffer, dtype.itemsize)
    return windows[start].view(dtype)[:, 0]


def _gather(
    buffer: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], length: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """The stretches of the buffer one after another."""
    end = np.cumsum(length)
    shift = np.repeat(start - end + length, length)
    return buffer[shift + np.arange(len(shift))]


def _resolve_zip64(
    directory: npt.NDArray[np.uint8],
    start: npt.NDArray[np.int64],
    header: npt.NDArray[np.void],
    places: list[npt.NDArray[np.int64]],
) -> None:
    """Fill in what stands in the zip64 extra field: of size, stored, offset, those that are -1.

    Where the field is missing the value stays 4 GiB, which no check lets pass.
    """
    large = np.any([column == _IN_ZIP64_FIELD for column in places], axis=0)
    for row in np.flatnonzero(large):
        first = int(start[row]) + _CENTRAL.itemsize + int(header["name"][row])
        extra = directory[first : first + int(header["extra"][row])].tobytes()
        at = 0
        while at + 4 <= len(extra):
            tag, length = struct.unpack_from("<2H", extra, at)
            if tag == 1:
                values = extra[at + 4 : at + 4 + length]
                for column in places:
                    if column[row] == _IN_ZIP64_FIELD and len(values) >= 8:
                        column[row] = min(int.from_bytes(values[:8], "little"), _BEYOND)
                        values = values[8:]
                break
            at += 4 + length


def _names(
    path: Path,
    directory: npt.NDArray[np.uint8],
    start: npt.NDArray[np.int64],
    header: npt.NDArray[np.void],
) -> pa.StringArray:
    first, length = start + _CENTRAL.itemsize, header["name"].astype(np.int64)
    chunks = [slice(row, row + _ROWS) for row in range(0, len(start), _ROWS)]
    parts = [_gather(directory, first[rows], length[rows]) for rows in chunks]
    text = np.concatenate(parts) if parts else np.empty(0, np.uint8)
    ends = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
    if text.max(initial=0) < 0x80:
        return pa.StringArray.from_buffers(len(start), pa.py_buffer(ends), pa.py_buffer(text))
    decoded = []
    for row, flags in enumerate(header["flags"].tolist()):
        name = text[ends[row] : ends[row + 1]].tobytes()
        try:
            decoded.append(name.decode("utf-8" if flags & _UTF8 else "cp437"))
        except UnicodeDecodeError:
            raise ArchiveError(f"{path}: {name!r} is no name in UTF-8") from None
    return pa.array(decoded, pa.string())


def _check_listed(path: Path, entries: _Entries, listed: npt.NDArray[np.bool_]) -> None:
    names, header = entries.name.filter(pa.array(listed)), entries.header[listed]
    refuse(
        path, names, (header["flags"] & _ENCRYPTED) != 0, "is encrypted; unpack it and zip it anew"
    )
    link = (header["system"] >> 8 == _UNIX) & _is_link(header["external"])
    refuse(path, names, link, "is a link; put the file itself there")
    if (unknown := ~np.isin(header["method"], (STORED, DEFLATED))).any():
        method = header["method"][unknown][0]
        reason = f"is compressed by method {method}; stored and deflated members are read"
        refuse(path, names, unknown, reason)
    stored, size = entries.stored[listed], entries.size[listed]
    check_members(path, names, np.maximum(stored, size))
    lies = (header["method"] == STORED) & (stored != size)
    refuse(path, names, lies, "is stored, yet in another size than its own")


def _is_link(external: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    # The upper half of the external attributes is the Unix file mode.
    return np.asarray((external >> 16 & 0o170000) == stat.S_IFLNK)


def _check_places(
    path: Path, entries: _Entries, extra: npt.NDArray[np.int64], directory: int
) -> None:
    """Every member ends before the next one starts, and the last before the directory."""
    head = _LOCAL.itemsize + entries.header["name"].astype(np.int64) + extra
    end = entries.offset + head + entries.stored
    refuse(
        path,
        entries.name,
        end > directory,
        "reaches beyond the members: cut short or damaged; get the archive again",
    )
    refuse(path, entries.name[:-1], end[:-1] > entries.offset[1:], "overlaps the member after it")


def _check_local_headers(
    path: Path, descriptor: int, directory: npt.NDArray[np.uint8], entries: _Entries
) -> npt.NDArray[np.int64]:
    """The length of every local header's extra field, after checking the rest of it.

    The file is read in large blocks in its own order, not by a seek a member.
    """
    offset, header = entries.offset, entries.header
    length = header["name"].astype(np.int64)
    end = offset + _LOCAL.itemsize + length
    extra = np.empty(len(offset), np.int64)
    buffer = bytearray(_BLOCK)
    row = 0
    while row < len(offset):
        size = os.preadv(descriptor, [buffer], int(offset[row]))
        block = np.frombuffer(buffer, np.uint8)[:size]
        stop = int(np.searchsorted(end, offset[row] + size, "right"))
        if stop == row:
            raise _damaged(path)
        rows = slice(row, stop)
        start = offset[rows] - offset[row]
        local = _structs(block, start, _LOCAL)
        names = entries.name[rows]
        refuse(
            path,
            names,
            local["signature"] != _LOCAL_SIGNATURE,
            "is damaged: no local header there; get the archive again",
        )
        differs = _differs(local, header[rows])
        # Names of other lengths are found by that; only then can their bytes be laid side by side.
        if not differs.any():
            there = _gather(block, start + _LOCAL.itemsize, length[rows])
            here = _gather(directory, entries.start[rows] + _CENTRAL.itemsize, length[rows])
            owner = np.repeat(np.arange(stop - row), length[rows])
            differs[owner[there != here]] = True
        refuse(path, names, differs, "has a local header that contradicts the zip's directory")
        extra[rows] = local["extra"]
        row = stop
    return extra


def _differs(local: npt.NDArray[np.void], central: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    differs = (local["name"] != central["name"]) | (local["method"] != central["method"])
    differs |= ((local["flags"] ^ central["flags"]) & (_ENCRYPTED | _HAS_DESCRIPTOR)) != 0
    # A data descriptor after the member holds what was not known when its header was written.
    known = (local["flags"] & _HAS_DESCRIPTOR) == 0
    differs |= known & (local["crc"] != central["crc"])
    for field in ("stored", "size"):
        # Either header alone may leave the number to its zip64 field.
        plain = (local[field] != _IN_ZIP64_FIELD) & (central[field] != _IN_ZIP64_FIELD)
        differs |= known & plain & (local[field] != central[field])
    return np.asarray(differs)
