import random
from collections import Counter
from itertools import pairwise

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
from cmmanet.clips.sampling import Interval, RandomInterval, Restricted, chunk_first

SAMPLER = RandomInterval(8, "epoch", "any")
PER_CLIP = RandomInterval(8, "clip", "any")


def plan(pids, **changes):
    options = {"identities": 3, "clips": 2, "sampler": SAMPLER, "seed": 0, "epoch": 0}
    return epoch_batches(pids, **(options | changes))


@st.composite
def splits(draw):
    """Pids of a training split, and how many of them a batch needs."""
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
    assert {request.sampler for request in requests} == {Interval(result.statistics["interval"])}
    assert 1 <= result.statistics["interval"] <= 8
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


@pytest.mark.parametrize(
    "sampler",
    [Restricted(), RandomInterval(8, "clip", "any"), RandomInterval(8, "epoch", "literal")],
)
def test_every_sampler_sees_the_same_tracklets_seeds_and_flips(sampler):
    pids = [pid for pid in range(8) for _ in range(5)]
    expected, other = plan(pids), plan(pids, sampler=sampler)
    assert other.repeated_clips == expected.repeated_clips
    assert other == plan(pids, sampler=sampler)
    differ = 0
    for batch, others in zip(expected.batches, other.batches, strict=True):
        for request, twin in zip(batch, others, strict=True):
            assert (request.tracklet, request.seed) == (twin.tracklet, twin.seed)
            positions, flip = clip_draw(request, 90, 6)
            others_positions, others_flip = clip_draw(twin, 90, 6)
            assert flip == others_flip
            differ += not torch.equal(positions, others_positions)
    assert differ


def test_an_interval_for_each_clip_is_uniform():
    pids = [pid for pid in range(50) for _ in range(32)]
    batches = plan(pids, sampler=PER_CLIP).batches
    drawn = [[request.sampler.interval for request in batch] for batch in batches]
    counts = Counter(interval for batch in drawn for interval in batch)
    assert set(counts) == set(range(1, 9))
    expected = sum(counts.values()) / 8
    statistic = sum((count - expected) ** 2 / expected for count in counts.values())
    assert abs(statistic - 7) < 4 * 14**0.5
    # Not one a batch: neighbours are alike as often as by chance.
    pairs = [(a, b) for batch in drawn for a, b in pairwise(batch)]
    alike = sum(a == b for a, b in pairs) / len(pairs)
    assert abs(alike - 1 / 8) < 4 * (7 / 64 / len(pairs)) ** 0.5
    assert drawn != [
        [request.sampler.interval for request in batch]
        for batch in plan(pids, sampler=PER_CLIP, epoch=1).batches
    ]


def test_draws_are_those_that_runs_were_trained_with():
    epoch = plan([5, 5, 5, 7, 7, 9, 9, 9, 9, 11], identities=2, seed=3, epoch=2)
    assert (epoch.statistics, epoch.repeated_clips) == ({"interval": 2}, 1)
    assert epoch.batches[0] == [
        ClipRequest(2, 419198555035879959, Interval(2)),
        ClipRequest(0, 4227372438631768215, Interval(2)),
        ClipRequest(4, 2933985733775153982, Interval(2)),
        ClipRequest(3, 277086008673450723, Interval(2)),
    ]
    assert epoch.batches[2][3] == ClipRequest(8, 2500260775363711936, Interval(2))
    drawn = [clip_draw(request, 40, 6) for request in epoch.batches[0]]
    assert [flip for _, flip in drawn] == [True, False, True, True]
    assert [int(positions[0]) for positions, _ in drawn] == [5, 28, 25, 1]
    without, flip = clip_draw(ClipRequest(2, 419198555035879959, Restricted()), 40, 6)
    assert (without.tolist(), flip) == ([3, 6, 17, 20, 30, 37], True)
    short, _ = clip_draw(epoch.batches[0][1], 9, 6)
    assert short.tolist() == [2, 3, 4, 5, 6, 7]


def test_interval_is_drawn_for_each_epoch():
    intervals = {plan([1, 2, 3], epoch=epoch).statistics["interval"] for epoch in range(200)}
    assert intervals == set(range(1, 9))


@given(
    st.integers(0, 2**63 - 1),
    st.just(Restricted()) | st.integers(1, 8).map(Interval),
    st.integers(1, 200),
    st.integers(1, 8),
)
def test_clip_draw_is_a_pure_function_of_the_request(seed, sampler, length, frames):
    request = ClipRequest(0, seed, sampler)
    drawn, flip = clip_draw(request, length, frames)
    assert (drawn.dtype, drawn.shape) == (torch.int64, (frames,))
    assert 0 <= drawn.min() <= drawn.max() < length
    again, same_flip = clip_draw(request, length, frames)
    assert torch.equal(drawn, again)
    assert flip is same_flip
    if sampler == Restricted():
        assert (drawn >= chunk_first(length, frames)).all()
    elif length > (frames - 1) * sampler.interval:
        assert (drawn.diff() == sampler.interval).all()


def test_the_clips_of_an_epoch_differ():
    every_frame = RandomInterval(1, "epoch", "any")
    batches = plan([pid for pid in range(50) for _ in range(20)], sampler=every_frame).batches
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
            r"a batch needs 16 identities, the training split has 4: "
            r"lower recipes\.<recipe>\.batch\.identities",
        ),
        ({"pids": []}, "a batch needs 3 identities, the training split has 0"),
        ({"identities": 0}, "identities and clips must be at least 1, not 0 and 2"),
        ({"clips": 0}, "identities and clips must be at least 1, not 3 and 0"),
        ({"sampler": RandomInterval(0, "epoch", "any")}, "max_interval must be at least 1, not 0"),
        ({"seed": -1}, "non-negative"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        plan(**({"pids": [1, 2, 3, 4]} | changes))
