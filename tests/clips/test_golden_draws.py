"""Every draw of whole epochs, as hashes: the clips that published numbers were trained on."""

import hashlib
import json

import pytest

from cmmanet.clips.batches import clip_draw, epoch_batches
from cmmanet.clips.erasing import erasure_draw
from cmmanet.clips.sampling import RandomInterval, Restricted
from cmmanet.geometry import View

# Identities with 1 to 9 tracklets, of 1 to 60 frames.
PIDS = [10 * identity for identity in range(14) for _ in range(1 + identity * 5 % 9)]
LENGTHS = [1 + 7 * row * row % 60 for row in range(len(PIDS))]
FRAMES = 6

GOLDEN = {
    "restricted": ("ebc7dcad039265ccbb1239e0809656f32898249802d3eb187e9f82495ade0385"),
    "random_interval, epoch, any": (
        "c199d93b6f68692b8fba3d9cf58b916450cba71dba5281a3557748bc6efdb80a"
    ),
    "random_interval, epoch, literal": (
        "64054b184f539960413d64afbcf055e2e8f1e280f5b36501f7c3a7f539bfcc9c"
    ),
    "random_interval, clip, any": (
        "13bd92007bd3cbbf715795b250435da44ddb3436c2c613b9fbd94175ea7ebe33"
    ),
    "random_interval, clip, literal": (
        "3ff26c1db8a5a21aacf8194d07ded880ecbec37a4e0ed5a87e4a0efb9e83aa58"
    ),
}


def drawn(sampler, seed, epoch):
    """All that is random in an epoch, as JSON."""
    planned = epoch_batches(PIDS, identities=5, clips=4, sampler=sampler, seed=seed, epoch=epoch)
    clips = []
    for batch in planned.batches:
        for request in batch:
            positions, flip = clip_draw(request, LENGTHS[request.tracklet], FRAMES)
            erased = erasure_draw(request, View(128, 64), 0.5)
            clips.append([request.tracklet, request.seed, positions.tolist(), flip, erased])
    return json.dumps([planned.statistics.get("interval"), planned.repeated_clips, clips])


def digest(sampler):
    epochs = [drawn(sampler, seed, epoch) for seed in (0, 7) for epoch in (0, 1, 12)]
    return hashlib.sha256("\n".join(epochs).encode()).hexdigest()


SAMPLERS = {
    "restricted": Restricted(),
    **{
        f"random_interval, {draw}, {start}": RandomInterval(8, draw, start)
        for draw in ("epoch", "clip")
        for start in ("any", "literal")
    },
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_draw_of_whole_epochs(name):
    assert digest(SAMPLERS[name]) == GOLDEN[name]
