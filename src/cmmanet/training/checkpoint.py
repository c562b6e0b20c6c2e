"""What an interrupted training goes on from, bit for bit."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# The newest, and the one before it for when the newest is damaged.
KEPT = 2

_DIGEST = hashlib.sha256
_PREFIX, _SUFFIX = "iteration-", ".ckpt"

# Errors that mean a loss, also when a folder is synchronised.
_LOST = (errno.EIO, errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Checkpoint:
    """A training between two iterations.

    The learning rate and the clips still to come are functions of the iteration, so that they
    need no keeping.

    Attributes:
        iteration: number of iterations done.
        network: its state dict.
        optimiser: its state dict.
        sums: of each recorded term over the epoch under way, scalar tensors.
        seconds: that the epoch under way has taken so far.
        history: the epochs done.
    """

    iteration: int
    network: dict[str, Tensor]
    optimiser: dict[str, Any]
    sums: dict[str, Tensor]
    seconds: float
    history: list[dict[str, float]]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all, and drop all but the newest `KEPT`.

    Tensors keep their strides: fused Adam computes wrong updates from contiguous moments of
    channels_last weights.

    Raises:
        OSError: on a full disk, for instance; the checkpoints before it are left as they were.
    """
    buffer = io.BytesIO()
    torch.save(vars(checkpoint), buffer)
    content = buffer.getbuffer()
    partial = folder / "partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.write(_DIGEST(content).digest())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / f"{_PREFIX}{checkpoint.iteration:09d}{_SUFFIX}")
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(folder)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink()


def load_checkpoint(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint in `folder` that is whole, on the CPU; None if there is none.

    Each damaged one is told to `say`, set aside, and the one before it taken.
    """
    found = _newest_first(folder)
    for path in found:
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        payload, digest = content[: -_DIGEST().digest_size], content[-_DIGEST().digest_size :]
        if _DIGEST(payload).digest() == digest:
            state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            return Checkpoint(**state)
        # Under its name it would count among the newest, and push out whole ones.
        path.replace(path.with_suffix(".damaged"))
        before = "the beginning" if path == found[-1] else "the checkpoint before it"
        say(f"{path}: damaged; going on from {before}")
    return None


def sync(path: Path) -> None:
    """Have a file, or a folder's list of files, survive a loss of power.

    Shared folders of virtual machines, some network and user-space file systems cannot do so for
    a folder; its files are no less whole.

    Raises:
        OSError: if the content is lost.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not path.is_dir() or error.errno in _LOST:
            raise


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}"), reverse=True)
