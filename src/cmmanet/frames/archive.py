"""Archives and folders of frames, read in place: nothing is ever unpacked.

A member is found once, when the index is built; after that a frame is one positioned
read. `os.pread` keeps no position, so forked workers share the descriptors safely.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# How the bytes of a frame lie: zip's own numbers, and one for a file of its own.
STORED = zipfile.ZIP_STORED
DEFLATED = zipfile.ZIP_DEFLATED
TAR = 254
LOOSE = 255

# A frame is a crop of some kilobytes; a member that claims more is damaged or hostile.
MAX_FRAME_BYTES = 16 * 2**20

_LOCAL_HEADER = struct.Struct("<4s5HIIIHH")
_ENCRYPTED = 0x1


class ArchiveError(ValueError):
    """An archive that is missing, cut short, damaged or not to be trusted."""


class Member(NamedTuple):
    """Where one file's bytes lie inside an archive or folder."""

    offset: int
    stored: int
    size: int
    compression: int
    crc: int  # of the bytes, as the zip lists it; 0 for a loose file


def list_members(path: Path, suffix: str) -> dict[str, Member]:
    """Every file below `path` (a zip, a tar or a folder) whose name ends in `suffix`.

    Names are relative, with forward slashes; a folder's members start with its own name,
    as they do in the archive it was extracted from.

    Raises:
        ArchiveError: for a zip that is damaged, cut short or encrypted, for a member that
            is listed twice, compressed in an unknown way or absurdly large.
    """
    if path.is_dir():
        return dict(_walk(path, path.name, suffix))
    if path.suffix == ".tar":
        return _list_tar(path, suffix)
    return _list_zip(path, suffix)


class PartDigest(NamedTuple):
    """What tells one state of an archive or folder from another."""

    images: int
    bytes: int
    sha256: str


def digest_part(path: Path, suffix: str) -> PartDigest:
    """Count and hash a zip or a tar, or the images of a folder by name and content.

    Raises:
        ArchiveError: for a zip that is cut short or damaged.
    """
    if path.suffix == ".tar" and path.is_file():
        return PartDigest(len(_list_tar(path, suffix)), path.stat().st_size, hash_file(path))
    if not path.is_dir():
        try:
            with zipfile.ZipFile(path) as archive:
                images = sum(name.endswith(suffix) for name in archive.namelist())
        except zipfile.BadZipFile:
            raise _cut_short(path) from None
        return PartDigest(images, path.stat().st_size, hash_file(path))
    digest, size = hashlib.sha256(), 0
    files = _walk(path, path.name, suffix)
    for name, member in files:
        content = (path.parent / name).read_bytes()
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
        size += member.size
    return PartDigest(len(files), size, digest.hexdigest())


