import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmanet.clips.batches import (
    ClipRequest,
    clip_draw,
    epoch_batches,
    short_tracklets,
)
from cmmanet.clips.sampling import chunk_first


def plan(pids, **changes):
    options = {"identities": 3, "clips": 2, "max_interval": 8, "seed": 0, "epoch": 0}
    return epoch_batches(pids, **(options | changes))


@st.composite
def splits(draw):
    """Pids of a training split, and how many of them a batch wants."""
    tracklets = draw(st.lists(st.integers(1, 9), min_size=1, max_size=12))
    pids = [10 * identity for identity, count in enumerate(tracklets) for _ in range(count)]
    draw(st.randoms(use_true_random=False)).shuffle(pids)
    return pids, draw(st.integers(1, len(tracklets)))


@settings(deadline=None)
@given(splits(), st.integers(1, 5), st.integers(0, 2**40), st.integers(0, 300))
def test_batches(split, clips, seed, epoch):
    pids, identities = split
    result = plan(pids, identities=identities, clips=clips, seed=seed, epoch=epoch)
    assert len(result.batches) == -(-len(pids) // (identities * clips))
    repeated = 0
    for batch in result.batches:
        assert len(batch) == identities * clips
        owners = [pids[request.tracklet] for request in batch]
        assert set(Counter(owners).values()) == {clips}
        assert len(set(owners)) == identities
        for start in range(0, len(batch), clips):
            assert len(set(owners[start : start + clips])) == 1
            rows = Counter(request.tracklet for request in batch[start : start + clips])
            # All its tracklets before any again.
            assert len(rows) == min(clips, pids.count(owners[start]))
            assert max(rows.values()) - min(rows.values()) <= 1
            repeated += clips - len(rows)
    assert result.repeated_clips == repeated
    requests = [request for batch in result.batches for request in batch]
    assert {request.interval for request in requests} == {result.interval}
    assert 1 <= result.interval <= 8
    assert all(0 <= request.seed < 2**63 for request in requests)
    assert len({request.seed for request in requests}) == len(requests)


@settings(deadline=None)
@given(splits(), st.integers(1, 4))
def test_identities_and_their_tracklets_come_in_rounds(split, clips):
    pids, identities = split
    pids = pids * 5
    batches = plan(pids, identities=identities, clips=clips).batches
    turns = Counter(dict.fromkeys(pids, 0))
    for batch in batches:
        turns.update(pids[request.tracklet] for request in batch[::clips])
    assert max(turns.values()) - min(turns.values()) <= 1
    uses = Counter(request.tracklet for batch in batches for request in batch)
    for pid in set(pids):
        own = [uses[row] for row, other in enumerate(pids) if other == pid]
        assert max(own) - min(own) <= 1


def test_pure_function_of_seed_and_epoch():
    pids = [pid for pid in range(8) for _ in range(pid + 1)]
    expected = plan(pids, seed=3, epoch=7)
    for seed_all in (random.seed, np.random.seed, torch.manual_seed):
        seed_all(1)
    plan(pids, seed=3, epoch=6)
    assert plan(np.array(pids), seed=3, epoch=7) == expected
    assert plan(pids, seed=3, epoch=8).batches != expected.batches
    assert plan(pids, seed=4, epoch=7).batches != expected.batches
    state = torch.get_rng_state()
    clip_draw(expected.batches[0][0], 50, 6)
    plan(pids)
    assert torch.equal(torch.get_rng_state(), state)


def test_both_samplers_see_the_same_tracklets():
    pids = [pid for pid in range(8) for _ in range(5)]
    ris, other = plan(pids), plan(pids, max_interval=None)
    assert other.interval is None
    without = [[ClipRequest(r.tracklet, None, r.seed) for r in batch] for batch in ris.batches]
    assert other.batches == without
    for request, twin in zip(ris.batches[0], without[0], strict=True):
        assert clip_draw(request, 40, 6)[1] == clip_draw(twin, 40, 6)[1]


def test_interval_is_drawn_for_each_epoch():
    intervals = Counter(plan([1, 2, 3], epoch=epoch).interval for epoch in range(200))
    assert set(intervals) == set(range(1, 9))


@given(
    st.integers(0, 2**63 - 1),
    st.none() | st.integers(1, 8),
    st.integers(1, 200),
    st.integers(1, 8),
)
def test_clip_draw_is_a_pure_function_of_the_request(seed, interval, length, frames):
    request = ClipRequest(0, interval, seed)
    drawn, flip = clip_draw(request, length, frames)
    assert (drawn.dtype, drawn.shape) == (torch.int64, (frames,))
    assert 0 <= drawn.min() <= drawn.max() < length
    again, same_flip = clip_draw(request, length, frames)
    assert torch.equal(drawn, again)
    assert flip is same_flip
    if interval is None:
        assert (drawn >= chunk_first(length, frames)).all()
    elif length > (frames - 1) * interval:
        assert (drawn.diff() == interval).all()


def test_the_clips_of_an_epoch_differ():
    batches = plan([pid for pid in range(50) for _ in range(20)], max_interval=1).batches
    draws = [clip_draw(request, 15, 6) for batch in batches for request in batch]
    starts = Counter(int(drawn[0]) for drawn, _ in draws)
    expected = len(draws) / 10
    assert sum((starts[s] - expected) ** 2 / expected for s in range(10)) < 9 + 4 * 18**0.5
    flips = sum(flip for _, flip in draws) / len(draws)
    assert abs(flips - 0.5) < 4 * 0.5 / len(draws) ** 0.5


@pytest.mark.parametrize("as_array", [list, np.array])
def test_short_tracklets(as_array):
    assert short_tracklets(as_array([1, 5, 6, 7, 900]), 6) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"identities": 16},
            r"batch wants 16 identities, the training split has 4: "
            r"lower recipes\.<recipe>\.batch\.identities",
        ),
        ({"pids": []}, "batch wants 3 identities, the training split has 0"),
        ({"identities": 0}, "identities and clips must be at least 1, not 0 and 2"),
        ({"clips": 0}, "identities and clips must be at least 1, not 3 and 0"),
        ({"max_interval": 0}, "max_interval must be at least 1, not 0"),
        ({"seed": -1}, "non-negative"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        plan(**({"pids": [1, 2, 3, 4]} | changes))
