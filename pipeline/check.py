"""Stage check: read and decode every frame once, before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from cmmanet.frames.archive import ArchiveError, FrameStore
from cmmanet.frames.decode import DecodeError, read_frames
from cmmanet.frames.index import open_store
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run
from pipeline.parts.watch import counting

# Frames that one thread reads in turn.
_AT_ONCE = 500

# Damaged frames that the message names.
_NAMED = 5


def main(dataset: DatasetName) -> None:
    """Decode every frame of DATASET's index and write data/DATASET/check.json.

    A frame that is damaged or does not decode would otherwise end `embed`, after all training.
    """
    data = workspace.data_folder(dataset)
    frames = workspace.read_json(data / "frames.json", f"index {dataset}")
    raw = workspace.raw_data(frames["folder"])
    store = open_store(data, [raw / name for name in frames["archives"]])
    damaged = []
    with counting(f"{dataset}: checking, frames", len(store)) as progress:
        for done, problems in _check(store):
            damaged += problems
            progress(done)
    if damaged:
        more = f"\n... and {len(damaged) - _NAMED:,} more" if len(damaged) > _NAMED else ""
        raise ValueError(
            f"{dataset}: {len(damaged):,} of {len(store):,} frames cannot be used:\n"
            + "\n".join(damaged[:_NAMED])
            + more
        )
    workspace.write_json(data / "check.json", {"frames": len(store)})
    print(f"{dataset}: all {len(store):,} frames decode")


def _check(store: FrameStore) -> Iterator[tuple[int, list[str]]]:
    """Yield how many frames are checked, and what is wrong with the last of them."""

    def check(start: int) -> list[str]:
        problems = []
        for row in range(start, min(start + _AT_ONCE, len(store))):
            try:
                read_frames(store, [row], 1, 1)
            except (ArchiveError, DecodeError) as error:
                problems.append(str(error))
        return problems

    starts = range(0, len(store), _AT_ONCE)
    # Reading and decoding release the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start, problems in zip(starts, pool.map(check, starts), strict=True):
            yield min(start + _AT_ONCE, len(store)), problems


if __name__ == "__main__":
    run(main)
