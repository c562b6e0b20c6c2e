"""The layout and protocol of iLIDS-VID and PRID-2011: each identity walks past two cameras.

Sources: Wang et al., "Person Re-Identification by Video Ranking", ECCV 2014 (iLIDS-VID and
the protocol); Hirzer et al., "Person Re-Identification by Descriptive and Discriminative
Classification", SCIA 2011 (PRID-2011). Camera 1 is the query, camera 2 the gallery, and each
query has one true match. Half of the identities train, the other half test, in ten random splits
that results are averaged over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cmmanet.datasets.official_files import DatasetError
from cmmanet.datasets.split_files import (
    SPLITS,
    SPLITS_JSON,
    Halves,
    SplitMatrix,
    json_splits,
    matrix_splits,
    read_in_tar,
)
from cmmanet.datasets.tracklets import BOTH, Listing, Split, Tracklets, Trials


@dataclass(frozen=True)
class TwoCamera:
    """One dataset of this family."""

    title: str
    folder: str
    """Name of the folder in the archive."""
    archive: str
    archive_source: str
    """Where to get the archive, for messages."""
    splits_source: str
    """Where to get the split file, for messages."""
    member: re.Pattern[str]
    """Name of a frame, with the groups camera, person and frame."""
    example: str
    """Name of a frame, for messages."""
    cameras: tuple[str, str]
    """The group `camera` in names of camera 1 and camera 2."""
    person: re.Pattern[str]
    """Name of an identity in a splits JSON, with its number as the only group."""
    identities: int
    """Number of identities with enough frames in both cameras; half of them train."""
    min_frames: int
    """Identities with a shorter sequence are left out."""
    matrix: SplitMatrix | None = None
    """The split file that comes with the archive, if one does."""
    note: str = ""
    """A sentence about it for the report."""
    unconfirmed_md5: Mapping[str, str] = field(default_factory=dict)
    """By archive; from a single source, so another hash is a warning and not an error."""
    image_suffix: str = ".png"
    official_frames: int | None = None
    """Not published, and frame numbers have gaps: a lost frame cannot be noticed."""

    @property
    def official_counts(self) -> dict[str, int]:
        """Counts of the whole dataset; `splits` have halves of the official size."""
        return {"people": self.identities, "sequences": 2 * self.identities, "splits": SPLITS}

    @property
    def mirror_files(self) -> tuple[str, ...]:
        """The archive, and the split file unless it is in the archive."""
        return (self.archive,) if self.matrix is not None else (self.archive, SPLITS_JSON)

    def find_parts(self, folder: Path) -> list[Path]:
        """Return the dataset in `folder`: its archive or its extracted folder.

        Raises:
            DatasetError: names every missing file, its place and where to get it.
        """
        parts = [path for path in (folder / self.archive, folder / self.folder) if path.exists()]
        matrix = f"{self.matrix.folder}/{self.matrix.file} or " if self.matrix else ""
        splits = [] if self.info_files(folder) else [f"{matrix}{SPLITS_JSON}"]
        missing, sources = list(splits), [self.splits_source] * len(splits)
        if not parts:
            extracted = [f"the extracted folder {self.folder}/"]
            if self.matrix is not None:
                extracted, missing = [*extracted, *splits], []
            missing.insert(0, f"{self.archive} (or {' and '.join(extracted)})")
            sources.insert(0, self.archive_source)
        elif self.matrix is not None and parts[0] == folder / self.archive:
            missing = []  # the archive of iLIDS-VID has its split file
        if missing:
            raise DatasetError(
                f"{self.title} is incomplete in {folder}: missing {' and '.join(missing)}. Put "
                f"{'them' if len(missing) > 1 else 'it'} into {folder}: {'; '.join(sources)}"
            )
        return parts[:1]

    def info_files(self, folder: Path) -> list[Path]:
        """Return the split file in use, unless it is in the archive."""
        files = [folder / SPLITS_JSON]
        if self.matrix is not None:
            places = (
                folder / self.matrix.folder,
                folder / self.folder / self.matrix.folder,
                folder,
            )
            files += [place / self.matrix.file for place in places]
        return [file for file in files if file.is_file()][:1]

    def read_listing(self, folder: Path, members: Sequence[Iterable[str]] = ()) -> Listing:
        """List the sequences of `members`, the names in each part: no official file lists them.

        Identities without enough frames in both cameras are left out: they could be neither a
        query nor a true match.

        Raises:
            DatasetError: if no identity is left.
        """
        sequences: dict[tuple[int, int], list[tuple[int, str]]] = {}
        for names in members:
            for name in names:
                if match := self.member.fullmatch(name):
                    camera = self.cameras.index(match["camera"]) + 1
                    place = (int(match["person"]), camera)
                    sequences.setdefault(place, []).append((int(match["frame"]), name))
        places = [
            (pid, camera)
            for pid, camera in sorted(sequences)
            if all(len(sequences.get((pid, c), ())) >= self.min_frames for c in (1, 2))
        ]
        if not places:
            raise DatasetError(
                f"{folder}: no identity with {self.min_frames} or more frames in both cameras; "
                f"{self.title}'s frames are named like {self.example}"
            )
        frames = [frame for place in places for frame in sorted(sequences[place])]
        length = np.array([len(sequences[place]) for place in places], np.int64)
        return Listing(
            member=[name for _, name in frames],
            number=np.array([number for number, _ in frames], np.int32),
            first=np.cumsum(length) - length,
            length=length,
            pid=np.array([pid for pid, _ in places], np.int64),
            camera=np.array([camera for _, camera in places], np.int64),
            role=np.array([BOTH] * len(places)),
        )

    def counts(self, folder: Path, listing: Listing) -> dict[str, int]:
        """Count what `official_counts` gives for the whole dataset.

        Raises:
            DatasetError: if the split file is damaged or contradicts itself.
        """
        half = self.identities // 2
        splits, _ = self._read_splits(folder, test_half="first")
        return {
            "people": len(np.unique(listing.pid)),
            "sequences": len(listing.pid),
            "splits": sum(len(train) == len(test) == half for train, test in splits),
        }

    def trials(
        self, tracklets: Tracklets, folder: Path, *, count: int, test_half: str | None = None
    ) -> Trials:
        """Return the first `count` splits as tracklet rows: trial t is split t.

        In a part of the dataset, identities of a split that are missing are left out.

        Raises:
            DatasetError: if the split file is damaged or contradicts itself, has fewer splits
                than `count`, or names an identity that the whole dataset does not have; if no
                identity of a split is left to train or to test.
        """
        halves, source = self._read_splits(folder, test_half=test_half or "first")
        if count > len(halves):
            raise DatasetError(
                f"{source}: {count} trials, but only {len(halves)} splits; lower the dataset's "
                "`trials` in params.yaml"
            )
        splits = [
            self._split(tracklets, train, test, f"{source}, split {number}")
            for number, (train, test) in enumerate(halves[:count])
        ]
        return Trials(
            protocol="two-camera", source=source, splits=splits, trials=list(range(count))
        )

    def _split(self, tracklets: Tracklets, train: list[int], test: list[int], where: str) -> Split:
        present = set(tracklets.pid.tolist())
        missing = sorted({*train, *test} - present)
        if missing and len(present) >= self.identities:
            raise DatasetError(
                f"{where}: person {missing[0]} is not one of the {len(present)} identities of "
                f"{self.title} here (and {len(missing) - 1} more): split file and frames do not "
                "belong together"
            )
        testing = np.isin(tracklets.pid, test)
        split = Split(
            train=np.flatnonzero(np.isin(tracklets.pid, train)).tolist(),
            query=np.flatnonzero(testing & (tracklets.camera == 1)).tolist(),
            gallery=np.flatnonzero(testing & (tracklets.camera == 2)).tolist(),
        )
        if not split["train"]:
            raise DatasetError(f"{where}: none of its {len(train)} training identities is here")
        if not split["query"] or not split["gallery"]:
            raise DatasetError(f"{where}: none of its {len(test)} test identities is here")
        return split

    def _read_splits(self, folder: Path, *, test_half: str) -> tuple[list[Halves], str]:
        """Return the splits by identity number, and the name of the file they come from."""
        files = self.info_files(folder)
        if files and files[0].name == SPLITS_JSON:
            if test_half != "first":
                raise DatasetError(
                    f"{files[0]}: names its test identities itself, so test_half {test_half!r} "
                    f"would change nothing: remove {SPLITS_JSON}, or set test_half to 'first'"
                )
            # Such a list can come from anywhere: its hash identifies it.
            digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
            splits = json_splits(files[0], self.person)
            return splits, f"{SPLITS_JSON} (sha256 {digest[:8]})"
        if self.matrix is None:
            raise DatasetError(f"{folder / SPLITS_JSON}: not found; {self.splits_source}")
        if files:
            where, content = str(files[0]), files[0].read_bytes()
        else:
            where, content = read_in_tar(folder / self.archive, self.matrix.file)
        splits = matrix_splits(where, content, self.matrix, test_half)
        return splits, f"{self.matrix.file} (test half: {test_half})"
