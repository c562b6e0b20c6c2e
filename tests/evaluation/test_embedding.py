import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from conftest import index_mars
from hypothesis import given
from hypothesis import strategies as st

from cmmanet.clips.normalise import normalise
from cmmanet.clips.sampling import chunk_first
from cmmanet.datasets.tracklets import Tracklets
from cmmanet.evaluation import frame_batches
from cmmanet.evaluation.embedding import embed
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
from cmmanet.frames.index import load_tracklets, open_store
from cmmanet.geometry import View
from cmmanet.model.network import CMMANet
from cmmanet.training.device import Runtime

RUNTIME = Runtime(torch.device("cpu"), torch.float32, workers=0)


@pytest.mark.parametrize("neck", ["none", "bnneck"])
@pytest.mark.parametrize(("batch", "workers"), [(1, 0), (5, 0), (5, 2), (128, 0)])
def test_both_modes_are_means_of_the_clip_network(
    write_mars: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    workers: int,
    neck: str,
) -> None:
    root = write_mars()
    parts = index_mars(root, tmp_path)
    tracklets, store = load_tracklets(tmp_path), open_store(tmp_path, parts)
    torch.manual_seed(0)
    network = CMMANet("resnet18", 2, mam_after=(3, 4), submodules=2, hidden=4, neck=neck).eval()
    if neck == "bnneck":
        network.neck.running_mean.uniform_(0.5, 2)
        network.neck.running_var.uniform_(0.5, 2)
    monkeypatch.setattr(frame_batches, "BATCH", batch)
    rows, seen = [9, 4, 6], []
    embeddings = embed(
        network,
        store,
        tracklets,
        rows,
        chunks=3,
        view=View(64, 32),
        runtime=Runtime(torch.device("cpu"), torch.float32, workers),
        on_frames=seen.append,
    )
    assert seen[-1] == 3 + 2 + 4
    for position, row in enumerate(rows):
        first, length = int(tracklets.first[row]), int(tracklets.length[row])
        for features, positions in (
            (embeddings.features["dense"], torch.arange(length)),
            (embeddings.features["chunk_first"], chunk_first(length, 3)),
        ):
            pixels = read_frames(store, (first + positions).tolist(), 64, 32)
            clip = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))[None]
            with torch.no_grad():
                expected = network.neck(network(clip).features)[0]
            torch.testing.assert_close(features[position], expected, rtol=1e-4, atol=1e-5)


def painted(store: object, rows: list[int], height: int, width: int) -> np.ndarray:
    """Frames that their rows draw: no archive is needed for them."""
    del store
    return np.stack(
        [np.random.default_rng(row).integers(0, 256, (height, width, 3), np.uint8) for row in rows]
    )


@pytest.mark.slow
@pytest.mark.parametrize("frames", [129, 128])
def test_no_batch_is_left_with_a_few_frames(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_batches, "read_frames", painted)
    torch.manual_seed(0)
    network = CMMANet("resnet18", 2, mam_after=(), submodules=2, hidden=4).eval()
    # The batches' bound lies within the second tracklet.
    length = np.array([10, frames - 30, 20])
    first = np.array([1000, 0, 500])
    none = np.zeros(3, np.int64)
    tracklets = Tracklets(none, none, none, first, length, np.array(["gallery"] * 3))
    told: list[int] = []
    embeddings = embed(
        network,
        cast(FrameStore, None),
        tracklets,
        [0, 1, 2],
        chunks=4,
        view=View(32, 32),
        runtime=RUNTIME,
        on_frames=told.append,
    )
    assert told == {129: [64, 129], 128: [128]}[frames]
    for row in range(3):
        features = []
        for frame in range(int(first[row]), int(first[row] + length[row])):
            pixels = torch.from_numpy(painted(None, [frame], 32, 32)).permute(0, 3, 1, 2)
            with torch.no_grad():
                features.append(network.frame_features(normalise(pixels))[0])
        chosen = [features[int(place)] for place in chunk_first(int(length[row]), 4)]
        for frames_used, expected in (("dense", features), ("chunk_first", chosen)):
            mean = torch.stack(expected).double().mean(0).float()
            embedded = embeddings.features[frames_used][row]
            torch.testing.assert_close(embedded, mean, rtol=1e-4, atol=1e-5)


@given(st.integers(1, 2000), st.integers(1, 200))
def test_batches_are_of_one_size_but_for_a_frame(frames: int, most: int) -> None:
    rows = list(range(7, 7 + frames))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_batches, "BATCH", most)
        read = list(frame_batches.frame_batches(rows, list, RUNTIME))
    assert [row for batch in read for row in batch] == rows
    sizes = [len(batch) for batch in read]
    assert max(sizes) <= most and max(sizes) - min(sizes) <= 1
    assert len(sizes) == math.ceil(frames / most), "no more of them than needed"
