"""Lists an extracted folder like the archive that it came from."""

from __future__ import annotations

import os
from pathlib import Path

from cmmanet.frames.members import LOOSE, Members, plain_members


def list_folder(path: Path, suffix: str | tuple[str, ...]) -> Members:
    """List every file below `path` whose name ends in `suffix`, sorted; links are skipped.

    Names start with the folder's own, as in the archive. A tuple of suffixes matches any of them.

    Raises:
        ArchiveError: for a name or a size that `members.check_members` refuses.
    """
    names: list[str] = []
    size: list[int] = []
    folders = [(path, path.name)]
    while folders:
        folder, prefix = folders.pop()
        inner: list[tuple[Path, str]] = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = f"{prefix}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    inner.append((Path(entry.path), name))
                elif name.endswith(suffix) and entry.is_file(follow_symlinks=False):
                    names.append(name)
                    size.append(entry.stat(follow_symlinks=False).st_size)
        folders += reversed(inner)
    return plain_members(path, names, [0] * len(names), size, LOOSE)
