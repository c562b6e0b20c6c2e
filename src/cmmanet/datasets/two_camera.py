"""iLIDS-VID and PRID-2011: their official files, their layout and the two-camera protocol.

Sources: Wang et al., "Person Re-Identification by Video Ranking", ECCV 2014 (iLIDS-VID and
the protocol); Hirzer et al., "Person Re-Identification by Descriptive and Discriminative
Classification", SCIA 2011 (PRID-2011). Each person walks past two cameras: query camera 1,
gallery camera 2, one right answer each. Half the people train, the other half test, by ten
random splits that the numbers are averaged over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cmmanet.datasets.split_files import (
    SPLITS,
    SPLITS_JSON,
    People,
    SplitMatrix,
    json_splits,
    matrix_splits,
    read_in_tar,
)
from cmmanet.datasets.tracklets import BOTH, Listing, Split, Tracklets, Trials


class TwoCameraError(ValueError):
    """Files of a two-camera dataset that are missing or contradict each other."""


@dataclass(frozen=True)
class TwoCamera:
    """One dataset of this family."""

    title: str
    part: str
    """Name of the folder that the archive holds."""
    archive: str
    member: re.Pattern[str]
    """A frame's name, with the groups camera, person and frame."""
    example: str
    cameras: tuple[str, str]
    """What stands in a frame's name for camera 1 and camera 2."""
    person: re.Pattern[str]
    """A person's name in a splits JSON, with its number as the only group."""
    people: int
    """How many people have enough frames in both cameras; half of them train."""
    min_frames: int
    """Of a sequence: people with a shorter one take no part."""
    archive_source: str
    splits_source: str
    matrix: SplitMatrix | None = None
    UNCONFIRMED_MD5: Mapping[str, str] = field(default_factory=dict)
    """By archive; from one source, so that another hash is a warning."""
    IMAGE_SUFFIX: str = ".png"
    OFFICIAL_FRAMES: int | None = None
    """Nobody published it, and frame numbers have gaps: a lost frame cannot be noticed."""

    @property
    def OFFICIAL_COUNTS(self) -> dict[str, int]:
        """The counts of the whole dataset; `splits` are those with halves of the official size."""
        return {"people": self.people, "sequences": 2 * self.people, "splits": SPLITS}

    @property
    def MIRROR_FILES(self) -> tuple[str, ...]:
        """The archive, and the splits unless they lie inside it."""
        return (self.archive,) if self.matrix is not None else (self.archive, SPLITS_JSON)

    def find_parts(self, folder: Path) -> list[Path]:
        """The dataset in `folder`: its archive or, extracted, its folder.

        Raises:
            TwoCameraError: names every missing file, its place and where to get it.
        """
        parts = [path for path in (folder / self.archive, folder / self.part) if path.exists()]
        matrix = f"{self.matrix.folder}/{self.matrix.file} or " if self.matrix else ""
        splits = [] if self.info_files(folder) else [f"{matrix}{SPLITS_JSON}"]
        missing, sources = list(splits), [self.splits_source] * len(splits)
        if not parts:
            extracted = [f"the extracted folder {self.part}/"]
            if self.matrix is not None:
                extracted, missing = [*extracted, *splits], []
            missing.insert(0, f"{self.archive} (or {' and '.join(extracted)})")
            sources.insert(0, self.archive_source)
        elif self.matrix is not None and parts[0] == folder / self.archive:
            missing = []  # the archive of iLIDS-VID holds its split file
        if missing:
            raise TwoCameraError(
                f"{self.title} is not whole in {folder}: missing {' and '.join(missing)}. Put "
                f"{'them' if len(missing) > 1 else 'it'} into {folder}: {'; '.join(sources)}"
            )
        return parts[:1]

    def info_files(self, folder: Path) -> list[Path]:
        """The split file in use, unless it lies inside the archive."""
        files = [folder / SPLITS_JSON]
        if self.matrix is not None:
            places = (folder / self.matrix.folder, folder / self.part / self.matrix.folder, folder)
            files += [place / self.matrix.file for place in places]
        return [file for file in files if file.is_file()][:1]

    def read_listing(self, folder: Path, members: Sequence[Iterable[str]] = ()) -> Listing:
        """List the sequences of `members`: no official file does, so the archive's names do.

        People without enough frames in both cameras are left out: they could be neither a
        query nor a right answer.

        Raises:
            TwoCameraError: if no person is left.
        """
        sequences: dict[tuple[int, int], list[tuple[int, str]]] = {}
        for names in members:
            for name in names:
                if match := self.member.fullmatch(name):
                    camera = self.cameras.index(match["camera"]) + 1
                    place = (int(match["person"]), camera)
                    sequences.setdefault(place, []).append((int(match["frame"]), name))
        kept = [
            (pid, camera)
            for pid, camera in sorted(sequences)
            if all(len(sequences.get((pid, c), ())) >= self.min_frames for c in (1, 2))
        ]
        if not kept:
            raise TwoCameraError(
                f"{folder}: no person with {self.min_frames} or more frames in both cameras; "
                f"{self.title}'s frames are named like {self.example}"
            )
        frames = [frame for place in kept for frame in sorted(sequences[place])]
        length = np.array([len(sequences[place]) for place in kept], np.int64)
        return Listing(
            member=[name for _, name in frames],
            number=np.array([number for number, _ in frames], np.int32),
            first=np.cumsum(length) - length,
            length=length,
            pid=np.array([pid for pid, _ in kept], np.int64),
            camera=np.array([camera for _, camera in kept], np.int64),
            role=np.array([BOTH] * len(kept)),
        )

    def counts(self, folder: Path, listing: Listing) -> dict[str, int]:
        """What was found of `OFFICIAL_COUNTS`.

        Raises:
            SplitFileError: if the split file is damaged or contradicts itself.
        """
        half = self.people // 2
        splits, _ = self._read_splits(folder, test_half="first")
        return {
            "people": len(np.unique(listing.pid)),
            "sequences": len(listing.pid),
            "splits": sum(len(train) == len(test) == half for train, test in splits),
        }

    def trials(
        self, tracklets: Tracklets, folder: Path, *, count: int, test_half: str | None = None
    ) -> Trials:
        """The first `count` splits as tracklet rows: trial t is split t.

        People of a split that are not there are left out, if the dataset is a part of itself.

        Raises:
            SplitFileError: if the split file is damaged or contradicts itself.
            TwoCameraError: if it has fewer splits than `count` or does not belong to the people
                found; if a split has nobody left to train or test.
        """
        people, source = self._read_splits(folder, test_half=test_half or "first")
        if count > len(people):
            raise TwoCameraError(
                f"{source}: {count} trials, but only {len(people)} splits; lower the dataset's "
                "`trials` in params.yaml"
            )
        splits = [
            self._split(tracklets, halves, f"{source}, split {number}")
            for number, halves in enumerate(people[:count])
        ]
        return Trials(
            protocol="two-camera", source=source, splits=splits, trials=list(range(count))
        )

    def _split(self, tracklets: Tracklets, halves: People, where: str) -> Split:
        there = set(tracklets.pid.tolist())
        lost = sorted(set(halves[0] + halves[1]) - there)
        if lost and len(there) >= self.people:
            raise TwoCameraError(
                f"{where}: person {lost[0]} is not among the {len(there)} people of {self.title} "
                f"found here (and {len(lost) - 1} more): split file and frames do not belong "
                "together"
            )
        train, test = (np.isin(tracklets.pid, half) for half in halves)
        rows: dict[str, list[int]] = {
            "train": np.flatnonzero(train).tolist(),
            "query": np.flatnonzero(test & (tracklets.camera == 1)).tolist(),
            "gallery": np.flatnonzero(test & (tracklets.camera == 2)).tolist(),
        }
        if not rows["train"]:
            raise TwoCameraError(f"{where}: none of its {len(halves[0])} training people is here")
        if not rows["query"] or not rows["gallery"]:
            raise TwoCameraError(f"{where}: none of its {len(halves[1])} test people is here")
        return Split(train=rows["train"], query=rows["query"], gallery=rows["gallery"])

    def _read_splits(self, folder: Path, *, test_half: str) -> tuple[list[People], str]:
        """The splits by person number, and what they were read from."""
        files = self.info_files(folder)
        if files and files[0].name == SPLITS_JSON:
            if test_half != "first":
                raise TwoCameraError(
                    f"{files[0]}: names its test people itself, so that test_half {test_half!r} "
                    f"would change nothing: take {SPLITS_JSON} away, or set test_half to 'first'"
                )
            # Anybody can make such a list: its hash tells one from another.
            digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
            splits = json_splits(files[0], self.person)
            return splits, f"{SPLITS_JSON} (sha256 {digest[:8]})"
        if self.matrix is None:
            raise TwoCameraError(f"{folder / SPLITS_JSON}: not found; {self.splits_source}")
        if files:
            where, content = str(files[0]), files[0].read_bytes()
        else:
            where, content = read_in_tar(folder / self.archive, self.matrix.file)
        splits = matrix_splits(where, content, self.matrix, test_half)
        return splits, f"{self.matrix.file} (test half: {test_half})"


