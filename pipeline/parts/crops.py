"""A user's own folder of crops as tracklets, read as a dataset's frames are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

import numpy as np

from cmmanet.datasets.tracklets import GALLERY, Tracklets
from cmmanet.frames.archive import FrameColumns, FrameStore
from cmmanet.frames.folder import list_folder

_ENDINGS = (".jpg", ".jpeg", ".png")
_SUFFIXES = (*_ENDINGS, *(ending.upper() for ending in _ENDINGS))


@dataclass(frozen=True)
class Crops:
    """Tracklets [T] of a folder: `name` relative to it, `files` their frames' absolute paths.

    `left_out` counts links, hidden files and folders, and files that are not images by their names.
    """

    folder: Path
    name: list[str]
    files: list[list[str]]
    tracklets: Tracklets
    store: FrameStore
    left_out: int

    def path(self, tracklet: int) -> str:
        """Where a tracklet lies, as the user would write it."""
        return (self.folder / self.name[tracklet]).as_posix()

    def frames(self, tracklet: int) -> int:
        """How many frames a tracklet has."""
        return len(self.files[tracklet])

    def middle(self, tracklet: int) -> int:
        """The row of a tracklet's middle frame."""
        return int(self.tracklets.first[tracklet]) + self.frames(tracklet) // 2


def read_crops(folder: Path) -> Crops:
    """List a folder: each image directly in it a tracklet, and each subfolder with images.

    Raises:
        OSError: if there is no such folder.
        ValueError: if it holds no image, or what `list_folder` refuses.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; name one that holds crops")
    root = folder.resolve()
    content = list_folder(root, _SUFFIXES)
    members = content.members
    if not len(members):
        content.refuse_links(folder)
        raise ValueError(f"{folder}: holds no {describe_endings()} image")
    name, files = [], []
    for tracklet, frames in groupby(members, key=_tracklet_of):
        name.append(tracklet)
        files.append([(root.parent / frame).as_posix() for frame in frames])
    length = np.array([len(frames) for frames in files])
    nobody = np.zeros(len(files), np.int64)  # who is on them, and which camera saw them
    tracklets = Tracklets(
        tracklet=np.arange(len(files)),
        pid=nobody,
        camera=nobody,
        first=np.cumsum(length) - length,
        length=length,
        role=np.full(len(files), GALLERY),
    )
    store = FrameStore([root], FrameColumns.from_members([members]))
    left_out = len(content.links) + content.others
    return Crops(folder, name, files, tracklets, store, left_out)


def describe_endings() -> str:
    """The names of images, for messages."""
    return f"{', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]}"


def _tracklet_of(member: str) -> str:
    # The first part is the folder's own name. Frames of one folder lie side by side.
    _, *folders, file = PurePosixPath(member).parts
    return "/".join(folders) or file