def hash_file(path: Path) -> str:
    """The sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cut_short(path: Path) -> ArchiveError:
    return ArchiveError(
        f"{path}: no whole zip archive ({path.stat().st_size:,} bytes): cut short or damaged; "
        "get the archive again"
    )


def _walk(folder: Path, prefix: str, suffix: str) -> list[tuple[str, Member]]:
    found: list[tuple[str, Member]] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{prefix}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                found += _walk(Path(entry.path), name, suffix)
            elif name.endswith(suffix) and entry.is_file(follow_symlinks=False):
                size = entry.stat(follow_symlinks=False).st_size
                found.append((name, Member(0, size, size, LOOSE, 0)))
    return found


def _list_zip(path: Path, suffix: str) -> dict[str, Member]:
    members: dict[str, Member] = {}
    total = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            for info in archive.infolist():
                if info.is_dir() or not info.filename.endswith(suffix):
                    continue
                name = info.filename
                if name in members:
                    raise ArchiveError(f"{path}: {name} is in the archive twice")
                if info.flag_bits & _ENCRYPTED:
                    raise ArchiveError(f"{path}: {name} is encrypted; unpack it and zip it anew")
                if info.compress_type not in (STORED, DEFLATED):
                    raise ArchiveError(
                        f"{path}: {name} is compressed by method {info.compress_type}; "
                        "stored and deflated members are read"
                    )
                claimed = max(info.file_size, info.compress_size)
                if claimed > MAX_FRAME_BYTES:
                    raise ArchiveError(
                        f"{path}: {name} claims {claimed:,} bytes; a frame has at most "
                        f"{MAX_FRAME_BYTES:,}"
                    )
                # The local header has its own name and extra field, of their own lengths.
                header = os.pread(file.fileno(), _LOCAL_HEADER.size, info.header_offset)
                if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
                    raise ArchiveError(f"{path}: damaged at {name}: no local header there")
                fields = _LOCAL_HEADER.unpack(header)
                offset = info.header_offset + _LOCAL_HEADER.size + fields[-2] + fields[-1]
                if offset + info.compress_size > total:
                    raise ArchiveError(f"{path}: cut short inside {name}; get the archive again")
                members[name] = Member(
                    offset, info.compress_size, info.file_size, info.compress_type, info.CRC
                )
    except zipfile.BadZipFile:
        raise _cut_short(path) from None
    return members


def _list_tar(path: Path, suffix: str) -> dict[str, Member]:
    members: dict[str, Member] = {}
    try:
        with tarfile.open(path, "r:") as archive, path.open("rb") as file:
            for info in archive:
                name = info.name
                if not info.isreg() or info.issparse() or not name.endswith(suffix):
                    continue
                if name.startswith("/") or ".." in name.split("/"):
                    raise ArchiveError(f"{path}: {name} would lie outside the archive")
                if name in members:
                    raise ArchiveError(f"{path}: {name} is in the archive twice")
                if info.size > MAX_FRAME_BYTES:
                    raise ArchiveError(
                        f"{path}: {name} claims {info.size:,} bytes; a frame has at most "
                        f"{MAX_FRAME_BYTES:,}"
                    )
                members[name] = Member(info.offset_data, info.size, info.size, TAR, 0)
            # tarfile takes a header that is cut off for the end, which is a block of zeros.
            if os.pread(file.fileno(), 512, archive.offset) != bytes(512):
                raise tarfile.ReadError("no end")
    except tarfile.TarError as error:
        raise ArchiveError(
            f"{path}: no whole tar archive ({error}): cut short, damaged or compressed; get the "
            "archive again"
        ) from None
    return members


@dataclass(frozen=True, slots=True)
class FrameColumns:
    """The index's columns that reading needs, one entry a frame [F]."""

    archive: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int64]
    stored: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    compression: npt.NDArray[np.uint8]
    crc: npt.NDArray[np.uint32]
    name: Sequence[str]


class FrameStore:
    """Reads frames by their row in the index.

    Holds open descriptors; each process opens its own on first use.
    """

    def __init__(self, archives: Sequence[Path], columns: FrameColumns) -> None:
        self._archives = list(archives)
        self._columns = columns
        self._descriptors: dict[int, int] = {}
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._columns.offset)

    def describe(self, row: int) -> str:
        """Name of a frame and the archive it lies in, for messages."""
        return f"{self._columns.name[row]} in {self._archives[self._columns.archive[row]]}"

    def read(self, row: int) -> bytes:
        """The encoded image of frame `row`.

        Raises:
            ArchiveError: if the archive is gone, shorter than the index says, or the
                frame's bytes are not those that the zip listed.
        """
        columns = self._columns
        compression = int(columns.compression[row])
        archive = int(columns.archive[row])
        stored = int(columns.stored[row])
        if compression == LOOSE:
            # The folder's own name is the first part of its members' names.
            path = self._archives[archive].parent / columns.name[row]
            try:
                data = path.read_bytes()
            except OSError as error:
                raise ArchiveError(f"{path}: {error.strerror}; run the index stage again") from None
        else:
            data = os.pread(self._descriptor(archive), stored, int(columns.offset[row]))
        if len(data) != stored:
            raise ArchiveError(f"{self.describe(row)}: changed since it was indexed")
        if compression in (LOOSE, TAR):
            return data  # neither keeps a checksum
        if compression == DEFLATED:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            size = int(columns.size[row])
            try:
                data = inflate.decompress(data, size + 1)
            except zlib.error as error:
                raise ArchiveError(f"{self.describe(row)}: does not inflate ({error})") from None
            if len(data) != size:
                raise ArchiveError(f"{self.describe(row)}: inflates to another size than listed")
        # A JPEG with flipped bits still decodes; only its checksum tells.
        if zlib.crc32(data) != int(columns.crc[row]):
            raise ArchiveError(f"{self.describe(row)}: damaged (checksum); get the archive again")
        return data

    def _descriptor(self, archive: int) -> int:
        with self._lock:
            if self._owner != os.getpid():
                self._descriptors, self._owner = {}, os.getpid()
            if archive not in self._descriptors:
                path = self._archives[archive]
                try:
                    self._descriptors[archive] = os.open(path, os.O_RDONLY)
                except OSError as error:
                    raise ArchiveError(f"{path}: {error.strerror}") from None
            return self._descriptors[archive]

    def __getstate__(self) -> dict[str, object]:
        return {"archives": self._archives, "columns": self._columns}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # type: ignore[misc]
