"""The store of runs: nothing that was trained is trained again.

    finished/KEY/    weights, history, picture, and stored.json; never changed once it is there
    unfinished/KEY/  checkpoints of an interrupted run
    partial/         a run that is being written, and renamed when it is whole
    leases/KEY       while a process trains the run
    damaged/         runs whose files no longer have the digests they were written with

It is .runs/ in the original repository, or $CMMANET_RUNS: copies of the repository and machines
can share it.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout

from cmmanet.frames.archive import hash_file
from cmmanet.training.checkpoint import sync
from pipeline.parts import workspace
from pipeline.training.request import differences, key_of, listed

# Seconds that no run takes to be written.
_WRITING = 3600

_STORED, _REQUEST = "stored.json", "request.json"


@dataclass(frozen=True)
class StoredRun:
    """A run in the store.

    Attributes:
        folder: that holds it.
        label: the name of the run that it was first trained for.
        request: what it depends on; of an unfinished one, what must be the same to go on.
        record: of a finished one, else empty.
        files: the sha256 of each file by name, of a finished one.
    """

    folder: Path
    label: str
    request: dict[str, Any]
    record: dict[str, Any]
    files: dict[str, str]

    @property
    def finished(self) -> bool:
        """Whether it is more than checkpoints."""
        return bool(self.files)

    @property
    def key(self) -> str:
        """The run's key in the store."""
        return self.folder.name


class RunStore:
    """The runs below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._verified: dict[str, StoredRun] = {}

    def find(self, request: Mapping[str, Any]) -> StoredRun | None:
        """Return the finished run of a request; a damaged one is set aside."""
        key = key_of(request)
        if key in self._verified:
            return self._verified[key]
        folder = self.root / "finished" / key
        if not folder.is_dir():
            return None
        run = self._read(folder)
        if run is None or not all(_is_whole(folder / name, run.files[name]) for name in run.files):
            aside = self.root / "damaged" / f"{key}.{os.getpid()}"
            aside.parent.mkdir(exist_ok=True)
            folder.rename(aside)
            print(f"{folder}: damaged; set aside in {aside}, the run is trained again", flush=True)
            return None
        self._verified[key] = run
        return run

    @contextmanager
    def claim(
        self, label: str, request: Mapping[str, Any], resume: Mapping[str, Any], *, wait: bool
    ) -> Iterator[Path | None]:
        """Give the folder of a run's checkpoints, for this process alone.

        None if the run is finished, or another process trains it and `wait` is false. `resume` is
        what an interrupted run must have had for this one to go on from it. A run that starts
        afresh although a similar one is stored is printed with what differs.
        """
        key = key_of(resume)
        if self.find(request):
            yield None
            return
        with self._lease(key, label, wait=wait) as held:
            # Another process may have published it meanwhile.
            if not held or self.find(request):
                yield None
                return
            folder = self.root / "unfinished" / key
            if not (folder / _REQUEST).is_file():
                self._print_near_miss(label, request, resume)
                content = {"label": label, "request": resume}
                workspace.write_json(folder / _REQUEST, content)
            try:
                yield folder
            finally:
                # A run that failed before its first checkpoint has nothing to go on from.
                if self.find(request) or not any(folder.glob("*.ckpt")):
                    shutil.rmtree(folder, ignore_errors=True)

    def publish(
        self,
        label: str,
        request: Mapping[str, Any],
        record: Mapping[str, Any],
        write: Callable[[Path], None],
    ) -> None:
        """Store a finished run, whole or not at all; of two the first stays.

        `write` puts its files into the folder that it is given.

        Raises:
            OSError: on a full disk, for instance; checkpoints stay.
        """
        target = self.root / "finished" / key_of(request)
        partial = self.root / "partial" / f"{target.name}.{platform.node()}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir(parents=True)
            write(partial)
            files = {path.name: hash_file(path) for path in sorted(partial.iterdir())}
            content = {"label": label, "request": request, "record": record, "files": files}
            workspace.write_json(partial / _STORED, content)
            for path in (*partial.iterdir(), partial):
                sync(path)
            partial.rename(target)
            sync(target.parent)
        except OSError as error:
            # Over a network, a rename that was done may be reported as failed.
            if not (target / _STORED).is_file():
                raise OSError(
                    f"{target}: cannot be written ({error}); make room and run the same command "
                    "again: it goes on from the last checkpoint"
                ) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def runs(self) -> Iterator[StoredRun]:
        """Yield the finished and the unfinished runs."""
        for kind in ("finished", "unfinished"):
            for folder in sorted((self.root / kind).glob("*")):
                run = self._read(folder)
                if run is not None:
                    yield run

    def leftovers(self) -> list[Path]:
        """Return damaged runs, and what processes that were killed had begun to write."""
        begun = time.time() - _WRITING
        partial = [p for p in (self.root / "partial").glob("*") if p.stat().st_mtime < begun]
        return [*(self.root / "damaged").glob("*"), *partial]

    def is_leased(self, run: StoredRun) -> bool:
        """Return whether a process trains an unfinished run."""
        with self._lease(run.key, run.label, wait=False) as held:
            return not held

    def _read(self, folder: Path) -> StoredRun | None:
        finished = folder.parent.name == "finished"
        try:
            content = json.loads((folder / (_STORED if finished else _REQUEST)).read_bytes())
        except (OSError, ValueError):
            return None
        return StoredRun(folder, **({"record": {}, "files": {}} | content))

    @contextmanager
    def _lease(self, key: str, label: str, *, wait: bool) -> Iterator[bool]:
        path = self.root / "leases" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        lease = workspace.lease(path)
        try:
            lease.acquire(timeout=0)
        except Timeout:
            if not wait:
                yield False
                return
            owner = workspace.lease_owner(lease)
            print(f"{label} is being trained by {owner}: waiting for it", flush=True)
            lease.acquire()
        try:
            yield True
        finally:
            lease.release()

    def _print_near_miss(
        self, label: str, request: Mapping[str, Any], resume: Mapping[str, Any]
    ) -> None:
        similar = [
            (differences(run.request, request if run.finished else resume), run)
            for run in self.runs()
            if run.label == label and (run.finished or not self.is_leased(run))
        ]
        if similar:
            changes, run = min(similar, key=lambda pair: len(pair[0]))
            kind = "finished" if run.finished else "interrupted"
            print(
                f"{label} starts afresh: the {kind} run in {run.folder} had {listed(changes)}",
                flush=True,
            )


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and hash_file(path) == digest
