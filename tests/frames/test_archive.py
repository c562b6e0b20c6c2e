import io
import os
import pickle
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cmmanet.frames.archive import (
    MAX_FRAME_BYTES,
    ArchiveError,
    FrameColumns,
    FrameStore,
    PartDigest,
    digest_part,
    list_members,
)
from cmmanet.frames.members import is_data

CONTENT = {f"part/{n}/frame{n}.jpg": bytes([n]) * (100 + n) for n in range(20)}


def write_zip(path: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in CONTENT.items():
            archive.writestr(name, data)
        archive.writestr("part/notes.txt", "no image")
    return path


def store_of(path: Path) -> tuple[FrameStore, list[str]]:
    members = list_members(path, ".jpg")
    return FrameStore([path], FrameColumns.from_members([members])), list(members)


def place_of(path: Path, name: str) -> tuple[int, int]:
    """Where a member's bytes start, and how many they are."""
    members = list_members(path, ".jpg")
    row = members.name.to_pylist().index(name)
    return int(members.offset[row]), int(members.stored[row])


def digest_of(path: Path) -> PartDigest:
    members = list_members(path, ".jpg")
    return digest_part(path, members, members.name.to_pylist())


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_reads_what_zipfile_reads(tmp_path: Path, compression: int) -> None:
    path = write_zip(tmp_path / "part.zip", compression)
    store, names = store_of(path)
    with zipfile.ZipFile(path) as archive:
        expected = [archive.read(name) for name in names]
    assert [store.read(row) for row in range(len(store))] == expected
    assert sorted(names) == sorted(CONTENT)


def test_folder_reads_as_the_archive_it_came_from(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_zip(tmp_path / "part.zip")) as archive:
        archive.extractall(tmp_path / "out")
    store, names = store_of(tmp_path / "out" / "part")
    assert {name: store.read(row) for row, name in enumerate(names)} == CONTENT


def test_members_with_extra_fields_and_zip64_are_found(tmp_path: Path) -> None:
    path = tmp_path / "part.zip"
    with (
        zipfile.ZipFile(path, "w") as archive,
        archive.open(zipfile.ZipInfo("part/a.jpg"), "w", force_zip64=True) as member,
    ):
        member.write(b"content")
    store, _ = store_of(path)
    assert store.read(0) == b"content"


def test_reads_in_threads_and_after_pickling(tmp_path: Path) -> None:
    store, names = store_of(write_zip(tmp_path / "part.zip"))
    store = pickle.loads(pickle.dumps(store))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(store.read, list(range(len(names))) * 20))
    assert read == [CONTENT[name] for name in names] * 20


def test_reads_in_a_forked_process(tmp_path: Path) -> None:
    store, names = store_of(write_zip(tmp_path / "part.zip"))
    store.read(0)
    child = os.fork()
    if child == 0:
        right = all(store.read(row) == CONTENT[name] for row, name in enumerate(names))
        os._exit(0 if right else 1)
    right = all(store.read(row) == CONTENT[name] for row, name in enumerate(names))
    assert os.waitpid(child, 0)[1] == 0 and right


def test_archive_cut_short_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "part.zip")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ArchiveError, match=r"part\.zip: not a whole zip archive "):
        list_members(path, ".jpg")


def test_archive_that_changes_after_indexing_is_noticed(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "part.zip")
    store, _ = store_of(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ArchiveError, match=r"frame19\.jpg in .*changed since it was indexed"):
        store.read(19)


def test_vanished_loose_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part/a.jpg").write_bytes(b"x")
    store, _ = store_of(tmp_path / "part")
    (tmp_path / "part/a.jpg").unlink()
    with pytest.raises(ArchiveError, match=r"a\.jpg: No such file"):
        store.read(0)


def test_damaged_deflate_stream_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "part.zip", zipfile.ZIP_DEFLATED)
    offset, _ = place_of(path, "part/3/frame3.jpg")
    data = bytearray(path.read_bytes())
    data[offset : offset + 2] = b"\xff\xff"
    path.write_bytes(data)
    store, names = store_of(path)
    with pytest.raises(ArchiveError, match=r"does not inflate|another size"):
        store.read(names.index("part/3/frame3.jpg"))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_one_flipped_bit_is_noticed(tmp_path: Path, compression: int) -> None:
    path = write_zip(tmp_path / "part.zip", compression)
    whole = path.read_bytes()
    store, names = store_of(path)
    offset, stored = place_of(path, names[7])
    for bit in range(8 * stored):
        data = bytearray(whole)
        data[offset + bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            # Bits after the end of a deflated stream carry nothing.
            assert store.read(7) == CONTENT[names[7]] and compression == zipfile.ZIP_DEFLATED
        except ArchiveError as error:
            assert names[7] in str(error)


def test_digest_of_a_folder_follows_names_and_content(tmp_path: Path) -> None:
    (tmp_path / "part/1").mkdir(parents=True)
    (tmp_path / "part/1/a.jpg").write_bytes(b"one")
    (tmp_path / "part/1/b.jpg").write_bytes(b"two")
    (tmp_path / "part/notes.txt").write_bytes(b"no image")
    first = digest_of(tmp_path / "part")
    assert (first.images, first.bytes) == (2, 6)
    (tmp_path / "part/1/a.jpg").write_bytes(b"eno")
    changed = digest_of(tmp_path / "part")
    assert changed.sha256 != first.sha256 and changed.bytes == first.bytes
    (tmp_path / "part/1/a.jpg").write_bytes(b"one")
    assert digest_of(tmp_path / "part") == first
    (tmp_path / "part/1/b.jpg").rename(tmp_path / "part/1/c.jpg")
    assert digest_of(tmp_path / "part").sha256 != first.sha256


def test_member_listed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("part/a.jpg", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("part/a.jpg", b"two")
    with pytest.raises(ArchiveError, match="twice"):
        list_members(path, ".jpg")


def test_absurd_size_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "part.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("part/a.jpg", io.BytesIO(bytes(MAX_FRAME_BYTES + 1)).getbuffer())
    with pytest.raises(ArchiveError, match="claims 16,777,217 bytes"):
        list_members(path, ".jpg")


def test_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "part.zip")
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="encrypted"):
        list_members(path, ".jpg")