# 300 people are numbered 1-319.
_ILIDS_ABSENT = frozenset(
    (11, 32, 72, 73, 78, 112, 132, 146, 156, 180, 211, 215, 247, 248, 250, 263, 267, 291, 292)
)
_ILIDS_PAGE = "https://xiatian-zhu.github.io/downloads_qmul_iLIDS-VID_ReID_dataset.html"

ILIDS_VID = TwoCamera(
    title="iLIDS-VID",
    part="i-LIDS-VID",
    archive="i-LIDS-VID.tar",
    member=re.compile(
        r"i-LIDS-VID/sequences/cam(?P<camera>[12])/person(?P<person>\d{3})/"
        r"cam(?P=camera)_person(?P=person)_(?P<frame>\d{1,6})\.png",
        re.ASCII,
    ),
    example="i-LIDS-VID/sequences/cam1/person001/cam1_person001_00317.png",
    cameras=("1", "2"),
    person=re.compile(r"person(\d{3})", re.ASCII),
    people=300,
    min_frames=1,
    archive_source=(
        f"open {_ILIDS_PAGE}, download the dataset, name the file i-LIDS-VID.tar and do not "
        "unpack it (older direct links to it are reported dead)"
    ),
    splits_source=(
        "the .mat file comes with the archive; a splits.json is a list of ten "
        '{"train": [...], "test": [...]} with names such as "person001"'
    ),
    matrix=SplitMatrix(
        file="train_test_splits_ilidsvid.mat",
        folder="train-test people splits",
        key="ls_set",
        numbers=tuple(number for number in range(1, 320) if number not in _ILIDS_ABSENT),
    ),
    UNCONFIRMED_MD5={"i-LIDS-VID.tar": "7752bd15b611558701bb0e2380ed8950"},
)

PRID_2011 = TwoCamera(
    title="PRID-2011",
    part="prid_2011",
    archive="prid_2011.zip",
    member=re.compile(
        r"prid_2011/multi_shot/cam_(?P<camera>[ab])/person_(?P<person>\d{4})/"
        r"(?P<frame>\d{1,6})\.png",
        re.ASCII,
    ),
    example="prid_2011/multi_shot/cam_a/person_0001/0001.png",
    cameras=("a", "b"),
    person=re.compile(r"person_(\d{4})", re.ASCII),
    people=178,
    min_frames=27,
    archive_source=(
        "download the dataset from its authors' page (Hirzer et al., SCIA 2011), name the file "
        "prid_2011.zip and do not unpack it"
    ),
    splits_source=(
        "splits.json is the ten splits that public loaders ship (deep-person-reid calls the file "
        'splits_prid2011.json): a list of ten {"train": [...], "test": [...]} of 89 names each, '
        'such as "person_0001"'
    ),
)
