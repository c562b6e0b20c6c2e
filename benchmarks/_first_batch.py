"""Run by `frames.py` in a process of its own: `python -m benchmarks._first_batch FOLDER`.

Prints one line of JSON.
"""

import json
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks._memory import peak_mb
from cmmanet.clips.batches import ClipRequest, epoch_batches
from cmmanet.clips.dataset import ClipDataset
from cmmanet.clips.sampling import RandomInterval
from cmmanet.datasets.catalogue import DATASETS
from cmmanet.datasets.tracklets import TRAIN
from cmmanet.frames.index import load_tracklets, open_store
from cmmanet.geometry import View

WORKERS = 8


def first_batch(folder: Path) -> dict[str, float]:
    """Open the full index, read a batch, then fork the workers and let each read one."""
    bare, start = peak_mb(), time.perf_counter()
    store = open_store(folder / "index", DATASETS["mars"].find_parts(folder))
    tracklets = load_tracklets(folder / "index")
    clip: Any = SimpleNamespace(frames=6, flip=True, erase=0.0)
    dataset = ClipDataset(
        store,
        tracklets,
        np.flatnonzero(tracklets.role == TRAIN),
        clip,
        View(256, 128),
    )
    sampler = RandomInterval(8, "epoch", "any")
    batches = epoch_batches(
        dataset.pid, identities=7, clips=4, sampler=sampler, seed=0, epoch=0
    ).batches
    batch = dataset.__getitems__(batches[0])
    assert batch.clips.shape == (28, 6, 3, 256, 128)
    result = {"seconds": time.perf_counter() - start, "above_mb": peak_mb() - bare}
    del batch
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(WORKERS)]
    workers = [
        context.Process(target=work, args=(dataset, batches[number::WORKERS], far))
        for number, (_, far) in enumerate(pipes)
    ]
    for worker in workers:
        worker.start()
    own = [near.recv() for near, _ in pipes]
    result["forked_mb"], result["workers_mb"] = (sum(column) for column in zip(*own, strict=True))
    for worker in workers:
        worker.join()
    return result


def work(dataset: ClipDataset, batches: list[list[ClipRequest]], connection: Connection) -> None:
    """Read a worker's share of an epoch, and tell the memory that only this process uses."""
    torch.set_num_threads(1)
    # USS: what would be free again if this process ended; what forked processes share is not.
    forked = psutil.Process().memory_full_info().uss / 1e6
    for batch in batches:
        dataset.__getitems__(batch)
    connection.send((forked, psutil.Process().memory_full_info().uss / 1e6))


if __name__ == "__main__":
    print(json.dumps(first_batch(Path(sys.argv[1]))))
