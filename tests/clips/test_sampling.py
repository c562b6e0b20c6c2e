from dataclasses import fields
from itertools import islice
from typing import get_args
from unittest.mock import patch

import pytest
import torch
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st

from cmmanet.clips.sampling import (
    SAMPLERS,
    Interval,
    RandomInterval,
    Restricted,
    chunk_first,
    dense,
    make_sampler,
)
from cmmanet.params import load_params
from cmmanet.params.sections import Sampler as SamplerSection

LENGTHS, FRAMES, INTERVALS = st.integers(1, 1000), st.integers(1, 12), st.integers(1, 10)
SEEDS = st.integers(0, 2**63 - 1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_interval(length, frames, interval, generator, *, literal=False):
    return Interval(interval, literal).positions(length, frames, generator)


def restricted(length, frames, generator):
    return Restricted().positions(length, frames, generator)


def assert_uniform(counts):
    """Chi-square of `counts` against equal shares, at four standard deviations."""
    counts = torch.as_tensor(counts).double()
    freedom = len(counts) - 1
    statistic = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5


def chunks(length, frames):
    """The first and last position of each chunk that ⌊x·T/N⌋, x in [c, c+1), can give."""
    return [(c * length // frames, -(-(c + 1) * length // frames) - 1) for c in range(frames)]


@given(LENGTHS, FRAMES, INTERVALS, SEEDS)
def test_random_interval(length, frames, interval, seed):
    positions = random_interval(length, frames, interval, seeded(seed))
    assert (positions.dtype, positions.shape) == (torch.int64, (frames,))
    assert positions.min() >= 0
    assert positions.max() < length
    steps = positions.diff()
    if length > (frames - 1) * interval:
        assert (steps == interval).all()
    elif length >= frames:  # the largest interval that fits
        assert (steps == steps[0]).all()
        assert (frames - 1) * (steps[0] + 1) >= length
    else:
        assert positions.tolist() == [*range(length), *[length - 1] * (frames - length)]
    assert torch.equal(positions, random_interval(length, frames, interval, seeded(seed)))


@pytest.mark.parametrize(
    ("length", "frames", "interval", "starts"),
    [
        (20, 6, 3, 5),
        (16, 6, 3, 1),  # T = (N-1)g + 1: it just fits
        (15, 6, 3, 5),  # one less: g = 2
        (6, 6, 8, 1),  # T = N: every frame
        (7, 6, 8, 2),
        (9, 1, 5, 9),  # N = 1: any frame
        (3, 6, 8, 1),
        (1, 6, 8, 1),
        (1, 1, 1, 1),
    ],
)
def test_random_interval_draws_every_start_alike(length, frames, interval, starts):
    generator = seeded()
    drawn = [int(random_interval(length, frames, interval, generator)[0]) for _ in range(400)]
    assert set(drawn) == set(range(starts))  # the tracklet's first frame among them
    if starts > 1:
        assert_uniform([drawn.count(start) for start in range(starts)])


def papers_clips(length, frames, interval):
    """By the paper's words, from 1: s in [1, T-gN], frames s+g ... s+gN; here counted from 0."""
    return [
        [s + i * interval - 1 for i in range(1, frames + 1)]
        for s in range(1, length - interval * frames + 1)
    ]


@pytest.mark.parametrize("frames", [1, 2, 3, 6])
def test_literal_starts_are_the_papers(frames):
    for length in range(1, 31):
        for interval in range(1, 8):
            # Too short for g: the largest interval that leaves a start, if any does.
            fitting = [g for g in range(1, interval + 1) if papers_clips(length, frames, g)]
            expected = papers_clips(length, frames, fitting[-1]) if fitting else []

            def draw(choice, length=length, interval=interval, **options):
                with patch("torch.randint", side_effect=choice) as randint:
                    drawn = random_interval(length, frames, interval, seeded(), **options)
                return randint.call_args.args[0], drawn.tolist()

            count, _ = draw(lambda *_, **__: torch.tensor(0), literal=True)
            every = [
                draw(lambda *_, i=i, **__: torch.tensor(i), literal=True)[1] for i in range(count)
            ]
            if expected:
                assert every == expected
                assert min(map(min, every)) == fitting[-1], "the first g frames are never drawn"
                assert max(map(max, every)) == length - 1
            else:
                assert length <= frames
                assert draw(lambda *_, **__: torch.tensor(0)) == (count, every[0])


def test_literal_starts_are_drawn_alike():
    generator = seeded()
    drawn = [random_interval(30, 6, 3, generator, literal=True) for _ in range(600)]
    starts = [int(positions[0]) for positions in drawn]
    assert set(starts) == set(range(3, 15))
    assert_uniform([starts.count(start) for start in range(3, 15)])
    assert max(int(positions[-1]) for positions in drawn) == 29


def test_random_interval_reaches_the_last_frame():
    generator = seeded()
    assert max(int(random_interval(20, 6, 3, generator)[-1]) for _ in range(200)) == 19


@given(LENGTHS, FRAMES, SEEDS)
def test_restricted_takes_one_frame_of_each_chunk(length, frames, seed):
    positions = restricted(length, frames, seeded(seed))
    assert (positions.dtype, positions.shape) == (torch.int64, (frames,))
    for position, (first, last) in zip(positions.tolist(), chunks(length, frames), strict=True):
        assert first <= position <= last < length
    assert torch.equal(positions, restricted(length, frames, seeded(seed)))


def test_restricted_draws_alike_within_a_chunk():
    generator = seeded()
    drawn = torch.stack([restricted(30, 6, generator) for _ in range(1000)])
    for c, (first, _) in enumerate(chunks(30, 6)):
        assert_uniform((drawn[:, c] - first).bincount(minlength=5))


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_restricted_on_fewer_frames_than_chunks(length):
    generator = seeded()
    drawn = torch.stack([restricted(length, 6, generator) for _ in range(200)])
    assert drawn.unique().tolist() == list(range(length))
    assert (drawn.diff(dim=1) >= 0).all()


def test_restricted_stays_in_its_chunk_when_rounding_does_not(monkeypatch):
    below_one = torch.nextafter(torch.tensor(1.0).double(), torch.tensor(0.0).double())
    monkeypatch.setattr(torch, "rand", lambda frames, **_: below_one.expand(frames))
    assert restricted(12, 6, seeded()).tolist() == [1, 3, 5, 7, 9, 11]
    assert restricted(4, 6, seeded()).tolist() == [0, 1, 1, 2, 3, 3]


@given(LENGTHS, FRAMES)
def test_chunk_first(length, frames):
    positions = chunk_first(length, frames)
    assert positions.dtype == torch.int64
    assert positions.tolist() == [first for first, _ in chunks(length, frames)]


@given(LENGTHS)
def test_dense(length):
    assert dense(length).tolist() == list(range(length))


def test_the_interval_is_uniform_over_epochs_and_over_clips():
    generator = seeded()
    of_epochs = [RandomInterval(8, "epoch", "any").for_epoch(generator) for _ in range(800)]
    a_clip = RandomInterval(8, "clip", "literal").for_epoch(generator)
    for clips in ([next(clips) for clips, _ in of_epochs], list(islice(a_clip.clips, 800))):
        drawn = [clip.interval for clip in clips]
        assert set(drawn) == set(range(1, 9))
        assert_uniform([drawn.count(g) for g in range(1, 9)])
    for clips, statistics in of_epochs:
        assert {next(clips) for _ in range(3)} == {Interval(statistics["interval"])}
    assert a_clip.statistics == {} and next(a_clip.clips).literal


def test_parameters_describe_every_sampler():
    sections = get_args(get_args(SamplerSection)[0])
    kinds = [get_args(section.model_fields["kind"].annotation)[0] for section in sections]
    assert kinds == list(SAMPLERS)
    for kind, section in zip(kinds, sections, strict=True):
        settings = {field.name for field in fields(SAMPLERS[kind])}
        assert section.model_fields.keys() == settings | {"kind"}
    committed = load_params(REPOSITORY / "params.yaml").samplers["random_interval"]
    assert make_sampler(**vars(committed)) == RandomInterval(8, "epoch", "any")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random_interval(0, 6, 1, seeded()), "length and frames .* not 0 and 6"),
        (lambda: random_interval(5, 0, 1, seeded()), "length and frames .* not 5 and 0"),
        (lambda: random_interval(5, 6, 0, seeded()), "interval must be at least 1, not 0"),
        (lambda: restricted(0, 6, seeded()), "length and frames"),
        (lambda: restricted(5, 0, seeded()), "length and frames"),
        (lambda: chunk_first(0, 6), "length and frames"),
        (lambda: chunk_first(5, 0), "length and frames"),
        (lambda: dense(0), "length and frames"),
        (
            lambda: RandomInterval(0, "clip", "any").for_epoch(seeded()),
            "max_interval must be at least 1, not 0",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
