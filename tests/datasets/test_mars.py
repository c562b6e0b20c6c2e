import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.datasets.mars import INFO_FILES
from cmmanet.datasets.official_files import DatasetError
from cmmanet.datasets.tracklets import Tracklets

Write = Callable[..., Path]
MARS = DATASETS["mars"]


def test_every_missing_file_is_named_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "bbox_train").mkdir()
    with pytest.raises(DatasetError) as raised:
        MARS.find_parts(tmp_path)
    message = str(raised.value)
    assert "bbox_test.zip" in message and "info/query_IDX.mat" in message
    assert "project_mars.html" in message and "bbox_train.zip" not in message


def test_listing_has_the_official_order_and_roles(write_mars: Write, tmp_path: Path) -> None:
    listing = MARS.read_listing(write_mars())
    assert listing.member[0] == "bbox_train/0001/0001C1T0001F002.jpg"
    assert listing.member[11] == "bbox_test/00-1/00-1C1T0001F002.jpg"
    assert listing.number[:3].tolist() == [2, 3, 4]
    assert MARS.counts(tmp_path, listing) == {
        "train_tracklets": 4,
        "train_frames": 11,
        "train_identities": 2,
        "test_tracklets": 6,
        "test_frames": 16,
        "queries": 4,
    }


def test_gallery_holds_queries_junk_and_distractors(tmp_path: Path) -> None:
    role = np.array(["train", "train", "gallery", "gallery", "query"])
    rows = np.arange(5)
    tracklets = Tracklets(rows, np.array([1, 1, -1, 0, 2]), rows, rows, rows, role)
    trials = MARS.trials(tracklets, tmp_path, count=3, test_half=None)
    assert trials["trials"] == [0, 0, 0]
    assert trials["splits"] == [{"train": [0, 1], "query": [4], "gallery": [2, 3, 4]}]


def test_split_without_queries_is_refused(tmp_path: Path) -> None:
    rows = np.arange(1)
    tracklets = Tracklets(rows, rows, rows, rows, rows, np.array(["train"]))
    with pytest.raises(DatasetError, match="no query"):
        MARS.trials(tracklets, tmp_path, count=1, test_half=None)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "0001C1T0001F001.jpg/../x", "0003C1T0001F001.jpg", "0001C2T0001F001.jpg"],
)
def test_names_that_are_no_frames_of_their_tracklet_are_refused(
    write_mars: Write, name: str
) -> None:
    root = write_mars()
    lines = (root / "info/train_name.txt").read_text().split()
    lines[1] = name
    (root / "info/train_name.txt").write_text("\r\n".join(lines))
    with pytest.raises(DatasetError, match=r"line 2: .* is not a frame of pid 1, camera 1"):
        MARS.read_listing(root)


def test_list_shorter_than_the_table_is_refused(write_mars: Write) -> None:
    root = write_mars()
    lines = (root / "info/test_name.txt").read_text().split()
    (root / "info/test_name.txt").write_text("\n".join(lines[:-1]))
    with pytest.raises(DatasetError, match="15 names, but the tracklets end at line 16"):
        MARS.read_listing(root)


@pytest.mark.parametrize("rows", [[[0]], [[7]], [[3, 3]], [[1]], [[2]]])
def test_bad_query_rows_are_refused(write_mars: Write, rows: list[list[int]]) -> None:
    root = write_mars()
    scipy.io.savemat(root / "info/query_IDX.mat", {"query_IDX": np.array(rows)})
    with pytest.raises(DatasetError, match=r"query_IDX\.mat"):
        MARS.read_listing(root)


def test_truncated_mat_file_is_refused(write_mars: Write) -> None:
    root = write_mars()
    file = root / "info/tracks_test_info.mat"
    file.write_bytes(file.read_bytes()[:150])
    with pytest.raises(DatasetError, match=r"not a whole \.mat file"):
        MARS.read_listing(root)


@pytest.mark.slow
def test_mat_file_with_another_matrix_is_refused(write_mars: Write) -> None:
    root = write_mars()
    scipy.io.savemat(root / "info/tracks_test_info.mat", {"x": np.zeros((1, 4))})
    with pytest.raises(DatasetError, match="has no matrix track_test_info"):
        MARS.read_listing(root)


def test_official_metadata_at_full_size(shared: Path, tmp_path: Path) -> None:
    info = tmp_path / "info"
    info.mkdir()
    for name in INFO_FILES:
        source = shared / "mars_info" / name
        if source.is_file():
            (info / name).write_bytes(source.read_bytes())
        else:
            (info / name).write_bytes(lzma.decompress(Path(f"{source}.xz").read_bytes()))
    listing = MARS.read_listing(tmp_path)
    assert MARS.counts(tmp_path, listing) == MARS.official_counts
    assert len(listing.member) == 1_191_003
    test = listing.role != "train"
    assert (listing.pid[test] == -1).sum() == 870
    assert (listing.pid[test] == 0).sum() == 3_248
    assert listing.length.max() == 920 and listing.length.min() == 2


def test_real_sample(shared: Path) -> None:
    folder = shared / "real_sample" / "mars"
    assert [part.name for part in MARS.find_parts(folder)] == ["bbox_train.zip", "bbox_test.zip"]
    assert len(MARS.read_listing(folder).member) == 1_340
