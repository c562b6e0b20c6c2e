"""Lists a zip by `zipfile`, and finds its members' bytes by one read of each local header."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from array import array
from pathlib import Path

from cmmanet.frames.members import (
    DEFLATED,
    STORED,
    ArchiveError,
    Members,
    is_data,
    make_members,
    printable,
)

_LOCAL = struct.Struct("<4s22x2H")  # signature; lengths of name and extra field
_ENTRY = b"PK\x01\x02"  # signature of an entry in the directory
_ENCRYPTED = 0x1


def list_zip(path: Path, suffix: str) -> Members:
    """List every data file of a zip whose name ends in `suffix`, in the order of its directory.

    A leading "./" of a name is dropped. The sizes and checksums are the directory's; reading a
    frame checks them.

    Raises:
        ArchiveError: for a zip that is damaged or cut short; for a listed member that is not
            where the directory says, encrypted, a link, compressed by an unknown method, or that
            `make_members` refuses.
    """
    try:
        names, numbers = _read_directory(path, suffix)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OverflowError) as error:
        raise ArchiveError(
            f"{path}: not a whole zip archive ({path.stat().st_size:,} bytes): {error}; "
            "get the archive again"
        ) from None
    return make_members(path, names, numbers)


def _read_directory(path: Path, suffix: str) -> tuple[list[str], array[int]]:
    """Return names and numbers as `make_members` takes them; zipfile's objects end here."""
    names: list[str] = []
    numbers = array("q")
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            # zipfile accepts a damaged length that takes in the entries after it.
            if "\0" in info.orig_filename or _ENTRY in info.extra + info.comment:
                raise zipfile.BadZipFile("an entry of its directory has a wrong length")
            name = info.filename.removeprefix("./")
            if not name.endswith(suffix) or not is_data(name):
                continue
            place = _find_content(file.fileno(), info, archive.start_dir)
            if reason := _refusal(info, place):
                raise ArchiveError(f"{path}: {printable(name)} {reason}")
            names.append(name)
            sizes = (info.compress_size, info.file_size)
            numbers.extend((place, *sizes, info.compress_type, info.CRC))
    return names, numbers


def _find_content(descriptor: int, info: zipfile.ZipInfo, end: int) -> int:
    """Return where a member's bytes start; 0 if they are not between its header and `end`."""
    if 0 <= info.header_offset <= end - _LOCAL.size:
        signature, name, extra = _LOCAL.unpack(
            os.pread(descriptor, _LOCAL.size, info.header_offset)
        )
        place: int = info.header_offset + _LOCAL.size + name + extra
        if signature == b"PK\x03\x04" and place + info.compress_size <= end:
            return place
    return 0


def _refusal(info: zipfile.ZipInfo, place: int) -> str:
    """Return why a member cannot be read; nothing if it can."""
    if not place:
        return (
            "is not where the zip's directory says (damaged, one of several parts, or beyond "
            "4 GiB without zip64, as macOS's Finder writes it): get the archive again, or put "
            "the extracted folder there"
        )
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted; unpack it and zip it again"
    if stat.S_ISLNK(info.external_attr >> 16):  # the upper half is the Unix file mode
        return "is a link; put the file itself there"
    if info.compress_type not in (STORED, DEFLATED):
        return (
            f"is compressed by method {info.compress_type}, which cannot be read; unpack it and "
            "zip it again"
        )
    return ""
