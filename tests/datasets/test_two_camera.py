import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from conftest import MATRIX, split_matrix

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.datasets.official_files import DatasetError
from cmmanet.datasets.tracklets import Tracklets, Trials
from cmmanet.datasets.two_camera import TwoCamera
from cmmanet.evaluation.ranking import rank
from cmmanet.frames.archive import list_members
from cmmanet.frames.decode import read_frames
from cmmanet.frames.index import IndexSummary, build_index, load_tracklets, open_store

Write = Callable[..., Path]


def two_camera(name: str) -> TwoCamera:
    dataset = DATASETS[name]
    assert isinstance(dataset, TwoCamera)
    return dataset


ILIDS_VID, PRID_2011 = two_camera("ilids-vid"), two_camera("prid2011")

# Four people before both cameras, person 9 before one alone.
SEQUENCES = {(pid, camera): 2 + pid % 3 for pid in (1, 2, 3, 10) for camera in (1, 2)} | {(9, 1): 5}
TESTED = [[1, 2], [2, 3], [3, 10]] + [[1, 10]] * 7
# Of another dataset the split file is a list of names.
PRID_SEQUENCES = {(pid, camera): 27 for pid in (1, 2, 3, 10) for camera in (1, 2)} | {
    (9, 1): 27,
    (9, 2): 26,
}


def prid_splits(tested: list[list[int]]) -> list[dict[str, list[str]]]:
    return [
        {
            "train": [f"person_{pid:04d}" for pid in (10, 3, 2, 1) if pid not in testing],
            "test": [f"person_{pid:04d}" for pid in testing],
        }
        for testing in tested
    ]


def index(data: TwoCamera, root: Path, target: Path) -> IndexSummary:
    members = [list_members(part, data.image_suffix) for part in data.find_parts(root)]
    return build_index(data.read_listing(root, members), members, target)


def people(tracklets: Tracklets, rows: list[int]) -> list[tuple[int, int]]:
    return [(int(tracklets.pid[row]), int(tracklets.camera[row])) for row in rows]


def full(data: TwoCamera) -> Tracklets:
    """The tracklet table of the whole dataset, without its frames."""
    numbers = data.matrix.numbers if data.matrix else range(1, data.identities + 1)
    pid = np.repeat(np.array(numbers, np.int64), 2)
    rows = np.arange(len(pid))
    return Tracklets(rows, pid, rows % 2 + 1, rows, rows + 1, np.array(["both"] * len(pid)))


@pytest.mark.parametrize("extracted", [False, True])
@pytest.mark.parametrize("dataset", ["ilids-vid", "prid2011"])
def test_from_archive_to_ranks(
    write_two_camera: Write, tmp_path: Path, dataset: str, extracted: bool
) -> None:
    data = DATASETS[dataset]
    assert isinstance(data, TwoCamera)
    how: dict[str, Any] = {"sequences": SEQUENCES, "matrix": split_matrix(TESTED)}
    if dataset == "prid2011":
        how = {"sequences": PRID_SEQUENCES, "splits": prid_splits(TESTED)}
    root = write_two_camera(dataset, **how, extracted=extracted)
    summary = index(data, root, tmp_path / "index")
    # Person 9 has too little in one camera: its frames are counted, not lost silently.
    assert summary.missing == () and summary.listed_tracklets == 8
    assert summary.unlisted_members == (5 if dataset == "ilids-vid" else 53)

    tracklets = load_tracklets(tmp_path / "index")
    everyone = [(pid, camera) for pid in (1, 2, 3, 10) for camera in (1, 2)]
    assert people(tracklets, list(range(8))) == everyone
    assert tracklets.length.tolist() == [how["sequences"][place] for place in everyone]
    assert set(tracklets.role) == {"both"}

    trials = data.trials(tracklets, root, count=3)
    assert trials["protocol"] == "two-camera" and trials["trials"] == [0, 1, 2]
    for split, testing in zip(trials["splits"], TESTED, strict=False):
        assert people(tracklets, split["query"]) == [(pid, 1) for pid in testing]
        assert people(tracklets, split["gallery"]) == [(pid, 2) for pid in testing]
        assert people(tracklets, split["train"]) == [p for p in everyone if p[0] not in testing]

    # Each sequence by the mean of its frames: a person's two differ, its frames are its own.
    store = open_store(tmp_path / "index", data.find_parts(root))
    mean = torch.stack(
        [
            torch.from_numpy(np.asarray(read_frames(store, range(first, first + length), 32, 16)))
            .double()
            .mean(dim=(0, 2, 3))
            for first, length in zip(tracklets.first, tracklets.length, strict=True)
        ]
    )
    split = trials["splits"][0]
    pid, camera = torch.tensor(tracklets.pid), torch.tensor(tracklets.camera)
    ranking = rank(
        mean[split["query"]],
        mean[split["gallery"]],
        query_ids=pid[split["query"]],
        gallery_ids=pid[split["gallery"]],
        query_cameras=camera[split["query"]],
        gallery_cameras=camera[split["gallery"]],
    )
    assert ranking.valid.all() and ranking.cmc[1] == 1
    # One right answer, at rank r: step AP is 1/r.
    assert set(ranking.ap_step.tolist()) <= {1.0, 0.5}


