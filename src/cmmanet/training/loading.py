"""Batches from processes that decode frames, none of which is waited for without end."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from cmmanet.training.device import Runtime

# Seconds without a batch, and how often they pass in a row, before the workers are given up. A
# job that was suspended for hours has lost one wait, not all of them.
PATIENCE, WAITS = 60, 10

_MEMORY = Path("/dev/shm")  # noqa: S108

Batch = TypeVar("Batch")


def load_batches(
    dataset: Dataset[Batch], runtime: Runtime, *, prefetch: int = 2, **options: Any
) -> Iterator[Batch]:
    """Yield the batches of a dataset in order, decoded by `runtime.workers` processes.

    Batches come through shared memory; those that it has no room for come through a pipe, and
    without room for the pipes this process decodes: slower, with a warning. Their bits and memory
    formats are the same.

    Args:
        dataset: what a DataLoader reads.
        runtime: its workers, and the device that decides whether memory is pinned.
        prefetch: batches that each worker is ahead.
        options: of the DataLoader.

    Raises:
        OSError: if the workers cannot be started, or give no batch for `PATIENCE` * `WAITS` s.
        RuntimeError: if a worker dies.
    """
    others = set(multiprocessing.active_children())
    workers = runtime.workers if _has_room(runtime.workers) else 0
    loader = DataLoader(
        dataset,
        collate_fn=_share,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        pin_memory=runtime.device.type == "cuda",
        timeout=PATIENCE if workers else 0,
        generator=torch.Generator(),  # else it draws from the global one
        **options,
    )
    try:
        batches = iter(loader)
    except OSError as error:
        raise OSError(f"cannot start {workers} processes that decode frames: {error}") from error
    warned, waits = workers < runtime.workers, 0
    while waits < WAITS:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            if not str(error).startswith("DataLoader timed out"):
                raise
            waits += 1
            continue
        waits = 0
        if isinstance(batch, bytes):
            if not warned:
                _warn()
                warned = True
            # Written by `_share` in a process of this one.
            batch = pickle.loads(batch)  # noqa: S301
        yield cast(Batch, batch)
    # What waits for a disk, or is stopped, does not end when it is asked to.
    for process in set(multiprocessing.active_children()) - others:
        with suppress(RuntimeError):  # torch's, that a worker was killed
            process.kill()
            process.join(1)
    raise OSError(
        f"no frames for {PATIENCE * WAITS} s from the processes that decode them: the disk or the "
        "network that holds them hangs; run the same command again when it answers"
    )


def _has_room(workers: int) -> bool:
    """Return whether shared memory has room for the locks of the workers' queues."""
    try:
        queues: list[Any] = [multiprocessing.Queue() for _ in range(workers and workers + 1)]
        for queue in queues:
            queue.close()
    except OSError:
        _warn()
        return False
    return True


def _share(batch: Any) -> Any:
    """Move a batch to shared memory here: later, in a thread of the queue, it would be lost."""
    if get_worker_info() is None:
        return batch
    try:
        for part in batch if isinstance(batch, tuple) else (batch,):
            if isinstance(part, Tensor):
                part.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError:
        return pickle.dumps(batch)
    return batch


def _warn() -> None:
    size = f" ({shutil.disk_usage(_MEMORY).total / 2**20:.0f} MiB)" if _MEMORY.is_dir() else ""
    print(
        f"warning: {_MEMORY}{size} is too small for the batches: frames take a slower way; give it "
        "more room (docker: --shm-size=1g), or use fewer workers",
        file=sys.stderr,
        flush=True,
    )
