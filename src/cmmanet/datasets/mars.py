"""Datasets in MARS's layout: two archives of frames, and five files that list them.

Source: Zheng et al., "MARS: A Video Benchmark for Large-Scale Person Re-Identification",
ECCV 2016, and the `info/` folder of the MARS-evaluation repository. The synthetic dataset is
written in the same layout and read by the same code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cmmanet.datasets.official_files import DatasetError, read_matrix
from cmmanet.datasets.tracklets import GALLERY, QUERY, TRAIN, Listing, Split, Tracklets, Trials

INFO_FILES = (
    "train_name.txt",
    "test_name.txt",
    "tracks_train_info.mat",
    "tracks_test_info.mat",
    "query_IDX.mat",
)

# 0001C1T0001F001.jpg: pid, camera, tracklet counted per pid, frame. Junk has pid 00-1.
_NAME = re.compile(r"(00-1|\d{4})C(\d)T(\d{4})F(\d{3,4})\.jpg")


@dataclass(frozen=True)
class MarsLayout:
    """One dataset of this family; its protocol has one fixed split."""

    title: str
    source: str
    """Where to get the archives and info/, for messages."""
    official_counts: Mapping[str, int] | None
    """What `counts` returns for the whole dataset; None for one that is rendered here."""
    note: str = ""
    """A sentence about it for the report."""
    train: str = "bbox_train"
    """Name of the training archive, without .zip, and of the folder in it."""
    test: str = "bbox_test"
    unconfirmed_md5: Mapping[str, str] = field(default_factory=dict)
    """By archive; from a single source, so another hash is a warning and not an error."""
    image_suffix: str = ".jpg"

    @property
    def official_frames(self) -> int | None:
        """Number of frames of the whole dataset; None for one that is rendered here."""
        counts = self.official_counts
        return counts["train_frames"] + counts["test_frames"] if counts else None

    @property
    def mirror_files(self) -> tuple[str, ...]:
        """Files that a mirror has; an archive is not needed if its folder is in place."""
        info = (f"info/{name}" for name in INFO_FILES)
        return (*info, f"{self.train}.zip", f"{self.test}.zip")

    def info_files(self, folder: Path) -> list[Path]:
        """Return the five official files that list tracklets, frames and queries."""
        return [folder / "info" / name for name in INFO_FILES]

    def find_parts(self, folder: Path) -> list[Path]:
        """Return the two parts of the dataset in `folder`, each a zip or an extracted folder.

        Raises:
            DatasetError: names every missing file, its place and where to get it.
        """
        parts: list[Path] = []
        missing = [f"info/{file.name}" for file in self.info_files(folder) if not file.is_file()]
        for part in (self.train, self.test):
            if (folder / f"{part}.zip").is_file():
                parts.append(folder / f"{part}.zip")
            elif (folder / part).is_dir():
                parts.append(folder / part)
            else:
                missing.append(f"{part}.zip (or the extracted folder {part}/)")
        if missing:
            raise DatasetError(
                f"{self.title} is incomplete in {folder}: missing {', '.join(missing)}. Put them "
                f"there: {self.source}"
            )
        return parts

    def read_listing(self, folder: Path, members: Sequence[Iterable[str]] = ()) -> Listing:
        """Read what the five files of `folder`/info list: training tracklets, then test ones.

        `members` are not used: a listed frame that is not among them is missing.

        Raises:
            DatasetError: if a file is damaged or two of them contradict each other.
        """
        info = folder / "info"
        train = _tracklets(info / "tracks_train_info.mat", "track_train_info")
        test = _tracklets(info / "tracks_test_info.mat", "track_test_info")
        query = _matrix(info / "query_IDX.mat", "query_IDX").ravel() - 1
        if query.size == 0 or query.min() < 0 or query.max() >= len(test):
            raise DatasetError(
                f"{info}/query_IDX.mat: rows outside the {len(test):,} test tracklets"
            )
        if len(np.unique(query)) != len(query):
            raise DatasetError(f"{info}/query_IDX.mat: a tracklet is a query twice")
        if (test[query, 2] < 1).any():
            raise DatasetError(f"{info}/query_IDX.mat: a query is junk or a distractor")
        member = _frames(info / "train_name.txt", train, self.train)
        member += _frames(info / "test_name.txt", test, self.test)

        role = np.array([TRAIN] * len(train) + [GALLERY] * len(test))
        role[len(train) + query] = QUERY
        table = np.concatenate([train, test])
        length = table[:, 1] - table[:, 0] + 1
        return Listing(
            member=member,
            number=np.array([int(name[name.rindex("F") + 1 : -4]) for name in member], np.int32),
            first=np.cumsum(length) - length,
            length=length,
            pid=table[:, 2],
            camera=table[:, 3],
            role=role,
        )

    def counts(self, folder: Path, listing: Listing) -> dict[str, int]:
        """Count what `official_counts` gives for the whole dataset."""
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
        self, tracklets: Tracklets, folder: Path, *, count: int, test_half: str | None = None
    ) -> Trials:
        """Return the official split for all trials, which differ in their training seed only.

        The gallery is every test tracklet, queries included: `rank` drops junk and a query's
        own camera itself. Without the queries, 140 of MARS's would have no true match.

        Raises:
            DatasetError: if there is no training tracklet or no query.
        """
        train = np.flatnonzero(tracklets.role == TRAIN).tolist()
        query = np.flatnonzero(tracklets.role == QUERY).tolist()
        for name, rows in (("train", train), ("query", query)):
            if not rows:
                raise DatasetError(f"no {name} tracklet has a frame: are both archives in place?")
        gallery = np.flatnonzero(tracklets.role != TRAIN).tolist()
        return Trials(
            protocol="mars",
            source="the info files",
            splits=[Split(train=train, query=query, gallery=gallery)],
            trials=[0] * count,
        )


def _matrix(path: Path, key: str) -> npt.NDArray[np.int64]:
    try:
        return read_matrix(str(path), path.read_bytes(), key)
    except FileNotFoundError:
        raise DatasetError(f"{path}: not found") from None


def _tracklets(path: Path, key: str) -> npt.NDArray[np.int64]:
    table = _matrix(path, key)
    if table.ndim != 2 or table.shape[1] != 4 or len(table) == 0:
        raise DatasetError(f"{path}: expected rows of 4 numbers, got an array {table.shape}")
    if (table[:, 1] < table[:, 0]).any() or table[0, 0] != 1:
        raise DatasetError(f"{path}: a tracklet's last line is before its first")
    if (table[1:, 0] != table[:-1, 1] + 1).any():
        raise DatasetError(f"{path}: tracklets do not follow one another in the list of names")
    return table


def _frames(path: Path, table: npt.NDArray[np.int64], part: str) -> list[str]:
    """Return the member names of a list's frames, each name checked: they become paths."""
    try:
        names = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not a readable list of names ({error})") from None
    if len(names) != table[-1, 1]:
        raise DatasetError(
            f"{path}: {len(names):,} names, but the tracklets end at line {table[-1, 1]:,}"
        )
    members: list[str] = []
    for first, last, pid, camera in table:
        folder = "00-1" if pid == -1 else f"{pid:04d}"
        for line in range(first - 1, last):
            match = _NAME.fullmatch(names[line])
            if match is None or match[1] != folder or int(match[2]) != camera:
                raise DatasetError(
                    f"{path}, line {line + 1}: {names[line]!r} is not a frame of pid {pid}, "
                    f"camera {camera}"
                )
            members.append(f"{part}/{folder}/{names[line]}")
    return members
