"""What the pipeline asks of a dataset, and which code answers for which dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from cmmanet.datasets import mars
from cmmanet.datasets.tracklets import Listing, Tracklets, Trials
from cmmanet.datasets.two_camera import ILIDS_VID, PRID_2011


class DatasetFiles(Protocol):
    """A dataset's files and protocol: a module such as `mars`, or an object."""

    @property
    def IMAGE_SUFFIX(self) -> str:
        """How the names of frames end."""

    @property
    def OFFICIAL_COUNTS(self) -> Mapping[str, int]:
        """What `counts` gives for the whole dataset."""

    @property
    def OFFICIAL_FRAMES(self) -> int | None:
        """Frames of the whole dataset; None where nobody published them."""

    @property
    def UNCONFIRMED_MD5(self) -> Mapping[str, str]:
        """By archive: worth a warning, not a refusal."""

    @property
    def MIRROR_FILES(self) -> Sequence[str]:
        """What a mirror of the dataset holds; an archive is not needed beside its folder."""

    def find_parts(self, folder: Path) -> list[Path]:
        """Archives or extracted folders in `folder`; ValueError names every missing file."""

    def info_files(self, folder: Path) -> list[Path]:
        """Official files beside the archives, which the listing or the splits depend on."""

    def read_listing(self, folder: Path, members: Sequence[Iterable[str]]) -> Listing:
        """Tracklets and frames; `members` are the names of the images in each part."""

    def counts(self, folder: Path, listing: Listing) -> dict[str, int]:
        """What was found of `OFFICIAL_COUNTS`."""

    def trials(
        self, tracklets: Tracklets, folder: Path, *, count: int, test_half: str | None
    ) -> Trials:
        """`count` trials by the official protocol."""


def files_of(dataset: str) -> DatasetFiles:
    """The code that answers for a dataset; rendered data are in MARS's format."""
    by_name: dict[str, DatasetFiles] = {
        "synthetic": mars,
        "mars": mars,
        "ilids-vid": ILIDS_VID,
        "prid2011": PRID_2011,
    }
    return by_name[dataset]
