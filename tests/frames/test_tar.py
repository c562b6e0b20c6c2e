"""Plain tar archives: what is read, and what is refused."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from cmmanet.frames.archive import ArchiveError, list_members


def write(path: Path, names: Sequence[str], mode: str = "w", kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, mode) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, 700 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    return path


def test_members_lie_where_the_list_says(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", ["a/b.png", "a/c.txt", "a/" + "d" * 200 + ".png"])
    members = list_members(path, ".png")
    assert list(members) == ["a/b.png", "a/" + "d" * 200 + ".png"]
    for member in members.values():
        content = path.read_bytes()[member.offset : member.offset + member.stored]
        assert content == b"x" * 700


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["/etc/a.png"], "outside the archive"),
        (["a/../../b.png"], "outside the archive"),
        (["a.png", "a.png"], "in the archive twice"),
    ],
)
def test_names_that_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        list_members(write(tmp_path / "a.tar", names), ".png")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_what_is_no_file_is_no_frame(tmp_path: Path, kind: bytes) -> None:
    assert list_members(write(tmp_path / "a.tar", ["a.png"], kind=kind), ".png") == {}


@pytest.mark.parametrize("size", [0, 100, 600, 1536, 1600, 1900, 2700, 3072])
def test_an_archive_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.tar", ["a.png", "b.png"])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArchiveError, match="no whole tar archive"):
        list_members(path, ".png")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="compressed"):
        list_members(write(tmp_path / "a.tar", ["a.png"], "w:gz"), ".png")
