"""Plain tars against `tarfile`, and the hostile ones, each refused in one line."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmmanet.frames.archive import ArchiveError, FrameColumns, FrameStore, list_members

FIXTURE = [HealthCheck.function_scoped_fixture]  # every example writes its file anew
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "GNU": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def tarred(
    members: dict[str, bytes],
    form: int = tarfile.GNU_FORMAT,
    change: Callable[[tarfile.TarInfo], object] = lambda member: None,
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            change(member)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def read_all(path: Path) -> dict[str, bytes]:
    members = list_members(path, ".png")
    store = FrameStore([path], FrameColumns.from_members([members]))
    return {name: store.read(row) for row, name in enumerate(members)}


names = st.lists(
    st.text(st.sampled_from("abcé人/_"), min_size=1, max_size=60).filter(
        lambda name: not name.startswith("/") and not name.endswith("/")
    ),
    unique=True,
    max_size=8,
)


@given(names, st.binary(max_size=900), st.sampled_from(["GNU", "pax"]))
@settings(max_examples=60, deadline=None, suppress_health_check=FIXTURE)
def test_any_tar_reads_as_tarfile_reads_it(
    tmp_path: Path, names: list[str], content: bytes, form: str
) -> None:
    contents = {
        name + (".png" if number % 3 else ".txt"): content[number:]
        for number, name in enumerate(names)
    }
    path = tmp_path / "part.tar"
    path.write_bytes(tarred(contents, FORMATS[form]))
    expected = {}
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            if member.name.endswith(".png"):
                expected[member.name] = file.read()
    assert read_all(path) == expected


@pytest.mark.parametrize("form", FORMATS)
def test_long_names_are_read(tmp_path: Path, form: str) -> None:
    contents = {f"{'folder/' * 18}{number:04d}.png": bytes([number]) * 700 for number in range(5)}
    (tmp_path / "part.tar").write_bytes(tarred(contents, FORMATS[form]))
    assert read_all(tmp_path / "part.tar") == contents


def test_folders_and_other_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "part/1").mkdir(parents=True)
    (tmp_path / "part/1/a.png").write_bytes(b"a")
    (tmp_path / "part/notes.txt").write_bytes(b"no image")
    (tmp_path / "part/link").symlink_to("notes.txt")
    with tarfile.open(tmp_path / "part.tar", "w") as archive:
        archive.add(tmp_path / "part", "./part")
    assert read_all(tmp_path / "part.tar") == {"part/1/a.png": b"a"}


def test_hidden_members_are_passed_over_whatever_they_are(tmp_path: Path) -> None:
    def link_if_hidden(member: tarfile.TarInfo) -> None:
        if "._" in member.name:
            member.type, member.size = tarfile.SYMTYPE, 0

    contents = {"./part/a.png": b"a", "./part/._a.png": b"b"}
    (tmp_path / "part.tar").write_bytes(tarred(contents, change=link_if_hidden))
    assert read_all(tmp_path / "part.tar") == {"part/a.png": b"a"}


def typed(kind: bytes) -> Callable[[], bytes]:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0

    return lambda: tarred({"part/a.png": b""}, change=change)


def twice() -> bytes:
    one = tarred({"part/a.png": b"one"})
    return one[:1024] + one


def negative_size() -> bytes:
    member = tarfile.TarInfo("part/a.png")
    member.size = -1024
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(4096)


def absurd_header() -> bytes:
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2**33
    return name.tobuf(tarfile.GNU_FORMAT) + bytes(4096)


def nested_headers() -> bytes:
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1
    return (name.tobuf(tarfile.GNU_FORMAT) + b"a" + bytes(511)) * 3000


WHOLE = {f"part/{number}.png": bytes([number]) * 700 for number in range(4)}

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "absolute name": (lambda: tarred({"/etc/a.png": b"x"}), "not a name for a frame: absolute"),
    "parent folder": (lambda: tarred({"part/../a.png": b"x"}), "not a name for a frame"),
    "backslash": (lambda: tarred({"part\\a.png": b"x"}), "not a name for a frame"),
    "newline": (lambda: tarred({"part/\na.png": b"x"}), "not a name for a frame"),
    "not UTF-8": (lambda: tarred({"part/\udcff.png": b"x"}), "not a name in UTF-8"),
    "symbolic link": (typed(tarfile.SYMTYPE), "a.png is a link, a device or sparse"),
    "hard link": (typed(tarfile.LNKTYPE), "a.png is a link, a device or sparse"),
    "device": (typed(tarfile.CHRTYPE), "a.png is a link, a device or sparse"),
    "fifo": (typed(tarfile.FIFOTYPE), "a.png is a link, a device or sparse"),
    "twice": (twice, "part/a.png is in the archive twice"),
    "absurd size": (lambda: tarred({"part/a.png": bytes(2**24 + 1)}), "claims 16,777,217 bytes"),
    "negative size": (negative_size, ""),
    "header of gigabytes": (absurd_header, "a header of absurd size"),
    "thousands of nested headers": (nested_headers, "compressed, cut short or damaged"),
    "cut inside a member": (lambda: tarred(WHOLE)[:1500], "cut short"),
    "cut between members": (lambda: tarred(WHOLE)[: 512 + 1024], "cut short"),
    "damaged header": (
        lambda: tarred(WHOLE)[:1536] + b"\xff" * 512 + tarred(WHOLE)[2048:],
        "cut short or damaged",
    ),
    "compressed": (lambda: gzip.compress(tarred(WHOLE)), "compressed, cut short or damaged"),
    "empty file": (lambda: b"", "compressed, cut short or damaged"),
    "garbage": (lambda: bytes(range(1, 256)) * 300, "compressed, cut short or damaged"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_tars_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    make, message = HOSTILE[kind]
    path = tmp_path / "part.tar"
    path.write_bytes(make())
    with pytest.raises(ArchiveError) as caught:
        list_members(path, ".png")
    assert message in str(caught.value)
    assert "part.tar" in str(caught.value) and len(str(caught.value).splitlines()) == 1
