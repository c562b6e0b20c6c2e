"""Zips against `zipfile`, and the hostile ones, each refused in one line."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmmanet.frames.archive import ArchiveError, list_members

FIXTURE = [HealthCheck.function_scoped_fixture]  # every example writes its file anew
NAMES = ["part/0001/a.jpg", "part/0001/b.jpg", "part/0002/c.jpg"]
END, CENTRAL, LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"


def zipped(names: list[str] = NAMES, compression: int = zipfile.ZIP_STORED) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            # `zipfile` would clean the name.
            info.filename = name
            archive.writestr(info, b"content of " + name.encode())
    return bytearray(buffer.getvalue())


def with_zip64_end(data: bytearray) -> bytearray:
    """The same zip with the zip64 end records that an archive beyond 4 GiB has."""
    at = data.rindex(END)
    _, _, _, _, entries, size, offset, _ = struct.unpack("<4s4H2IH", data[at:])
    record = struct.pack(
        "<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, offset
    )
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
    short = struct.pack("<4s4H2IH", END, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:at] + record + locator + short


class Unseekable(io.RawIOBase):
    """What a zip is streamed into: sizes then follow each member in a data descriptor."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.data += bytes(data)
        return len(data)


def check_against_zipfile(path: Path, suffix: str = ".jpg") -> None:
    members = list_members(path, suffix)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if info.filename.endswith(suffix)]
        assert members.name.to_pylist() == [info.filename for info in infos]
        for row, info in enumerate(infos):
            offset = int(members.offset[row])
            stored = data[offset : offset + int(members.stored[row])]
            assert (members.size[row], members.crc[row]) == (info.file_size, info.CRC)
            assert (members.stored[row], members.compression[row]) == (
                info.compress_size,
                info.compress_type,
            )
            if info.compress_type == zipfile.ZIP_STORED:
                assert stored == archive.read(info)


names = st.lists(
    st.text(st.sampled_from("abcé人/_ "), min_size=1, max_size=12).filter(
        lambda name: not name.startswith("/") and not name.endswith("/")
    ),
    unique=True,
    max_size=12,
)


@given(
    names,
    st.binary(max_size=200),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.booleans(),
    st.booleans(),
    st.binary(max_size=40).filter(lambda comment: END not in comment),  # zipfile fails on it
    st.binary(max_size=40),
    st.binary(max_size=40).filter(lambda after: END not in after),
)
@settings(max_examples=80, deadline=None, suppress_health_check=FIXTURE)
def test_any_zip_lists_as_zipfile_lists_it(
    tmp_path: Path,
    names: list[str],
    content: bytes,
    compression: int,
    stream: bool,
    zip64: bool,
    comment: bytes,
    before: bytes,
    after: bytes,
) -> None:
    target = Unseekable() if stream else io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:  # type: ignore[call-overload]
        for number, name in enumerate(names):
            suffix = ".jpg" if number % 3 else ".txt"
            with archive.open(name + suffix, "w", force_zip64=zip64) as member:
                member.write(content * number)
        archive.comment = comment
    data = target.data if isinstance(target, Unseekable) else target.getvalue()
    # As in a self-extracting zip, and after a download that went on for too long.
    (tmp_path / "part.zip").write_bytes(before + data + after)
    check_against_zipfile(tmp_path / "part.zip")


@pytest.mark.parametrize("count", [0, 2, 9])
def test_the_number_of_entries_is_not_believed(tmp_path: Path, count: int) -> None:
    # Finder writes no zip64 records, and the number modulo 65,536.
    data = zipped()
    struct.pack_into("<2H", data, data.index(END) + 8, count, count)
    (tmp_path / "part.zip").write_bytes(data)
    assert list_members(tmp_path / "part.zip", ".jpg").name.to_pylist() == NAMES


def test_zip64_end_records_are_read(tmp_path: Path) -> None:
    (tmp_path / "part.zip").write_bytes(with_zip64_end(zipped()))
    check_against_zipfile(tmp_path / "part.zip")


