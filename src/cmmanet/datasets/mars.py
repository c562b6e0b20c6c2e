"""MARS: its official files, their layout and its protocol.

Source: Zheng et al., "MARS: A Video Benchmark for Large-Scale Person Re-Identification",
ECCV 2016, and the `info/` folder of the MARS-evaluation repository. The synthetic
benchmark is written in the same format and read by the same code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.io

from cmmanet.datasets.tracklets import GALLERY, QUERY, TRAIN, Listing, Split, Tracklets, Trials

PARTS = ("bbox_train", "bbox_test")
INFO_FILES = (
    "train_name.txt",
    "test_name.txt",
    "tracks_train_info.mat",
    "tracks_test_info.mat",
    "query_IDX.mat",
)
IMAGE_SUFFIX = ".jpg"
MIRROR_FILES = (*(f"info/{name}" for name in INFO_FILES), *(f"{part}.zip" for part in PARTS))

PAGE = "http://www.liangzheng.com.cn/Project/project_mars.html"
INFO_REPOSITORY = "https://github.com/liangzheng06/MARS-evaluation"

# Counts of the official files: the archives have no published checksum.
OFFICIAL_COUNTS = {
    "train_tracklets": 8_298,
    "train_frames": 509_914,
    "train_identities": 625,
    "test_tracklets": 12_180,
    "test_frames": 681_089,
    "queries": 1_980,
}
OFFICIAL_FRAMES: int | None = 1_191_003
UNCONFIRMED_MD5: Mapping[str, str] = {}

# 0001C1T0001F001.jpg: pid, camera, tracklet counted per pid, frame. Junk has pid 00-1.
_NAME = re.compile(r"(00-1|\d{4})C(\d)T(\d{4})F(\d{3,4})\.jpg")


class MarsError(ValueError):
    """MARS files that are missing or contradict each other."""


def info_files(folder: Path) -> list[Path]:
    """The five official files that list tracklets, frames and queries."""
    return [folder / "info" / name for name in INFO_FILES]


def find_parts(folder: Path) -> list[Path]:
    """The two parts of the dataset in `folder`, each a zip or an extracted folder.

    Raises:
        MarsError: names every missing file, its place and where to get it.
    """
    parts: list[Path] = []
    missing = [f"info/{file.name}" for file in info_files(folder) if not file.is_file()]
    for part in PARTS:
        if (folder / f"{part}.zip").is_file():
            parts.append(folder / f"{part}.zip")
        elif (folder / part).is_dir():
            parts.append(folder / part)
        else:
            missing.append(f"{part}.zip (or the extracted folder {part}/)")
    if missing:
        raise MarsError(
            f"MARS is not whole in {folder}: missing {', '.join(missing)}. Put them there: the "
            f"two archives from {PAGE} (its Google Drive link), info/ from {INFO_REPOSITORY}"
        )
    return parts


def read_listing(folder: Path, members: Sequence[Iterable[str]] = ()) -> Listing:
    """Read what the five files of `folder`/info list: training tracklets, then test ones.

    `members` are not looked at: what the files list and the archives lack is missing.

    Raises:
        MarsError: if a file is damaged or two of them contradict each other.
    """
    info = folder / "info"
    train = _tracklets(info / "tracks_train_info.mat", "track_train_info")
    test = _tracklets(info / "tracks_test_info.mat", "track_test_info")
    query = _matrix(info / "query_IDX.mat", "query_IDX").ravel() - 1
    if query.size == 0 or query.min() < 0 or query.max() >= len(test):
        raise MarsError(f"{info}/query_IDX.mat: rows outside the {len(test):,} test tracklets")
    if len(np.unique(query)) != len(query):
        raise MarsError(f"{info}/query_IDX.mat: a tracklet is a query twice")
    if (test[query, 2] < 1).any():
        raise MarsError(f"{info}/query_IDX.mat: a query is junk or a distractor")
    train_names = _frames(info / "train_name.txt", train, "bbox_train")
    test_names = _frames(info / "test_name.txt", test, "bbox_test")

    role = np.array([TRAIN] * len(train) + [GALLERY] * len(test))
    role[len(train) + query] = QUERY
    table = np.concatenate([train, test])
    length = table[:, 1] - table[:, 0] + 1
    member = train_names + test_names
    return Listing(
        member=member,
        number=np.array([int(name[name.rindex("F") + 1 : -4]) for name in member], np.int32),
        first=np.cumsum(length) - length,
        length=length,
        pid=table[:, 2],
        camera=table[:, 3],
        role=role,
    )


def counts(folder: Path, listing: Listing) -> dict[str, int]:
    """The counts that `OFFICIAL_COUNTS` gives for the whole of MARS."""
    train = listing.role == TRAIN
    return {
        "train_tracklets": int(train.sum()),
        "train_frames": int(listing.length[train].sum()),
        "train_identities": len(np.unique(listing.pid[train])),
        "test_tracklets": int((~train).sum()),
        "test_frames": int(listing.length[~train].sum()),
        "queries": int((listing.role == QUERY).sum()),
    }


def trials(
    tracklets: Tracklets, folder: Path, *, count: int, test_half: str | None = None
) -> Trials:
    """The one official split for all trials, which differ in their training seed alone.

    Raises:
        MarsError: if there is no training tracklet or no query.
    """
    return Trials(
        protocol="mars",
        source="the info files",
        splits=[split(tracklets)],
        trials=[0] * count,
    )


def split(tracklets: Tracklets) -> Split:
    """The official split as tracklet rows.

    The gallery is every test tracklet, queries included: `rank` drops junk and a query's
    own camera itself. Taking the queries out would leave 140 of them without an answer.

    Raises:
        MarsError: if there is no training tracklet or no query.
    """
    train = np.flatnonzero(tracklets.role == TRAIN).tolist()
    query = np.flatnonzero(tracklets.role == QUERY).tolist()
    for name, rows in (("train", train), ("query", query)):
        if not rows:
            raise MarsError(f"no {name} tracklet has a frame: are both archives in place?")
    gallery = np.flatnonzero(tracklets.role != TRAIN).tolist()
    return Split(train=train, query=query, gallery=gallery)


def _matrix(path: Path, key: str) -> npt.NDArray[np.int64]:
    try:
        return np.asarray(scipy.io.loadmat(path)[key]).astype(np.int64)
    except FileNotFoundError:
        raise MarsError(f"{path}: not found") from None
    except KeyError:
        raise MarsError(f"{path}: holds no matrix {key}") from None
    except Exception as error:  # scipy and zlib fail on damage in a dozen ways
        raise MarsError(f"{path}: not a whole .mat file ({error})") from None


def _tracklets(path: Path, key: str) -> npt.NDArray[np.int64]:
    table = _matrix(path, key)
    if table.ndim != 2 or table.shape[1] != 4 or len(table) == 0:
        raise MarsError(f"{path}: expected rows of 4 numbers, found an array {table.shape}")
    if (table[:, 1] < table[:, 0]).any() or table[0, 0] != 1:
        raise MarsError(f"{path}: a tracklet's last line stands before its first")
    if (table[1:, 0] != table[:-1, 1] + 1).any():
        raise MarsError(f"{path}: tracklets do not follow one another in the list of names")
    return table


def _frames(path: Path, table: npt.NDArray[np.int64], part: str) -> list[str]:
    """Member names of a list's frames, each name checked: they become paths."""
    try:
        names = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise MarsError(f"{path}: not a readable list of names ({error})") from None
    if len(names) != table[-1, 1]:
        raise MarsError(
            f"{path}: {len(names):,} names, but the tracklets end at line {table[-1, 1]:,}"
        )
    members: list[str] = []
    for first, last, pid, camera in table:
        folder = "00-1" if pid == -1 else f"{pid:04d}"
        for line in range(first - 1, last):
            match = _NAME.fullmatch(names[line])
            if match is None or match[1] != folder or int(match[2]) != camera:
                raise MarsError(
                    f"{path}, line {line + 1}: {names[line]!r} is not a frame of pid {pid}, "
                    f"camera {camera}"
                )
            members.append(f"{part}/{folder}/{names[line]}")
    return members
