from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cmmanet.clips.normalise import normalise
from cmmanet.clips.sampling import chunk_first
from cmmanet.datasets import mars
from cmmanet.evaluation import embedding
from cmmanet.evaluation.embedding import embed
from cmmanet.frames.archive import list_members
from cmmanet.frames.decode import read_frames
from cmmanet.frames.index import build_index, load_tracklets, open_store
from cmmanet.model.network import CMMANet


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
    parts = mars.find_parts(root)
    build_index(mars.read_listing(root), [list_members(p, ".jpg") for p in parts], tmp_path)
    tracklets, store = load_tracklets(tmp_path), open_store(tmp_path, parts)
    torch.manual_seed(0)
    network = CMMANet("resnet18", 2, mam_after=(3, 4), submodules=2, hidden=4, neck=neck).eval()
    if neck == "bnneck":
        network.neck.running_mean.uniform_(0.5, 2)
        network.neck.running_var.uniform_(0.5, 2)
    monkeypatch.setattr(embedding, "BATCH", batch)
    rows, seen = [9, 4, 6], []
    embeddings = embed(
        network,
        store,
        tracklets,
        rows,
        chunks=3,
        height=64,
        width=32,
        device=torch.device("cpu"),
        precision=torch.float32,
        workers=workers,
        on_frames=seen.append,
    )
    assert seen[-1] == 3 + 2 + 4
    for position, row in enumerate(rows):
        first, length = int(tracklets.first[row]), int(tracklets.length[row])
        for features, positions in (
            (embeddings.dense, torch.arange(length)),
            (embeddings.chunk_first, chunk_first(length, 3)),
        ):
            pixels = read_frames(store, (first + positions).tolist(), 64, 32)
            clip = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))[None]
            with torch.no_grad():
                expected = network.neck(network(clip).features)[0]
            torch.testing.assert_close(features[position], expected, rtol=1e-4, atol=1e-5)
