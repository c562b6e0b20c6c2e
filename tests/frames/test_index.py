import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.frames.archive import ArchiveError, list_members
from cmmanet.frames.decode import DecodeError, read_frames
from cmmanet.frames.index import IndexSummary, build_index, load_tracklets, open_store

MARS = DATASETS["mars"]


def index(root: Path, target: Path) -> IndexSummary:
    parts = MARS.find_parts(root)
    members = [list_members(part, ".jpg") for part in parts]
    return build_index(MARS.read_listing(root), members, target)


def frames_of(root: Path, target: Path) -> np.ndarray:
    store = open_store(target, MARS.find_parts(root))
    return read_frames(store, range(len(store)), 32, 16)


def test_zip_deflated_zip_and_folder_give_identical_frames(
    write_mars: Callable[..., Path], tmp_path: Path
) -> None:
    kinds = {
        "stored": {},
        "deflated": {"compression": zipfile.ZIP_DEFLATED},
        "folder": {"as_zip": False},
    }
    read = {}
    for kind, how in kinds.items():
        root = write_mars(folder=kind, **how)
        summary = index(root, tmp_path / "index" / kind)
        assert summary.found_frames == summary.listed_frames == 27
        assert summary.unlisted_members == 0 and summary.missing == ()
        read[kind] = frames_of(root, tmp_path / "index" / kind)
    np.testing.assert_array_equal(read["stored"], read["deflated"])
    np.testing.assert_array_equal(read["stored"], read["folder"])
    tracklets = load_tracklets(tmp_path / "index/stored")
    # Every frame of the fixture has a colour of its own, so tracklets cannot have mixed.
    with zipfile.ZipFile(tmp_path / "stored/bbox_test.zip") as archive:
        name = "bbox_test/0002/0002C3T0004F003.jpg"
        (tmp_path / "one.jpg").write_bytes(archive.read(name))
    row = int(tracklets.first[7]) + 1
    assert (tracklets.pid[7], tracklets.camera[7], tracklets.length[7]) == (2, 3, 2)
    store = open_store(tmp_path / "index/stored", MARS.find_parts(tmp_path / "stored"))
    assert store.read(row) == (tmp_path / "one.jpg").read_bytes()
    assert store.describe(row).startswith(name)


def test_tars_give_the_frames_that_zips_give(
    write_mars: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_mars(as_zip=False)
    parts = MARS.find_parts(root)
    tars = [part.with_suffix(".tar") for part in parts]
    for part, path in zip(parts, tars, strict=True):
        with tarfile.open(path, "w") as archive:
            archive.add(part, part.name)
    index(root, tmp_path / "folder")
    members = [list_members(path, ".jpg") for path in tars]
    build_index(MARS.read_listing(root), members, tmp_path / "tar")
    store = open_store(tmp_path / "tar", tars)
    np.testing.assert_array_equal(
        read_frames(store, range(len(store)), 32, 16), frames_of(root, tmp_path / "folder")
    )


def test_a_frame_in_two_archives_is_refused(
    write_mars: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_mars()
    members = [list_members(part, ".jpg") for part in MARS.find_parts(root)]
    with pytest.raises(ArchiveError, match=r"\.jpg is in two archives"):
        build_index(MARS.read_listing(root), [*members, members[0]], tmp_path)


def test_tracklet_table_follows_the_official_order(
    write_mars: Callable[..., Path], tmp_path: Path
) -> None:
    index(write_mars(), tmp_path)
    tracklets = load_tracklets(tmp_path)
    assert tracklets.pid.tolist() == [1, 1, 3, 3, -1, 0, 2, 2, 4, 4]
    assert tracklets.length.tolist() == [3, 5, 1, 2, 2, 3, 4, 2, 2, 3]
    assert tracklets.first.tolist() == [0, 3, 8, 9, 11, 13, 16, 20, 22, 24]
    assert tracklets.role.tolist() == ["train"] * 4 + ["gallery"] * 2 + ["query"] * 4


def test_missing_frames_are_left_out_and_named(
    write_mars: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_mars(as_zip=False)
    gone = sorted((root / "bbox_train/0001").glob("0001C1*"))
    for file in gone:
        file.unlink()
    another = root / "bbox_train/0003/0003C4T0004F002.jpg"
    another.unlink()
    (root / "bbox_train/0003/extra.jpg").write_bytes(b"not listed")
    summary = index(root, tmp_path)
    assert (summary.listed_frames, summary.found_frames) == (27, 23)
    assert (summary.listed_tracklets, summary.found_tracklets) == (10, 9)
    lost = [file.relative_to(root).as_posix() for file in (*gone, another)]
    assert summary.missing == tuple(lost), "every one, in the official order"
    assert summary.unlisted_examples == ("bbox_train/0003/extra.jpg",)
    tracklets = load_tracklets(tmp_path)
    assert tracklets.pid.tolist()[:3] == [1, 3, 3]
    assert tracklets.length.tolist()[:3] == [5, 1, 1]
    assert len(frames_of(root, tmp_path)) == 23


def test_lists_of_another_dataset_are_refused(
    write_mars: Callable[..., Path], tmp_path: Path
) -> None:
    listing = MARS.read_listing(write_mars())
    with pytest.raises(ValueError, match="do not belong together"):
        build_index(listing, [list_members(tmp_path, ".jpg")], tmp_path)


def test_undecodable_frame_is_named_with_its_archive(
    write_mars: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_mars(as_zip=False)
    (root / "bbox_test/0002/0002C1T0003F004.jpg").write_bytes(b"\xff\xd8 no picture")
    index(root, tmp_path)
    with pytest.raises(DecodeError, match=r"bbox_test/0002/0002C1T0003F004\.jpg in .*bbox_test"):
        frames_of(root, tmp_path)


def test_repeated_rows_are_equal(write_mars: Callable[..., Path], tmp_path: Path) -> None:
    root = write_mars()
    index(root, tmp_path)
    store = open_store(tmp_path, MARS.find_parts(root))
    pixels = read_frames(store, [5, 3, 5, 5], 32, 16)
    np.testing.assert_array_equal(pixels[0], pixels[2])
    np.testing.assert_array_equal(pixels[0], pixels[3])
    assert not np.array_equal(pixels[0], pixels[1])
