"""Which frames of a tracklet make a clip: int64 [frames] of 0-based positions in it.

Two samplers for training (paper §III-A and Table III) and the two ways of testing. None reads a
frame or knows a dataset: a tracklet is its length.
"""

import torch
from torch import Tensor


def draw_interval(max_interval: int, generator: torch.Generator) -> int:
    """Draw the interval g of random interval sampling, uniform in 1…max_interval.

    The paper draws g once an epoch (§III-A) and does not give its range.

    Raises:
        ValueError: `max_interval` is below 1.
    """
    if max_interval < 1:
        raise ValueError(f"max_interval must be at least 1, not {max_interval}")
    return int(torch.randint(1, max_interval + 1, (), generator=generator))


def random_interval(
    length: int,
    frames: int,
    interval: int,
    generator: torch.Generator,
    *,
    literal: bool = False,
) -> Tensor:
    """Random interval sampling (paper §III-A): `frames` positions, `interval` apart.

    The start is uniform over every one that fits, [0, T-1-(N-1)g] for T = `length`, N = `frames`,
    g = `interval`. With `literal` it is uniform over the paper's own range, s ∈ [1, T-gN] for
    frames s+g … s+gN, counted from 1: positions g+s-1 and on, so that the first g frames are never
    drawn.

    The paper's range is undefined when T ≤ gN, and the paper gives no rule. Ours: a tracklet too
    short for g gets the largest interval that leaves a start, and one shorter than N frames is
    taken whole, its last frame repeated. Where the literal range has no start at any interval,
    T ≤ N, its clips are the other's.

    Raises:
        ValueError: `length`, `frames` or `interval` is below 1.
    """
    _check(length, frames)
    if interval < 1:
        raise ValueError(f"interval must be at least 1, not {interval}")
    if literal and length > frames:
        interval = min(interval, (length - 1) // frames)
        start = interval + torch.randint(length - frames * interval, (), generator=generator)
    else:
        if frames > 1:
            interval = min(interval, max(1, (length - 1) // (frames - 1)))
        starts = max(1, length - (frames - 1) * interval)
        start = torch.randint(starts, (), generator=generator)
    return (start + interval * torch.arange(frames)).clamp(max=length - 1)


def restricted(length: int, frames: int, generator: torch.Generator) -> Tensor:
    """Restricted random sampling (paper's ref. [5]): a random frame from each of N equal chunks.

    Chunk c gives frame ⌊(c+u)·T/N⌋, u uniform in [0, 1), for T = `length` and N = `frames`. That
    needs neither T divisible by N nor T ≥ N: below N some frames repeat.

    Raises:
        ValueError: `length` or `frames` is below 1.
    """
    _check(length, frames)
    chunk = torch.arange(frames)
    u = torch.rand(frames, generator=generator, dtype=torch.float64)
    positions = ((chunk + u) * length / frames).long()
    last = ((chunk + 1) * length - 1) // frames  # c + u may have been rounded up to c + 1
    return torch.minimum(positions, last)


def chunk_first(length: int, frames: int) -> Tensor:
    """The first frame of each of N equal chunks, ⌊c·T/N⌋: the sparse way of testing.

    The paper does not say which frames it tests on; this and `dense` are the two usual ways.

    Raises:
        ValueError: `length` or `frames` is below 1.
    """
    _check(length, frames)
    return torch.arange(frames) * length // frames


def dense(length: int) -> Tensor:
    """Every frame of the tracklet [length]: the dense way of testing.

    Raises:
        ValueError: `length` is below 1.
    """
    _check(length, 1)
    return torch.arange(length)


def _check(length: int, frames: int) -> None:
    if length < 1 or frames < 1:
        raise ValueError(f"length and frames must be at least 1, not {length} and {frames}")
