"""Which frames of a tracklet make a clip: int64 [frames] of 0-based positions in it.

Two samplers for training (paper §III-A and Table III) and the two ways of testing. None reads a
frame or knows a dataset: a tracklet is its length.

A new sampler is a class here and its entry in `SAMPLERS`, its keys in `params/sections.py`, and an
entry of `samplers` in params.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor


class ClipSampler(Protocol):
    """What draws the frames of one clip. It travels to the decoding processes: keep it small."""

    def positions(self, length: int, frames: int, generator: torch.Generator) -> Tensor:
        """Draw int64 [frames] positions in a tracklet of `length` frames, in ascending order."""


class EpochSampler(NamedTuple):
    """A sampler for one epoch.

    Attributes:
        clips: the sampler of each clip, in the order of the epoch's clips, without end.
        statistics: what was drawn for the whole epoch, to log.
    """

    clips: Iterator[ClipSampler]
    statistics: dict[str, float]


class Sampler(Protocol):
    """A way to sample training clips, with the settings that params.yaml gives it."""

    def for_epoch(self, generator: torch.Generator) -> EpochSampler:
        """Draw what the clips of an epoch share."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A clip of random interval sampling (paper §III-A): frames that lie `interval` apart.

    The start is uniform over every one that fits, [0, T-1-(N-1)g] for T = `length`, N = `frames`,
    g = `interval`. With `literal` it is uniform over the paper's own range, s ∈ [1, T-gN] for
    frames s+g … s+gN, counted from 1: positions g+s-1 and on, so the first g frames are never
    drawn.

    The paper's range is undefined when T ≤ gN, and the paper gives no rule. Ours: a tracklet too
    short for g gets the largest interval that leaves a start, and one shorter than N frames is
    taken whole, its last frame repeated. Where the literal range has no start at any interval,
    T ≤ N, clips are drawn as without `literal`.
    """

    interval: int
    literal: bool = False

    def positions(self, length: int, frames: int, generator: torch.Generator) -> Tensor:
        """Draw the start.

        Raises:
            ValueError: `length`, `frames` or `interval` is below 1.
        """
        _check(length, frames)
        interval = self.interval
        if interval < 1:
            raise ValueError(f"interval must be at least 1, not {interval}")
        if self.literal and length > frames:
            interval = min(interval, (length - 1) // frames)
            start = interval + torch.randint(length - frames * interval, (), generator=generator)
        else:
            if frames > 1:
                interval = min(interval, max(1, (length - 1) // (frames - 1)))
            starts = max(1, length - (frames - 1) * interval)
            start = torch.randint(starts, (), generator=generator)
        return (start + interval * torch.arange(frames)).clamp(max=length - 1)


@dataclass(frozen=True, slots=True)
class RandomInterval:
    """Random interval sampling: g is uniform in 1…max_interval.

    It is drawn once per epoch, as in the paper (§III-A), or once per clip; the paper does not give
    its range. `start` is that of `Interval`.
    """

    max_interval: int
    draw: Literal["epoch", "clip"]
    start: Literal["any", "literal"]

    def for_epoch(self, generator: torch.Generator) -> EpochSampler:
        """Draw g for the epoch, or leave it to each clip.

        Raises:
            ValueError: `max_interval` is below 1.
        """
        if self.max_interval < 1:
            raise ValueError(f"max_interval must be at least 1, not {self.max_interval}")

        def draw() -> Interval:
            interval = torch.randint(1, self.max_interval + 1, (), generator=generator)
            return Interval(int(interval), self.start == "literal")

        if self.draw == "clip":
            return EpochSampler((draw() for _ in repeat(None)), {})
        clip = draw()
        return EpochSampler(repeat(clip), {"interval": clip.interval})


@dataclass(frozen=True, slots=True)
class Restricted:
    """Restricted random sampling (paper's ref. [5]): a random frame from each of N equal chunks.

    Chunk c gives frame ⌊(c+u)·T/N⌋, u uniform in [0, 1), for T = `length` and N = `frames`. That
    needs neither T divisible by N nor T ≥ N: below N some frames repeat.
    """

    def for_epoch(self, generator: torch.Generator) -> EpochSampler:
        """Draw nothing: clips share nothing."""
        del generator
        return EpochSampler(repeat(self), {})

    def positions(self, length: int, frames: int, generator: torch.Generator) -> Tensor:
        """Draw a frame of each chunk.

        Raises:
            ValueError: `length` or `frames` is below 1.
        """
        _check(length, frames)
        chunk = torch.arange(frames)
        u = torch.rand(frames, generator=generator, dtype=torch.float64)
        positions = ((chunk + u) * length / frames).long()
        last = ((chunk + 1) * length - 1) // frames  # c + u may have been rounded up to c + 1
        return torch.minimum(positions, last)


# By `kind` in params.yaml.
SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "random_interval": RandomInterval,
    "restricted": Restricted,
}


def make_sampler(kind: str, **settings: Any) -> Sampler:
    """Return the sampler that an entry of `samplers` in params.yaml describes."""
    return SAMPLERS[kind](**settings)


def chunk_first(length: int, frames: int) -> Tensor:
    """Return the first frame of each of N equal chunks, ⌊c·T/N⌋: the sparse way of testing.

    The paper does not say which frames it tests on; this and `dense` are the two usual ways.

    Raises:
        ValueError: `length` or `frames` is below 1.
    """
    _check(length, frames)
    return torch.arange(frames) * length // frames


def dense(length: int) -> Tensor:
    """Return every frame of the tracklet [length]: the dense way of testing.

    Raises:
        ValueError: `length` is below 1.
    """
    _check(length, 1)
    return torch.arange(length)


def _check(length: int, frames: int) -> None:
    if length < 1 or frames < 1:
        raise ValueError(f"length and frames must be at least 1, not {length} and {frames}")
