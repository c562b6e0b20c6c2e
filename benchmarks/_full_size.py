"""What `frames.py` runs in processes of their own: `python _full_size.py ROLE FOLDER`.

Each prints one line of JSON.
"""

import json
import multiprocessing
import sys
import time
import zipfile
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil
import scipy.io
import torch

from cmmanet.clips.batches import ClipRequest, epoch_batches
from cmmanet.clips.dataset import ClipDataset
from cmmanet.datasets import mars
from cmmanet.datasets.tracklets import TRAIN
from cmmanet.frames.archive import list_members
from cmmanet.frames.index import build_index, load_tracklets, open_store

WORKERS = 8


def write_made_up_lists(info: Path) -> None:
    """Write the five official files with made-up tracklets, as many and as long in all."""
    counts = mars.OFFICIAL_COUNTS
    for part in ("train", "test"):
        tracklets, frames = counts[f"{part}_tracklets"], counts[f"{part}_frames"]
        last = np.linspace(0, frames, tracklets + 1).round().astype(np.int32)[1:]
        first = np.concatenate([[1], last[:-1] + 1])
        pid = np.arange(tracklets) // 14 + 1
        camera = np.arange(tracklets) % 6 + 1
        table = np.stack([first, last, pid, camera], axis=1).astype(np.int32)
        names = [
            f"{p:04d}C{c}T{t % 14 + 1:04d}F{frame:03d}.jpg"
            for t, (a, b, p, c) in enumerate(table.tolist())
            for frame in range(1, b - a + 2)
        ]
        (info / f"{part}_name.txt").write_text("\r\n".join(names))
        scipy.io.savemat(info / f"tracks_{part}_info.mat", {f"track_{part}_info": table})
    query = np.arange(1, counts["queries"] + 1)[None]
    scipy.io.savemat(info / "query_IDX.mat", {"query_IDX": query})


def index(folder: Path) -> dict[str, float]:
    """Do what the index stage does, from the official lists to the two tables."""
    start = time.perf_counter()
    members = [list_members(folder / "mars.zip", mars.IMAGE_SUFFIX)]
    summary = build_index(mars.read_listing(folder), members, folder / "index")
    assert summary.found_frames == summary.listed_frames and summary.unlisted_members == 0
    return {
        "seconds": time.perf_counter() - start,
        "peak_mb": peak_mb(),
        "frames": summary.found_frames,
    }


def list_by_zipfile(folder: Path) -> dict[str, float]:
    """List the same zip by the standard library: no local header read, no frame looked for."""
    start = time.perf_counter()
    with zipfile.ZipFile(folder / "mars.zip") as archive:
        archive.infolist()
    return {"seconds": time.perf_counter() - start, "peak_mb": peak_mb()}


def first_batch(folder: Path) -> dict[str, float]:
    """Open the full index, read a batch, then fork the workers and let each read one."""
    bare, start = peak_mb(), time.perf_counter()
    store = open_store(folder / "index", [folder / "mars.zip"])
    tracklets = load_tracklets(folder / "index")
    train = tracklets.role == TRAIN
    dataset = ClipDataset(
        store,
        first=tracklets.first[train],
        length=tracklets.length[train],
        pid=tracklets.pid[train],
        frames=6,
        height=256,
        width=128,
        flip=True,
    )
    batches = epoch_batches(
        dataset.pid, identities=7, clips=4, max_interval=8, seed=0, epoch=0
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
    result["workers_mb"] = sum(near.recv() for near, _ in pipes)
    for worker in workers:
        worker.join()
    return result


def work(dataset: ClipDataset, batches: list[list[ClipRequest]], connection: Connection) -> None:
    """Read a worker's share of an epoch, and tell the memory that only this process uses."""
    torch.set_num_threads(1)
    for batch in batches:
        dataset.__getitems__(batch)
    # USS: what would be free again if this process ended; what forked processes share is not.
    connection.send(psutil.Process().memory_full_info().uss / 1e6)


def peak_mb() -> float:
    """Give the most memory that this process has held."""
    # Not getrusage: its maximum counts what the parent held when it started this process.
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) * 1024 / 1e6


if __name__ == "__main__":
    role = {"index": index, "zipfile": list_by_zipfile, "start": first_batch}[sys.argv[1]]
    print(json.dumps(role(Path(sys.argv[2]))))