def test_frames_are_in_the_order_of_their_numbers(write_two_camera: Write) -> None:
    root = write_two_camera("ilids-vid", {(1, 1): 40, (1, 2): 1}, matrix=split_matrix(TESTED))
    members = [list_members(root / "i-LIDS-VID.tar", ".png")]
    listing = ILIDS_VID.read_listing(root, [list(members[0])[::-1]])
    assert listing.number.tolist() == [*range(7, 7 + 120, 3), 7]
    assert listing.member[0] == "i-LIDS-VID/sequences/cam1/person001/cam1_person001_00007.png"


def test_the_other_half_is_a_parameter(write_two_camera: Write, tmp_path: Path) -> None:
    root = write_two_camera("ilids-vid", SEQUENCES, matrix=split_matrix(TESTED))
    index(ILIDS_VID, root, tmp_path / "index")
    tracklets = load_tracklets(tmp_path / "index")
    first = ILIDS_VID.trials(tracklets, root, count=1, test_half="first")
    last = ILIDS_VID.trials(tracklets, root, count=1, test_half="last")
    assert people(tracklets, first["splits"][0]["query"]) == [(1, 1), (2, 1)]
    assert people(tracklets, last["splits"][0]["query"]) == [(3, 1), (10, 1)]
    assert first["source"] == "train_test_splits_ilidsvid.mat (test half: first)"
    assert last["source"].endswith("(test half: last)")


def test_splits_json_wins_and_takes_no_half(write_two_camera: Write) -> None:
    splits = [{"train": ["person001"], "test": ["person002", "person003"]}]
    root = write_two_camera("ilids-vid", SEQUENCES, matrix=split_matrix(TESTED), splits=splits)
    trials = ILIDS_VID.trials(full(ILIDS_VID), root, count=1)
    assert re.fullmatch(r"splits\.json \(sha256 [0-9a-f]{8}\)", trials["source"])
    assert len(trials["splits"][0]["query"]) == 2
    with pytest.raises(DatasetError, match=r"splits\.json: names its test identities itself"):
        ILIDS_VID.trials(full(ILIDS_VID), root, count=1, test_half="last")