def test_member_whose_header_lies_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "part.zip")
    data = bytearray(path.read_bytes())
    data[:4] = b"JUNK"
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="is not where"):
        list_members(path, ".jpg")


def write_files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_links_in_the_place_of_frames_or_folders_are_refused_and_counted(tmp_path: Path) -> None:
    part = tmp_path / "part"
    write_files(tmp_path, "part/1/a.jpg", "other/a.jpg")
    (part / "1/b.jpg").symlink_to(tmp_path / "other/a.jpg")
    (part / "1/broken.jpg").symlink_to("gone")
    (part / "2").symlink_to(tmp_path / "other")
    (part / "loop").symlink_to(part)
    with pytest.raises(ArchiveError, match=r"part: 4 files are links, .* \(such as part/2\)"):
        list_members(part, ".jpg")


def test_other_links_do_not_matter(tmp_path: Path) -> None:
    part = tmp_path / "part"
    write_files(tmp_path, "part/1/a.jpg", "other/a.jpg")
    os.link(part / "1/a.jpg", part / "1/hard.jpg")
    os.mkfifo(part / "1/pipe.jpg")
    (part / ".git").symlink_to(tmp_path / "other")
    (part / "1/._a.jpg").symlink_to("gone")
    (part / "notes.txt").symlink_to("gone")
    (part / "itself").symlink_to("itself")
    # The whole part may be elsewhere.
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/part").symlink_to(part)
    store, names = store_of(tmp_path / "raw/part")
    assert names == ["part/1/a.jpg", "part/1/hard.jpg"] and store.read(1) == b"x"


def test_linked_archives_are_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "big.zip")
    (tmp_path / "part.zip").symlink_to(path)
    assert list(list_members(tmp_path / "part.zip", ".jpg")) == list(CONTENT)


HIDDEN = [
    "part/._a.jpg",
    "part/.nfs0001.jpg",
    "part/.ipynb_checkpoints/a.jpg",
    "part/1/.Trash-1000/files/a.jpg",
    "part/.git/a.jpg",
    "part/1/.AppleDouble/a.jpg",
    "part/1/@eaDir/a.jpg",
    "part/#recycle/1/a.jpg",
    "part/#snapshot/a.jpg",
    "part/lost+found/a.jpg",
    "part/__MACOSX/a.jpg",
    "part/$Recycle.Bin/a.jpg",
    "part/System Volume Information/a.jpg",
]
NOT_HIDDEN = ["part/1/a.jpg", "part/1/@.jpg", "part/1@eaDir/a.jpg", "part/__MACOSX.jpg"]


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_what_desktops_and_archivers_leave_behind_is_left_out(tmp_path: Path, form: str) -> None:
    write_files(tmp_path, *HIDDEN, *NOT_HIDDEN)
    (tmp_path / "part/lost+found").chmod(0)  # never entered
    path = tmp_path / "part"
    if form != "folder":
        (tmp_path / "part/lost+found").chmod(0o700)
        path = Path(shutil.make_archive(str(path), form, tmp_path, "./part"))
    assert sorted(list_members(path, ".jpg")) == sorted(NOT_HIDDEN)


def test_official_names_are_never_hidden() -> None:
    assert is_data("bbox_test/00-1/00-1C1T0001F001.jpg")
    assert is_data("i-LIDS-VID/sequences/cam1/person001/cam1_person001_00317.png")
    assert is_data("prid_2011/multi_shot/cam_a/person_0001/0001.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, "part/1/a.jpg", "part/2/a.jpg")
    store, _ = store_of(tmp_path / "part")
    (tmp_path / "part/1/a.jpg").chmod(0)
    with pytest.raises(ArchiveError, match=r"part/1/a\.jpg: Permission denied; make it readable"):
        store.read(0)
    (tmp_path / "part/2").chmod(0)
    with pytest.raises(ArchiveError, match=r"part/2: Permission denied"):
        list_members(tmp_path / "part", ".jpg")


def test_a_file_replaced_by_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part/a.jpg").write_bytes(b"x")
    (tmp_path / "secret.jpg").write_bytes(b"y")
    store, _ = store_of(tmp_path / "part")
    (tmp_path / "part/a.jpg").unlink()
    (tmp_path / "part/a.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(ArchiveError, match=r"a\.jpg: .*run the index stage again"):
        store.read(0)


def test_a_hostile_file_name_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part/a\nb.jpg").write_bytes(b"x")
    with pytest.raises(ArchiveError, match="control character"):
        list_members(tmp_path / "part", ".jpg")
