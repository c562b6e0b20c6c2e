"""What an interrupted training of an arm has left, for the same command to go on from.

DVC empties a stage's outputs before it starts the stage, so all of it is kept elsewhere: in
.checkpoints/ of the original repository, in one folder for each training that can be told from
another. The finished arm is copied out, and the folder removed: a finished run is never resumed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.parts import workspace

FOLDER = ".checkpoints"

# Of a folder's name; as many as keep two trainings apart.
_DIGITS = 16


@dataclass(frozen=True)
class Kept:
    """The folder of one arm's training: trials that are done, and checkpoints of one that isn't."""

    folder: Path

    def trial(self, trial: int) -> Path:
        """The finished trial's folder, whole if it is there."""
        return self.folder / workspace.trial_name(trial)

    def checkpoints(self, trial: int) -> Path:
        """Folder of the trial's checkpoints."""
        return self.folder / f"{workspace.trial_name(trial)}.checkpoints"

    def tracked(self) -> dict[str, str]:
        """The MLflow runs by name."""
        path = self.folder / "mlflow.json"
        return dict(json.loads(path.read_bytes())) if path.is_file() else {}

    def track(self, name: str, run: str) -> None:
        """Remember an MLflow run."""
        workspace.write_json(self.folder / "mlflow.json", {**self.tracked(), name: run})

    def hand_over(self, target: Path) -> None:
        """Copy the finished trials to `target`, whole or not at all, and forget the training."""
        try:
            with workspace.whole_folder(target) as partial:
                for trial in sorted(self.folder.glob("trial-??")):
                    shutil.copytree(trial, partial / trial.name)
        except OSError as error:
            # copytree collects its errors.
            reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error
            raise OSError(
                f"{target}: cannot be written ({reason}); what was trained is kept in "
                f"{self.folder}: run the same command again"
            ) from None
        self.forget()

    def forget(self) -> None:
        """Remove the training: at once, as half of it might pass for the whole."""
        done = self.folder.with_name(f".{self.folder.name}")
        shutil.rmtree(done, ignore_errors=True)
        self.folder.rename(done)
        shutil.rmtree(done, ignore_errors=True)


@contextmanager
def kept(
    name: str, identity: Mapping[str, Any], say: Callable[[str], None], *, wait: bool = True
) -> Iterator[Kept]:
    """What is kept of the training `name`, for this process alone while it is open.

    `identity` holds everything that its bits depend on. With anything in it changed the training
    starts afresh; if one was interrupted before that change, `say` is told what has changed.

    Raises:
        BlockingIOError: if another process has it open and `wait` is false.
    """
    text = json.dumps(identity, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    parent = workspace.root() / FOLDER
    folder = parent / f"{name}-{digest}"
    # Copies of the repository share these: the second to come waits, and then trains anew.
    with workspace.locked(parent / "locks", folder.name, wait=wait):
        if not folder.is_dir():
            for other in _others(parent, name):
                say(
                    f"{name} starts afresh: the interrupted training in {FOLDER}/{other.name} had "
                    f"{_difference(other, identity)}; remove that folder if it is not to go on"
                )
            workspace.write_json(folder / "identity.json", identity)
        left = Kept(folder)
        try:
            yield left
        finally:
            # What failed before it had anything to go on from would lie there for ever.
            if folder.is_dir() and not any(folder.glob("trial-*")):
                left.forget()


def _others(parent: Path, name: str) -> list[Path]:
    return sorted(
        path.parent
        for path in parent.glob(f"{name}-{'?' * _DIGITS}/identity.json")
        if any(path.parent.glob("trial-*"))
        and not workspace.is_locked(parent / "locks", path.parent.name)
    )


def _difference(other: Path, identity: Mapping[str, Any]) -> str:
    before = dict(workspace.flat(json.loads((other / "identity.json").read_bytes())))
    now = dict(workspace.flat(json.loads(json.dumps(identity))))  # tuples are lists there
    changes = [
        f"{key} {before.get(key, 'nothing')} (now {now.get(key, 'nothing')})"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    ]
    return ", ".join(changes)