def test_offsets_beyond_4_gib_are_read(tmp_path: Path) -> None:
    path = tmp_path / "part.zip"
    gap = 2**32 + 4096
    data = zipped()
    split, central = data.index(LOCAL, 4), data.index(CENTRAL)
    # The second member on lies behind a hole of 4 GiB (a sparse file: it takes no space).
    entries = bytearray()
    at = central
    for number in range(len(NAMES)):
        length = struct.unpack_from("<H", data, at + 28)[0]
        entry = data[at : at + 46 + length]
        if number:
            offset = struct.unpack_from("<I", entry, 42)[0] + gap
            struct.pack_into("<H", entry, 30, 12)
            struct.pack_into("<I", entry, 42, 0xFFFFFFFF)
            entry += struct.pack("<2HQ", 1, 8, offset)
        entries += entry
        at += 46 + length
    place = central + gap
    end = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 3, 3, len(entries), place)
    end += struct.pack("<4sIQI", b"PK\x06\x07", 0, place + len(entries), 1)
    end += struct.pack("<4s4H2IH", END, 0, 0, 3, 3, len(entries), 0xFFFFFFFF, 0)
    with path.open("wb") as file:
        file.write(data[:split])
        file.seek(split + gap)
        file.write(data[split:central] + entries + end)
    members = list_members(path, ".jpg")
    assert members.name.to_pylist() == NAMES
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo(NAMES[1]).header_offset == split + gap
    with path.open("rb") as file:
        file.seek(int(members.offset[2]))
        assert file.read(int(members.size[2])) == b"content of " + NAMES[2].encode()


def test_a_zip_beyond_4_gib_without_zip64_is_refused_with_advice(tmp_path: Path) -> None:
    # Finder writes offsets modulo 4 GiB.
    path = tmp_path / "part.zip"
    data = zipped()
    split = data.index(CENTRAL)
    with path.open("wb") as file:
        file.write(data[:split])
        file.seek(2**32 + split)  # a hole
        file.write(data[split:])
    with pytest.raises(
        ArchiveError, match=r"a\.jpg is not where .* put the extracted folder there"
    ):
        list_members(path, ".jpg")


def test_hidden_files_are_passed_over_whatever_is_wrong_with_them(tmp_path: Path) -> None:
    data = zipped(["./part/a.jpg", "__MACOSX/part/._a.jpg", "part/@eaDir/a.jpg", "part/.x/a.jpg"])
    at = data.index(CENTRAL)
    for _ in range(3):
        at = data.index(CENTRAL, at + 1)
        struct.pack_into("<2H", data, at + 8, 1, 93)  # encrypted, by an unknown method
    (tmp_path / "part.zip").write_bytes(data)
    assert list(list_members(tmp_path / "part.zip", ".jpg")) == ["part/a.jpg"]


def test_an_empty_zip_has_no_members(tmp_path: Path) -> None:
    (tmp_path / "part.zip").write_bytes(zipped([]))
    assert len(list_members(tmp_path / "part.zip", ".jpg")) == 0


def put(marker: bytes, offset: int, form: str, value: int, nth: int = 0) -> Callable[[], bytes]:
    """A zip with one number changed in its nth record of that kind."""

    def change() -> bytes:
        data = zipped()
        at = -1
        for _ in range(nth + 1):
            at = data.index(marker, at + 1)
        struct.pack_into(form, data, at + offset, value)
        return bytes(data)

    return change


def claiming(stored: int | None, size: int, compression: int) -> Callable[[], bytes]:
    """A zip whose first member claims these sizes in both of its headers."""

    def change() -> bytes:
        data = zipped(compression=compression)
        for at in (data.index(LOCAL) + 18, data.index(CENTRAL) + 20):
            if stored is not None:
                struct.pack_into("<I", data, at, stored)
            struct.pack_into("<I", data, at + 4, size)
        return bytes(data)

    return change