@pytest.mark.parametrize("data", [ILIDS_VID, PRID_2011])
def test_every_missing_file_is_named_in_one_line(data: TwoCamera, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        data.find_parts(tmp_path)
    message = str(raised.value)
    assert data.archive in message and f"{data.folder}/" in message and "splits.json" in message
    assert str(tmp_path) in message and "\n" not in message
    if data is ILIDS_VID:
        assert "https://xiatian-zhu.github.io/" in message and MATRIX in message


def test_missing_split_file_alone_is_named(write_two_camera: Write) -> None:
    root = write_two_camera("ilids-vid", {(1, 1): 1, (1, 2): 1}, extracted=True)
    with pytest.raises(DatasetError, match=r"missing train-test people splits/.*mat or splits"):
        ILIDS_VID.find_parts(root)
    root = write_two_camera("prid2011", {(1, 1): 1}, folder="prid")
    with pytest.raises(DatasetError, match=r"missing splits\.json\. Put it into .*/prid: "):
        PRID_2011.find_parts(root)
    # The archive of iLIDS-VID should have it; one that does not is named.
    root = write_two_camera("ilids-vid", {(1, 1): 1, (1, 2): 1}, folder="tar")
    with pytest.raises(DatasetError, match=r"tar: has no train_test_splits_ilidsvid\.mat"):
        ILIDS_VID.trials(full(ILIDS_VID), root, count=1)


def test_counts_of_a_part_and_of_the_whole(write_two_camera: Write) -> None:
    root = write_two_camera("ilids-vid", SEQUENCES, matrix=split_matrix(TESTED))
    listing = ILIDS_VID.read_listing(root, [list_members(root / "i-LIDS-VID.tar", ".png")])
    assert ILIDS_VID.counts(root, listing) == {"people": 4, "sequences": 8, "splits": 10}
    assert ILIDS_VID.official_counts == {"people": 300, "sequences": 600, "splits": 10}
    assert ILIDS_VID.matrix is not None
    names = [
        f"i-LIDS-VID/sequences/cam{c}/person{pid:03d}/cam{c}_person{pid:03d}_00001.png"
        for pid in ILIDS_VID.matrix.numbers
        for c in (1, 2)
    ]
    assert ILIDS_VID.counts(root, ILIDS_VID.read_listing(root, [names])) == (
        ILIDS_VID.official_counts
    )
    # Splits of other sizes are another, easier task.
    (root / "splits.json").write_text(json.dumps([{"train": ["person001"], "test": ["person002"]}]))
    assert ILIDS_VID.counts(root, listing)["splits"] == 0


def names_that_are_no_frames() -> list[str]:
    return [
        "i-LIDS-VID/sequences/cam1/person001/cam2_person001_00001.png",
        "i-LIDS-VID/sequences/cam1/person001/cam1_person002_00001.png",
        "i-LIDS-VID/sequences/cam1/person001/._cam1_person001_00001.png",
        f"i-LIDS-VID/sequences/cam1/person001/cam1_person001_{'9' * 30}.png",
        "i-LIDS-VID/sequences/cam3/person001/cam3_person001_00001.png",
        "i-LIDS-VID/images/cam1/person001/cam1_person001_00001.png",
        "../i-LIDS-VID/sequences/cam1/person001/cam1_person001_00001.png",
    ]


def test_other_images_are_no_frames(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no identity with 1 or more .* named like i-LIDS-VID/"):
        ILIDS_VID.read_listing(tmp_path, [names_that_are_no_frames()])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("{}", "expected a list of"),
        ("[]", "expected a list of"),
        ("[1]", "split 0: has no list 'train'"),
        ('[{"train": ["person001"], "test": []}]', "split 0: has no list 'test'"),
        ('[{"train": ["person001"], "test": ["p2"]}]', "split 0: 'p2' is not a person's name"),
        ('[{"train": ["person001"], "test": [2]}]', "split 0: 2 is not a person's name"),
        ('[{"train": ["person001"], "test": ["person001"]}]', "person 1 is listed twice"),
        ('[{"train": ["person001"], "test": ["person320"]}]', "person 320 is not one of the 300"),
    ],
)
def test_split_lists_that_do_not_fit(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        ILIDS_VID.trials(full(ILIDS_VID), tmp_path, count=1)
    assert "\n" not in str(raised.value)


def changed(row: int, column: int, value: int) -> np.ndarray:
    table = np.tile(np.arange(1, 301), (10, 1))
    table[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.tile(np.arange(1, 301), (9, 1)), r"10×300 matrix, got \(9, 300\)"),
        (changed(3, 7, 301), r"split 3: index 301 is not in 1–300"),
        (changed(0, 0, 0), r"split 0: index 0 is not"),
        (changed(2, 299, 1), r"split 2: person 1 is listed twice: the halves must not overlap"),
    ],
)
def test_split_matrices_that_do_not_fit(tmp_path: Path, table: np.ndarray, message: str) -> None:
    scipy.io.savemat(tmp_path / Path(MATRIX).name, {"ls_set": table})
    with pytest.raises(DatasetError, match=message):
        ILIDS_VID.trials(full(ILIDS_VID), tmp_path, count=1)


