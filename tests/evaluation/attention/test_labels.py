"""Label maps are those that the renderer wrote, by the rows of the index."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import index_mars
from PIL import Image

from cmmanet.datasets.rendered.synthetic import render
from cmmanet.evaluation.attention.labels import open_labels, read_labels
from cmmanet.frames.archive import ArchiveError
from cmmanet.frames.decode import DecodeError


def index(root: Path, folder: Path) -> Path:
    index_mars(root, folder)
    return folder


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_maps_are_the_renderers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    root = tmp_path / "raw"
    render(
        root,
        train_identities=1,
        test_identities=2,
        distractors=1,
        junk=1,
        cameras=2,
        tracklets_per_camera=1,
        frames_min=2,
        frames_max=3,
        occlusion=0.5,
        height=40,
        width=24,
        seed=3,
    )
    folder = index(root, tmp_path / "index")
    names = pq.read_table(folder / "frames.parquet")["name"].to_pylist()
    store = open_labels(folder, root)
    assert store is not None and len(store) == len(names)
    rows = [len(names) - 1, 0, 3]
    maps = read_labels(store, rows)
    assert maps.shape == (3, 40, 24) and maps.dtype == np.uint8
    for row, labels in zip(rows, maps, strict=True):
        split = names[row].split("/")[0].removeprefix("bbox_")
        with zipfile.ZipFile(root / f"masks_{split}.zip") as archive:
            picture = Image.open(io.BytesIO(archive.read(names[row].replace(".jpg", ".png"))))
        np.testing.assert_array_equal(labels, np.array(picture))


def test_other_datasets_have_none(write_mars: Callable[..., Path], tmp_path: Path) -> None:
    root = write_mars()
    assert open_labels(index(root, tmp_path / "index"), root) is None


@pytest.fixture
def with_masks(write_mars: Callable[..., Path], tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """MARS with the label maps that a test gives, or blank ones: its index and its folder."""

    def write(blank: bytes, **given: bytes | None) -> tuple[Path, Path]:
        root = write_mars()
        folder = index(root, tmp_path / "index")
        names = pq.read_table(folder / "frames.parquet")["name"].to_pylist()
        with zipfile.ZipFile(root / "masks_all.zip", "w") as archive:
            for row, name in enumerate(names):
                content = given.get(f"row{row}", blank)
                if content is not None:
                    archive.writestr(name.replace(".jpg", ".png"), content)
        return folder, root

    return write


BLANK = np.zeros((8, 4), np.uint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(np.full((8, 4), 8, np.uint8)), "a label 8, and parts go up to 7"),
        (png(np.zeros((8, 4, 3), np.uint8)), "its pixels are RGB"),
        (png(np.zeros((8, 5), np.uint8)), "not of the size of the others"),
        (png(np.arange(32, dtype=np.uint8).reshape(8, 4) % 8)[:50], "truncated"),
        (b"nothing", "not a PNG image"),
    ],
)
def test_what_is_no_label_map_is_named(
    with_masks: Callable[..., tuple[Path, Path]], content: bytes, message: str
) -> None:
    store = open_labels(*with_masks(png(BLANK), row1=content))
    assert store is not None
    assert read_labels(store, [0, 2]).shape == (2, 8, 4)
    with pytest.raises(DecodeError, match=message) as told:
        read_labels(store, [0, 1])
    assert "masks_all.zip" in str(told.value) and "\n" not in str(told.value)


def test_a_frame_without_a_map_is_named(with_masks: Callable[..., tuple[Path, Path]]) -> None:
    with pytest.raises(ValueError, match=r"1 frames have no label map \(bbox_.*\.png is in none"):
        open_labels(*with_masks(png(BLANK), row1=None))


def test_a_damaged_archive_is_refused(
    with_masks: Callable[..., tuple[Path, Path]],
) -> None:
    folder, root = with_masks(png(BLANK))
    archive = root / "masks_all.zip"
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(ArchiveError, match="masks_all"):
        open_labels(folder, root)
