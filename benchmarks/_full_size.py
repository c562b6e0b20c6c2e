"""Run by `frames.py` in a process of its own: `python -m benchmarks._full_size FOLDER`.

Prints one line of JSON. No torch here: the index stage imports none.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.io

from benchmarks._memory import peak_mb
from cmmanet.datasets.catalogue import DATASETS
from cmmanet.frames.archive import list_members
from cmmanet.frames.index import build_index

MARS = DATASETS["mars"]


def write_made_up_lists(info: Path) -> None:
    """Write the five official files with made-up tracklets, as many and as long in all."""
    counts = MARS.official_counts
    assert counts is not None
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
    members = [list_members(part, MARS.image_suffix) for part in MARS.find_parts(folder)]
    summary = build_index(MARS.read_listing(folder, members), members, folder / "index")
    assert summary.found_frames == summary.listed_frames and summary.unlisted_members == 0
    return {
        "seconds": time.perf_counter() - start,
        "peak_mb": peak_mb(),
        "frames": summary.found_frames,
    }


if __name__ == "__main__":
    print(json.dumps(index(Path(sys.argv[1]))))
