"""Fixtures shared by the tests: a small dataset in MARS's layout, and the shared folder."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image

# Before torch is imported: small sums gain nothing from threads, and tests beside each
# other lose much to them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# oneDNN's AMX kernels (torch 2.15) read memory that nothing has written in bf16 convolutions of
# maps two cells high, as toy networks have: results vary, and some are NaN. Larger maps are right.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.frames.archive import list_members
from cmmanet.frames.index import build_index

REPOSITORY = Path(__file__).resolve().parents[1]

# Test processes begin with the files that take longest, in this order: the first builds the toy
# project that a later one copies. Needs pytest-xdist's `--no-loadscope-reorder`.
LONGEST = ("test_pipeline", "test_resume", "test_gpu", "test_processes", "test_interruptions")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (*LONGEST, item.path.stem).index(item.path.stem))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Data that lie beside a developer's checkout and are not part of the project."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "FACTS.md").is_file():
        pytest.skip(f"{folder} is not here")
    return folder


def jpeg(seed: int, height: int = 32, width: int = 16) -> bytes:
    """A picture whose content tells which frame it is."""
    colour = np.random.default_rng(seed).integers(0, 256, 3)
    pixels = np.broadcast_to(colour, (height, width, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture
def write_mars(tmp_path: Path) -> Callable[..., Path]:
    """Writes a dataset in MARS's layout: 2 training and 2 test identities, junk, a distractor."""

    def write(
        *,
        folder: str = "mars",
        as_zip: bool = True,
        compression: int = zipfile.ZIP_STORED,
        parts: tuple[str, str] = ("bbox_train", "bbox_test"),
    ) -> Path:
        root = tmp_path / folder
        (root / "info").mkdir(parents=True)
        # (pid, camera, frames) of each tracklet, in the order of the official tables.
        train = [(1, 1, 3), (1, 2, 5), (3, 1, 1), (3, 4, 2)]
        test = [(-1, 1, 2), (0, 2, 3), (2, 1, 4), (2, 3, 2), (4, 1, 2), (4, 2, 3)]
        _write_part(root, "train", parts[0], train, as_zip, compression)
        _write_part(root, "test", parts[1], test, as_zip, compression)
        query = np.array([[3, 4, 5, 6]], np.int32)
        scipy.io.savemat(root / "info/query_IDX.mat", {"query_IDX": query})
        return root

    return write


def index_mars(root: Path, folder: Path) -> list[Path]:
    """Index a dataset in MARS's layout into `folder`; return its archives."""
    dataset = DATASETS["mars"]
    parts = dataset.find_parts(root)
    members = [list_members(part, ".jpg") for part in parts]
    build_index(dataset.read_listing(root, members), members, folder)
    return parts


def _write_part(
    root: Path,
    half: str,
    part: str,
    tracklets: list[tuple[int, int, int]],
    as_zip: bool,
    compression: int,
) -> None:
    names: list[str] = []
    table = []
    for number, (pid, camera, frames) in enumerate(tracklets, start=1):
        prefix = "00-1" if pid == -1 else f"{pid:04d}"
        first = len(names) + 1
        # Real lists start some tracklets at a later frame.
        names += [f"{prefix}C{camera}T{number:04d}F{2 + frame:03d}.jpg" for frame in range(frames)]
        table.append([first, len(names), pid, camera])
    (root / f"info/{half}_name.txt").write_bytes("".join(f"{n}\r\n" for n in names).encode())
    scipy.io.savemat(
        root / f"info/tracks_{half}_info.mat", {f"track_{half}_info": np.array(table, np.int32)}
    )
    members = {f"{part}/{name[:4]}/{name}": jpeg(hash_of(name)) for name in names}
    if as_zip:
        with zipfile.ZipFile(root / f"{part}.zip", "w", compression) as archive:
            for member, data in reversed(members.items()):  # order must not matter
                archive.writestr(member, data)
    else:
        for member, data in members.items():
            (root / member).parent.mkdir(parents=True, exist_ok=True)
            (root / member).write_bytes(data)


def hash_of(name: str) -> int:
    """A number of a frame's name that is the same in every process."""
    return int.from_bytes(name.encode()[-16:], "little")


TWO_CAMERA = {
    "ilids-vid": (
        "i-LIDS-VID.tar",
        "i-LIDS-VID/sequences/cam{camera}/person{pid:03d}/"
        "cam{camera}_person{pid:03d}_{number:05d}.png",
    ),
    "prid2011": (
        "prid_2011.zip",
        "prid_2011/multi_shot/cam_{letter}/person_{pid:04d}/{number:04d}.png",
    ),
}
"""Archive and frame names of the two-camera datasets."""

MATRIX = "train-test people splits/train_test_splits_ilidsvid.mat"


def as_png(picture: bytes) -> bytes:
    """The same picture as a PNG."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(buffer, "PNG")
    return buffer.getvalue()


def split_matrix(test_people: Iterable[Iterable[int]]) -> bytes:
    """iLIDS-VID's split file; of each split, some people of the first half, the test half.

    Only for people up to number 10, whose index is their number.
    """
    rows = []
    for testing in test_people:
        first = list(testing)
        others = [index for index in range(300, 0, -1) if index not in first]
        rows.append([*first, *others])
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"ls_set": np.array(rows, float)})
    return buffer.getvalue()


@pytest.fixture
def write_two_camera(tmp_path: Path) -> Callable[..., Path]:
    """Writes a dataset in the layout of iLIDS-VID or PRID-2011, names in no order."""

    def write(
        dataset: str,
        sequences: dict[tuple[int, int], int],
        *,
        folder: str = "two_camera",
        extracted: bool = False,
        splits: Any = None,
        matrix: bytes | None = None,
        picture: Callable[[int, int, int], bytes] | None = None,
    ) -> Path:
        root = tmp_path / folder
        archive, pattern = TWO_CAMERA[dataset]
        files = {}
        for (pid, camera), frames in sequences.items():
            for frame in range(frames):
                # Numbers have gaps, and sort otherwise as text than as numbers.
                name = pattern.format(
                    pid=pid, camera=camera, letter="_ab"[camera], number=7 + 3 * frame
                )
                draw = picture or (lambda *place: as_png(jpeg(hash(place) & 0xFFFF)))
                files[name] = draw(pid, camera, frame)
        if matrix is not None:
            files[MATRIX] = matrix
        root.mkdir(parents=True, exist_ok=True)
        if splits is not None:
            (root / "splits.json").write_text(json.dumps(splits))
        shuffled = sorted(files, key=lambda name: name[::-1])
        if extracted:
            for name in shuffled:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(files[name])
        elif archive.endswith(".tar"):
            with tarfile.open(root / archive, "w") as tar:
                for name in shuffled:
                    info = tarfile.TarInfo(name)
                    info.size = len(files[name])
                    tar.addfile(info, io.BytesIO(files[name]))
        else:
            with zipfile.ZipFile(root / archive, "w") as packed:
                for name in shuffled:
                    packed.writestr(name, files[name])
        return root

    return write