def as_link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("part/a.jpg")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def claiming_zip64_size() -> bytes:
    """A zip whose member claims 2^64 - 1 bytes, inflated."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("part/a.jpg", b"x")
        archive.infolist()[0].file_size = 2**64 - 1
    return buffer.getvalue()


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "absolute name": (lambda: bytes(zipped(["/etc/a.jpg"])), "not a name for a frame: absolute"),
    "drive letter": (lambda: bytes(zipped(["C:/a.jpg"])), "not a name for a frame"),
    "parent folder": (lambda: bytes(zipped(["part/../../a.jpg"])), "not a name for a frame"),
    "backslash": (lambda: bytes(zipped(["part\\a.jpg"])), "not a name for a frame"),
    "newline": (lambda: bytes(zipped(["part/\na.jpg"])), "not a name for a frame"),
    "not UTF-8": (
        lambda: bytes(zipped(["part/人.jpg"])).replace("人".encode(), b"\xff\xff\xff"),
        "can't decode",
    ),
    "link": (as_link, "is a link"),
    "encrypted": (put(CENTRAL, 8, "<H", 1), "a.jpg is encrypted"),
    "unknown method": (put(CENTRAL, 10, "<H", 93), "compressed by method 93"),
    "absurd size, inflated": (
        claiming(None, 2**30, zipfile.ZIP_DEFLATED),
        "a.jpg claims 1,073,741,824 bytes",
    ),
    "absurd size, stored": (claiming(2**31, 2**31, zipfile.ZIP_STORED), "a.jpg is not where"),
    "zip64 size without its field": (
        claiming(None, 2**32 - 1, zipfile.ZIP_DEFLATED),
        "a.jpg claims 4,294,967,295 bytes",
    ),
    "size beyond 64 bits": (claiming_zip64_size, "not a whole zip archive"),
    "beyond the end": (put(CENTRAL, 42, "<I", 2**31), "a.jpg is not where"),
    "over the directory": (put(LOCAL, 28, "<H", 9, nth=2), "c.jpg is not where"),
    "shifted by a byte": (put(CENTRAL, 42, "<I", 1), "a.jpg is not where"),
    "no local header": (put(LOCAL, 0, "<I", 0), "a.jpg is not where"),
    "needs a later version": (put(CENTRAL, 6, "<H", 99), "zip file version 9.9"),
    "directory entry damaged": (put(CENTRAL, 0, "<I", 0, nth=1), "Bad magic number"),
    "length of a name damaged": (put(CENTRAL, 28, "<H", 60000), "has a wrong length"),
    "length of an extra field damaged": (put(CENTRAL, 30, "<H", 60000), "Corrupt extra field"),
    "length of a comment damaged": (put(CENTRAL, 32, "<H", 60000), "has a wrong length"),
    "directory before the start": (put(END, 12, "<I", 2**31), "Bad offset"),
    "cut at the front": (lambda: bytes(zipped()[10:]), "a.jpg is not where"),
    "cut at the end": (lambda: bytes(zipped()[:-1]), "File is not a zip file"),
    "empty file": (lambda: b"", "File is not a zip file"),
    "garbage": (lambda: bytes(range(256)) * 300, "File is not a zip file"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_zips_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    make, message = HOSTILE[kind]
    path = tmp_path / "part.zip"
    path.write_bytes(make())
    with pytest.raises(ArchiveError) as caught:
        list_members(path, ".jpg")
    assert message in str(caught.value)
    assert "part.zip" in str(caught.value) and len(str(caught.value).splitlines()) == 1


@given(st.integers(0, 2**20), st.integers(0, 255), st.integers(0, 3))
@settings(max_examples=300, deadline=None, suppress_health_check=FIXTURE)
def test_a_changed_byte_is_refused_or_changes_nothing_that_is_read(
    tmp_path: Path, place: int, value: int, kind: int
) -> None:
    """No change anywhere crashes, or leads a read outside the archive's members."""
    data = with_zip64_end(zipped()) if kind % 2 else zipped(compression=zipfile.ZIP_DEFLATED)
    data[place % len(data)] = value
    path = tmp_path / "part.zip"
    path.write_bytes(data)
    try:
        members = list_members(path, ".jpg")
    except ArchiveError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert (members.offset + members.stored <= data.rindex(CENTRAL)).all()


def test_a_missing_archive_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"gone\.zip: No such file or directory"):
        list_members(tmp_path / "gone.zip", ".jpg")
