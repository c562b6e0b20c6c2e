"""Archives and folders of frames, read in place: nothing is ever unpacked.

Members are located once, when the index is built; after that a frame is one positioned read.
`os.pread` has no position, so forked workers share the descriptors safely.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EACCES
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmmanet.frames.folder import list_folder
from cmmanet.frames.members import (
    COLUMNS,
    DEFLATED,
    LOOSE,
    MAX_FRAME_BYTES,
    TAR,
    ArchiveError,
    Members,
)
from cmmanet.frames.tar import list_tar
from cmmanet.frames.zip import list_zip

__all__ = [
    "MAX_FRAME_BYTES",
    "ArchiveError",
    "FrameColumns",
    "FrameStore",
    "Members",
    "PartDigest",
    "digest_part",
    "hash_file",
    "list_members",
]


def list_members(path: Path, suffix: str) -> Members:
    """List every data file in `path` (a zip, a plain tar or a folder) whose name ends in `suffix`.

    Names are relative, with forward slashes; a folder's members start with its own name, as
    in the archive that it was extracted from.

    Raises:
        ArchiveError: for an archive that is damaged, cut short, or not to be trusted: see
            `list_zip`, `list_tar` and `list_folder`; for a folder with links in the place of
            such files, or of folders; for what cannot be read.
    """
    try:
        if path.is_dir():
            content = list_folder(path, suffix)
            content.refuse_links(path)
            return content.members
        return list_tar(path, suffix) if path.suffix == ".tar" else list_zip(path, suffix)
    except OSError as error:
        raise ArchiveError(f"{error.filename or path}: {error.strerror}") from None


class PartDigest(NamedTuple):
    """Identifies the content of an archive or folder."""

    images: int
    bytes: int
    sha256: str


def digest_part(path: Path, members: Members, listed: Sequence[str]) -> PartDigest:
    """Count and hash an archive, or the listed images of a folder by name and content.

    `members` are those that `list_members` returns for `path`; other files that appear in a folder
    change nothing.
    """
    if not path.is_dir():
        return PartDigest(len(members), path.stat().st_size, hash_file(path))
    present = pc.is_in(members.name, value_set=pa.array(listed, pa.string()))
    digest = hashlib.sha256()
    names = members.name.filter(present).to_pylist()
    for name in names:
        digest.update(f"{name} {hash_file(path.parent / name)}\n".encode())
    size = int(members.size[present.to_numpy(zero_copy_only=False)].sum())
    return PartDigest(len(names), size, digest.hexdigest())


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class FrameColumns:
    """The columns [F] of the index that reading frames needs.

    Arrays, not Python objects: forked workers go on sharing their pages, because reading an
    element changes no reference count inside them.
    """

    archive: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int64]
    stored: npt.NDArray[np.uint32]
    size: npt.NDArray[np.uint32]
    compression: npt.NDArray[np.uint8]
    crc: npt.NDArray[np.uint32]
    name: Sequence[str]

    @classmethod
    def from_members(
        cls, archives: Sequence[Members], rows: npt.NDArray[np.int64] | None = None
    ) -> FrameColumns:
        """Return the archives' members, one archive after the other, without an index.

        With `rows` [F], return those of them, in that order.
        """
        names = pa.concat_arrays([part.name for part in archives])
        rows = np.arange(len(names)) if rows is None else rows
        number = np.repeat(np.arange(len(archives), dtype=np.uint8), [len(p) for p in archives])
        columns: dict[str, Any] = {
            column: np.concatenate([getattr(part, column) for part in archives])[rows]
            for column in COLUMNS
        }
        return cls(archive=number[rows], **columns, name=names.take(pa.array(rows)).to_pylist())


class FrameStore:
    """Reads frames by their row in the index.

    It keeps descriptors open; each process opens its own on first use.
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
        """Return a frame's name and archive, for messages."""
        return f"{self._columns.name[row]} in {self._archives[self._columns.archive[row]]}"

    def read(self, row: int) -> bytes:
        """Return the encoded image of frame `row`.

        Raises:
            ArchiveError: if the archive is gone or shorter than the index says, or if the
                frame's checksum differs from the zip's.
        """
        columns = self._columns
        compression = int(columns.compression[row])
        archive = int(columns.archive[row])
        stored = int(columns.stored[row])
        if compression == LOOSE:
            data = self._read_loose(archive, row)
        else:
            data = os.pread(self._descriptor(archive), stored, int(columns.offset[row]))
        if len(data) != stored:
            raise ArchiveError(f"{self.describe(row)}: changed since it was indexed")
        if compression in (LOOSE, TAR):  # neither has a checksum
            return data
        if compression == DEFLATED:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            size = int(columns.size[row])
            try:
                data = inflate.decompress(data, size + 1)
            except zlib.error as error:
                raise ArchiveError(f"{self.describe(row)}: does not inflate ({error})") from None
            if len(data) != size:
                raise ArchiveError(f"{self.describe(row)}: inflates to another size than listed")
        # A JPEG with flipped bits still decodes; only its checksum shows the damage.
        if zlib.crc32(data) != int(columns.crc[row]):
            raise ArchiveError(f"{self.describe(row)}: damaged (checksum); get the archive again")
        return data

    def _read_loose(self, archive: int, row: int) -> bytes:
        # The folder's own name is the first part of its members' names.
        path = self._archives[archive].parent / self._columns.name[row]
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "rb") as file:
                return file.read(MAX_FRAME_BYTES + 1)
        except OSError as error:
            advice = "make it readable" if error.errno == EACCES else "run the index stage again"
            raise ArchiveError(f"{path}: {error.strerror}; {advice}") from None

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