def test_damaged_split_matrix(tmp_path: Path) -> None:
    file = tmp_path / Path(MATRIX).name
    file.write_bytes(split_matrix(TESTED)[:300])
    with pytest.raises(DatasetError, match=r"not a whole \.mat file"):
        ILIDS_VID.trials(full(ILIDS_VID), tmp_path, count=1)
    scipy.io.savemat(file, {"x": np.zeros((10, 300))})
    with pytest.raises(DatasetError, match="has no matrix ls_set"):
        ILIDS_VID.trials(full(ILIDS_VID), tmp_path, count=1)


def test_more_trials_than_splits(tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text('[{"train": ["person001"], "test": ["person002"]}]')
    with pytest.raises(DatasetError, match="2 trials, but only 1 splits; lower"):
        ILIDS_VID.trials(full(ILIDS_VID), tmp_path, count=2)


@pytest.mark.parametrize(("half", "others"), [("train", "test"), ("test", "train")])
def test_a_part_with_nobody_left_in_a_half(
    write_two_camera: Write, tmp_path: Path, half: str, others: str
) -> None:
    splits = [{half: ["person298"], others: ["person001"]}]
    root = write_two_camera("ilids-vid", SEQUENCES, splits=splits)
    index(ILIDS_VID, root, tmp_path / "index")
    words = "training" if half == "train" else "test"
    with pytest.raises(DatasetError, match=f"split 0: none of its 1 {words} identities is here"):
        ILIDS_VID.trials(load_tracklets(tmp_path / "index"), root, count=1)


@pytest.mark.parametrize(
    ("data", "folder", "half"), [(ILIDS_VID, "ilids_vid", 150), (PRID_2011, "prid2011", 89)]
)
def test_official_splits(shared: Path, data: TwoCamera, folder: str, half: int) -> None:
    root = shared / folder
    content = json.loads((root / "splits.json").read_text())
    numbers = sorted(
        int(name.removeprefix("person").removeprefix("_"))
        for part in ("train", "test")
        for name in content[0][part]
    )
    if data.matrix is not None:
        assert numbers == list(data.matrix.numbers)
    pid = np.repeat(numbers, 2)
    rows = np.arange(len(pid))
    tracklets = Tracklets(rows, pid, rows % 2 + 1, rows, rows, np.array(["both"] * len(pid)))
    trials: Trials = data.trials(tracklets, root, count=10)
    assert len(trials["splits"]) == 10
    for split in trials["splits"]:
        assert len(split["query"]) == len(split["gallery"]) == half
        assert len(split["train"]) == 2 * half
        test = {pid[row] for row in split["query"]}
        assert test == {pid[row] for row in split["gallery"]}
        assert not test & {pid[row] for row in split["train"]}


def test_official_list_and_matrix_give_the_same_splits(shared: Path, tmp_path: Path) -> None:
    # The list as public loaders ship it, written as the matrix that it was made from: the test
    # half in the first 150 columns.
    assert ILIDS_VID.matrix is not None
    place = {number: i for i, number in enumerate(ILIDS_VID.matrix.numbers, start=1)}
    content = json.loads((shared / "ilids_vid/splits.json").read_text())
    table = [
        [place[int(name[6:])] for half in ("test", "train") for name in split[half]]
        for split in content
    ]
    scipy.io.savemat(tmp_path / Path(MATRIX).name, {"ls_set": np.array(table)})
    tracklets = full(ILIDS_VID)
    from_matrix = ILIDS_VID.trials(tracklets, tmp_path, count=10)
    from_list = ILIDS_VID.trials(tracklets, shared / "ilids_vid", count=10)
    assert from_matrix["splits"] == from_list["splits"]
