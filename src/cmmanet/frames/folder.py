"""Lists an extracted folder like the archive that it came from."""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from typing import NamedTuple

from cmmanet.frames.members import LOOSE, ArchiveError, Members, is_data, make_members, printable


class FolderContent(NamedTuple):
    """The files below a folder: those listed, links in their place, and how many others."""

    members: Members
    links: list[str]  # to files of the listed kind, and to folders
    others: int  # a hidden folder counts as one

    def refuse_links(self, path: Path) -> None:
        """Raise ArchiveError if there are links, which are never followed."""
        if self.links:
            raise ArchiveError(
                f"{path}: {len(self.links):,} files are links, which are not followed (such as "
                f"{printable(self.links[0])}): put the files themselves there (`cp -rL` does)"
            )


def list_folder(path: Path, suffix: str | tuple[str, ...]) -> FolderContent:
    """List every data file below `path` whose name ends in `suffix`, sorted.

    `path` itself may be a link. Names start with the folder's own, as in the archive. A tuple of
    suffixes matches any of them.

    Raises:
        ArchiveError: for a name or a size that `members.make_members` refuses.
        OSError: for a folder that cannot be read.
    """
    names: list[str] = []
    numbers = array("q")
    links: list[str] = []
    others = 0
    folders = [(path, path.name)]
    while folders:
        folder, prefix = folders.pop()
        inner: list[tuple[Path, str]] = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = f"{prefix}/{entry.name}"
                if not is_data(entry.name):
                    others += 1
                elif entry.is_dir(follow_symlinks=False):
                    inner.append((Path(entry.path), name))
                elif name.endswith(suffix) and entry.is_file(follow_symlinks=False):
                    names.append(name)
                    size = entry.stat(follow_symlinks=False).st_size
                    numbers.extend((0, size, size, LOOSE, 0))
                elif entry.is_symlink() and (name.endswith(suffix) or Path(entry.path).is_dir()):
                    links.append(name)
                else:
                    others += 1
        folders += reversed(inner)
    return FolderContent(make_members(path, names, numbers), links, others)
