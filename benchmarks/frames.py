"""Frames at MARS's size: the index stage, reading random clips, and starting to train.

- Index: all 1,191,003 names in the two zips (small members), from the official lists to the two
  tables, in a process of its own.
- Clips: random clips of 6 frames from a zip of 20,000 JPEGs of 128×256, stored and deflated;
  the reference decodes the same bytes from memory, batch by batch in turn with it.
- Start: a process opens the full index and reads a first batch; then 8 forked workers do.

On two shared cores of an x86-64 server:

| | ours | reference |
|---|---|---|
| index, 1,191,003 members | 15.3 s of CPU time, 984 MB | |
| stored clips, frames a second and core | 9,485 | from memory: 10,093 (0.94) |
| deflated clips | 7,713 | from memory: 9,769 (0.79) |
| first batch | 0.43 s, 149 MB above the imports | |
| 8 workers, memory of theirs alone | 21 MB forked, 264 MB after an epoch | |

The names are MARS's own where its info files are in ../shared/mars_info, else made up.
"""

import lzma
import os
import shutil
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import _full_size
from benchmarks._pictures import encode, picture
from benchmarks._report import Bar, measured, report
from cmmanet.frames.archive import FrameColumns, FrameStore, list_members
from cmmanet.frames.decode import decode_into, read_frames

INFO = Path(__file__).resolve().parents[2] / "shared" / "mars_info"
PICTURES = 20_000
DISTINCT = 1_000  # images that are drawn; the zip has each of them twenty times
CLIPS, FRAMES = 28, 6  # a batch
ROUNDS = 15


def write_full_size(folder: Path) -> None:
    """Write MARS's lists, or made-up ones of the same counts, and zips with all their names."""
    (folder / "info").mkdir(parents=True)
    if INFO.is_dir():
        for matrix in INFO.glob("*.mat"):
            shutil.copyfile(matrix, folder / "info" / matrix.name)
        for part in ("train", "test"):
            text = lzma.decompress((INFO / f"{part}_name.txt.xz").read_bytes())
            (folder / f"info/{part}_name.txt").write_bytes(text)
    else:
        _full_size.write_made_up_lists(folder / "info")
    jpeg = encode(picture(0).resize((8, 16)), "JPEG", quality=50)
    for part in ("train", "test"):
        with zipfile.ZipFile(folder / f"bbox_{part}.zip", "w") as archive:
            for name in (folder / f"info/{part}_name.txt").read_text().split():
                archive.writestr(f"bbox_{part}/{name[:4]}/{name}", jpeg)


def open_pictures(path: Path, compression: int, pictures: list[bytes]) -> FrameStore:
    """Write the pictures, each many times, into a zip and open it."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for number in range(PICTURES):
            archive.writestr(f"{number:05d}.jpg", pictures[number % len(pictures)])
    return FrameStore([path], FrameColumns.from_members([list_members(path, ".jpg")]))


def clip_rates(store: FrameStore) -> tuple[float, float]:
    """Frames a second by one thread: from the archive, and decoded from memory."""
    generator = np.random.default_rng(0)
    ours: list[float] = []
    memory: list[float] = []
    for _ in range(2 + ROUNDS):
        start = generator.integers(0, PICTURES - 8 * FRAMES, CLIPS)
        interval = generator.integers(1, 9, CLIPS)
        rows = (start[:, None] + interval[:, None] * np.arange(FRAMES)).ravel().tolist()
        encoded = [store.read(row) for row in rows]

        def from_memory(encoded: list[bytes] = encoded) -> object:
            pixels = np.empty((len(encoded), 256, 128, 3), np.uint8)
            for data, into in zip(encoded, pixels, strict=True):
                decode_into(data, into)
            return pixels

        def from_archive(rows: list[int] = rows) -> object:
            return read_frames(store, rows, 256, 128)

        ours.append(seconds(from_archive) / len(rows))
        memory.append(seconds(from_memory) / len(rows))
    return 1 / statistics.median(ours[2:]), 1 / statistics.median(memory[2:])


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Measure the three and hold them against their bars."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        pictures = [encode(picture(seed), "JPEG", quality=65) for seed in range(DISTINCT)]
        print(f"JPEGs of {statistics.mean(map(len, pictures)):,.0f} bytes (MARS: about 5,300)")
        rates = {}
        for kind, compression in (
            ("stored", zipfile.ZIP_STORED),
            ("deflated", zipfile.ZIP_DEFLATED),
        ):
            store = open_pictures(folder / f"{kind}.zip", compression, pictures)
            rates[kind] = clip_rates(store)
            archive, memory = rates[kind]
            print(f"{kind:9} {archive:7,.0f} frames/s, from memory {memory:7,.0f}, one thread")

        write_full_size(folder / "mars")
        index = measured("_full_size", folder / "mars")
        print(
            f"index     {index['seconds']:5.1f} s, {index['peak_mb']:5.0f} MB peak "
            f"({index['frames']:,.0f} frames)"
        )
        start = measured("_first_batch", folder / "mars")
        print(
            f"start     {start['seconds']:.2f} s to the first batch, {start['above_mb']:.0f} MB "
            f"above the imports; of 8 workers' memory {start['forked_mb']:.0f} MB is theirs alone "
            f"when forked, {start['workers_mb']:.0f} MB after an epoch (batches of 17 MB)"
        )
    ratio = {kind: archive / memory for kind, (archive, memory) in rates.items()}
    report(
        "frames",
        torch.device("cpu"),
        [
            Bar("index of 1.19 M members: 20 s / seconds", 1, 20 / index["seconds"]),
            Bar("index of 1.19 M members: 1,500 MB / peak", 1, 1500 / index["peak_mb"]),
            Bar("frames a second and core, stored", 5000, rates["stored"][0]),
            Bar(
                "stored: ratio to decoding from memory",
                0.9,
                ratio["stored"],
            ),
            Bar(
                "deflated: ratio to decoding from memory",
                0.75,
                ratio["deflated"],
            ),
            Bar("first batch: 2 s / seconds", 1, 2 / start["seconds"]),
            Bar("first batch: 300 MB / MB above the imports", 1, 300 / start["above_mb"]),
        ],
    )


if __name__ == "__main__":
    main()
