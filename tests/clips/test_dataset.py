from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import index_mars
from torch.utils.data import DataLoader

from cmmanet.clips.batches import ClipRequest, clip_draw, epoch_batches
from cmmanet.clips.dataset import ClipDataset
from cmmanet.clips.erasing import erasure_draw
from cmmanet.clips.normalise import MEAN, STD, normalise
from cmmanet.clips.sampling import Interval, RandomInterval, Restricted
from cmmanet.datasets.tracklets import Tracklets
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import decode
from cmmanet.frames.index import load_tracklets, open_store
from cmmanet.geometry import View
from cmmanet.params.recipe import Clip

VIEW = View(48, 24)


@pytest.fixture
def index(write_mars: Callable[..., Path], tmp_path: Path) -> tuple[FrameStore, Tracklets]:
    root = write_mars()
    parts = index_mars(root, tmp_path)
    return open_store(tmp_path, parts), load_tracklets(tmp_path)


def dataset_of(
    index: tuple[FrameStore, Tracklets], *, flip: bool = True, erase: float = 0.0
) -> ClipDataset:
    store, tracklets = index
    clip = Clip(frames=3, flip=flip, erase=erase)
    return ClipDataset(store, tracklets, np.flatnonzero(tracklets.role == "train"), clip, VIEW)


def test_a_clip_is_the_frames_its_request_draws(index: tuple[FrameStore, Tracklets]) -> None:
    store, tracklets = index
    dataset = dataset_of(index)
    requests = [
        ClipRequest(1, 0, Interval(2)),
        ClipRequest(3, 6, Restricted()),
        ClipRequest(2, 8, Interval(4)),
    ]
    batch = dataset.__getitems__(requests)
    assert batch.clips.shape == (3, 3, 3, 48, 24) and batch.clips.dtype == torch.uint8
    assert batch.labels.tolist() == [0, 1, 1]
    flips = set()
    for request, clip in zip(requests, batch.clips, strict=True):
        positions, flip = clip_draw(request, int(tracklets.length[request.tracklet]), 3)
        flips.add(flip)
        for position, frame in zip(positions.tolist(), clip, strict=True):
            row = int(tracklets.first[request.tracklet]) + position
            expected = decode(store.read(row), 48, 24)
            expected = expected[:, ::-1] if flip else expected
            np.testing.assert_array_equal(frame.permute(1, 2, 0).numpy(), expected)
    assert len(flips) == 2, "the seeds should show both"


def test_flip_off_mirrors_nothing(index: tuple[FrameStore, Tracklets]) -> None:
    requests = [ClipRequest(1, seed, Interval(1)) for seed in range(8)]
    mirrored = dataset_of(index).__getitems__(requests).clips
    plain = dataset_of(index, flip=False).__getitems__(requests).clips
    flips = torch.tensor([clip_draw(r, 5, 3)[1] for r in requests])
    assert torch.equal(plain[~flips], mirrored[~flips])
    assert torch.equal(plain[flips], mirrored[flips].flip(-1))


def test_frames_are_channels_last_in_memory(index: tuple[FrameStore, Tracklets]) -> None:
    clips = dataset_of(index).__getitems__([ClipRequest(0, 0, Interval(1))]).clips
    frames = normalise(clips).flatten(0, 1)
    assert frames.is_contiguous(memory_format=torch.channels_last)


def test_erased_pixels_are_the_mean_in_all_frames_and_no_other_pixel_changes(
    index: tuple[FrameStore, Tracklets],
) -> None:
    requests = [ClipRequest(1, seed, Interval(1)) for seed in range(16)]
    plain = dataset_of(index).__getitems__(requests)
    erased = dataset_of(index, erase=0.5).__getitems__(requests)
    assert torch.equal(plain.labels, erased.labels)
    hit = 0
    for request, before, after in zip(requests, plain.clips, erased.clips, strict=True):
        expected = before.clone()
        if (rectangle := erasure_draw(request, VIEW, 0.5)) is not None:
            hit += 1
            for frame in expected:
                for y in range(rectangle.top, rectangle.top + rectangle.height):
                    for x in range(rectangle.left, rectangle.left + rectangle.width):
                        frame[:, y, x] = torch.tensor([124, 116, 104])
        assert torch.equal(after, expected)
    assert 0 < hit < 16
    # The network sees next to nothing there.
    assert normalise(torch.tensor([124, 116, 104], dtype=torch.uint8).view(3, 1, 1)).abs().max() < (
        0.5 / 255 / 0.22
    )


@pytest.mark.parametrize(
    ("erase", "sampler"),
    [
        (0.0, RandomInterval(3, "epoch", "any")),
        (0.5, Restricted()),
        (0.0, RandomInterval(3, "clip", "literal")),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_clips_do_not_depend_on_workers(
    index: tuple[FrameStore, Tracklets], workers: int, erase: float, sampler: Any
) -> None:
    dataset = dataset_of(index, erase=erase)
    batches = [
        batch
        for epoch in range(4)
        for batch in epoch_batches(
            dataset.pid, identities=2, clips=2, sampler=sampler, seed=0, epoch=epoch
        ).batches
    ]
    read = [
        list(
            DataLoader(
                dataset, batch_sampler=batches, num_workers=count, collate_fn=lambda batch: batch
            )
        )
        for count in (0, workers)
    ]
    for alone, beside in zip(*read, strict=True):
        assert torch.equal(alone.clips, beside.clips) and torch.equal(alone.labels, beside.labels)


def test_normalise_is_the_textbook_formula() -> None:
    pixels = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(normalise(pixels), (pixels / 255 - mean) / std)
