"""Which code computed a number, on what, and when."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

# The parameters are recorded whole beside every number, and experiments change their file.
_CODE = ("src", "pipeline", "pyproject.toml", "requirements.lock")


class Code(TypedDict):
    """The commit of the code in use; `dirty` if the code differs from it.

    None without git, or if the project's folder is not the root of a git work tree.
    """

    commit: str | None
    dirty: bool | None
    date: str


def code() -> Code:
    """The code as it is now: ask before the work, not after it."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", *_CODE)
    return {
        "commit": commit,
        "dirty": None if changes is None else bool(changes),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def environment(device: str, precision: str) -> dict[str, Any]:
    """The code, and the machine and versions that it runs on."""
    import torch
    import torchvision

    return {
        "device": device,
        "precision": precision,
        "python": platform.python_version(),
        "torch": torch.__version__.partition("+")[0],
        "torchvision": torchvision.__version__.partition("+")[0],
        **code(),
    }


def _git(*arguments: str) -> str | None:
    project = Path(__file__).parents[2]
    # Named, as git would search the folders above for another repository.
    here = [f"--git-dir={project / '.git'}", f"--work-tree={project}"]
    try:
        answer = subprocess.run(  # noqa: S603 (the arguments are this file's own)
            ["git", *here, *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd=project,
            # A git hook's GIT_DIR and GIT_INDEX_FILE are of the repository that runs the hook.
            env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
