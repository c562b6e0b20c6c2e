"""Lists a plain tar (ustar, GNU and pax names), whose members are stored unchanged."""

from __future__ import annotations

import io
import os
import tarfile
from array import array
from pathlib import Path

from cmmanet.frames.members import TAR, ArchiveError, Members, is_data, make_members, printable

# Headers have 512 bytes; only long names and pax records take more.
_MAX_HEADER = 2**20


def list_tar(path: Path, suffix: str) -> Members:
    """List every data file of a tar whose name ends in `suffix`, in the tar's order.

    A leading "./" of a name is dropped. Other members, such as folders, are skipped.

    Raises:
        ArchiveError: for a tar that is compressed, damaged or cut short; for a listed member
            that is a link, a device or sparse, or that `members.make_members` refuses.
    """
    names: list[str] = []
    numbers = array("q")
    total = path.stat().st_size
    try:
        with _Headers(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            place = -1
            while (member := archive.next()) is not None:
                # tarfile keeps every member, a kilobyte each.
                archive.members = []  # type: ignore[attr-defined]
                if member.size < 0 or archive.offset <= place:
                    raise ArchiveError(f"{path}: {printable(member.name)} has a negative size")
                place = archive.offset
                if member.offset_data + member.size > total:
                    raise _damaged(path, f"cut short inside {printable(member.name)}")
                name = member.name.removeprefix("./")
                if not name.endswith(suffix) or not is_data(name) or member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise ArchiveError(
                        f"{path}: {printable(name)} is a link, a device or sparse; put the file "
                        "itself there (`tar -h --hard-dereference` does)"
                    )
                names.append(name)
                numbers.extend((member.offset_data, member.size, member.size, TAR, 0))
            # tarfile takes a damaged header for the end. The end is a block of zeros.
            end = os.pread(file.fileno(), tarfile.BLOCKSIZE, archive.offset)
            if end != bytes(tarfile.BLOCKSIZE):
                raise _damaged(path, "cut short or damaged")
    except (tarfile.TarError, RecursionError, OverflowError, UnicodeError) as error:
        raise _damaged(path, f"compressed, cut short or damaged ({error})") from None
    return make_members(path, names, numbers)


class _Headers(io.FileIO):
    """A file that tarfile reads headers from, none of which may take gigabytes of memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError("a header of absurd size")
        return super().read(size) or b""


def _damaged(path: Path, what: str) -> ArchiveError:
    return ArchiveError(
        f"{path}: not a whole plain tar archive ({path.stat().st_size:,} bytes): {what}; "
        "decompress it, or get it again"
    )
