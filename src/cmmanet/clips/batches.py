"""Identity batches: an epoch of clips, with all that is random about them decided in advance.

Randomness is data. A `ClipRequest` carries the tracklet, the clip's sampler and a seed of its own;
`clip_draw` turns it into frames and a flip and draws from nothing else. So the clips are the same
with any number of workers, on several processes and after a resume.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cmmanet.clips.sampling import ClipSampler, Sampler


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """One clip to make.

    Attributes:
        tracklet: row of the training tracklets.
        seed: of everything random within the clip, below 2⁶³.
        sampler: draws its frames.
    """

    tracklet: int
    seed: int
    sampler: ClipSampler


class Epoch(NamedTuple):
    """An epoch's batches, and what is worth logging about them.

    Attributes:
        batches: identities × clips requests each, an identity's clips side by side.
        statistics: what the sampler drew for the whole epoch.
        repeated_clips: how many clips are of a tracklet that their batch already has, because the
            identity has too few.
    """

    batches: list[list[ClipRequest]]
    statistics: dict[str, float]
    repeated_clips: int


def epoch_batches(
    pids: Sequence[int] | npt.NDArray[np.integer],
    *,
    identities: int,
    clips: int,
    sampler: Sampler,
    seed: int,
    epoch: int,
) -> Epoch:
    """Plan an epoch: batches of `identities` distinct pids, each with `clips` clips.

    `pids` holds the pid of every training tracklet. The paper does not define an epoch; this one is
    a single pass over the training tracklets, counted in clips: ⌈tracklets / clips a batch⌉
    batches. Identities come in shuffled rounds, each once a round, and so do an identity's
    tracklets: all of them before any again, and none twice in a batch unless there are fewer than
    `clips`. As every identity gets the same share, an epoch need not see every tracklet of an
    identity that has many.

    The same seed and epoch give the same tracklets in the same order under every sampler.

    A pure function of its arguments: no epoch depends on another, nor on any global generator.

    Raises:
        ValueError: `identities` or `clips` below 1; fewer pids than `identities`; a negative
            `seed` or `epoch`; settings that the sampler refuses.
    """
    if identities < 1 or clips < 1:
        raise ValueError(f"identities and clips must be at least 1, not {identities} and {clips}")
    pids = np.asarray(pids)
    by_pid = np.argsort(pids, kind="stable")
    tracklets = np.split(by_pid, np.flatnonzero(np.diff(pids[by_pid])) + 1) if len(pids) else []
    if identities > len(tracklets):
        raise ValueError(
            f"a batch needs {identities} identities, the training split has {len(tracklets)}: "
            "lower recipes.<recipe>.batch.identities, or the dataset's override of it"
        )

    rng = np.random.default_rng(np.random.SeedSequence([seed, epoch]))
    # The sampler has a generator of its own: whatever it draws, tracklets and seeds are the same.
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    samplers, statistics = sampler.for_epoch(generator)

    everyone = np.arange(len(tracklets))
    waiting: list[int] = []
    waiting_tracklets: list[list[int]] = [[] for _ in tracklets]
    batches = []
    repeated = 0
    for _ in range(epoch_length(len(pids), identities * clips)):
        rows: list[int] = []
        for identity in _deal(waiting, everyone, identities, rng):
            own = tracklets[identity]
            repeated += max(0, clips - len(own))
            for dealt in range(0, clips, len(own)):
                count = min(len(own), clips - dealt)
                rows += _deal(waiting_tracklets[identity], own, count, rng)
        seeds = rng.integers(2**63, size=len(rows)).tolist()
        # `samplers` has no end and comes last: `map` takes one from it per clip, and no more.
        batches.append(list(map(ClipRequest, rows, seeds, samplers)))
    return Epoch(batches, statistics, repeated)


def epoch_length(tracklets: int, batch: int) -> int:
    """Return the number of batches of `batch` clips in one pass over the training tracklets."""
    return -(-tracklets // batch)


def clip_draw(request: ClipRequest, length: int, frames: int) -> tuple[Tensor, bool]:
    """Draw the clip's positions in its tracklet, int64 [frames], and whether the clip is flipped.

    A pure function: everything is drawn from the request's seed.

    Raises:
        ValueError: `length` or `frames` is below 1.
    """
    generator = torch.Generator().manual_seed(request.seed)
    # Before the positions, whose draws differ between samplers: all flip the same clips.
    flip = bool(torch.rand((), generator=generator) < 0.5)
    return request.sampler.positions(length, frames, generator), flip


def short_tracklets(lengths: Sequence[int] | npt.NDArray[np.integer], frames: int) -> int:
    """Count the tracklets with fewer than `frames` frames: their clips must repeat some."""
    return int(np.count_nonzero(np.asarray(lengths) < frames))


def _deal(
    waiting: list[int], everyone: npt.NDArray[np.integer], count: int, rng: np.random.Generator
) -> list[int]:
    """Take `count` distinct items off `waiting`, refilling it with a shuffled round of `everyone`.

    Items of the new round that this deal already has stay at the front of the queue.
    """
    dealt = waiting[:count]
    del waiting[:count]
    if missing := count - len(dealt):
        taken = set(dealt)
        waiting += rng.permutation(everyone).tolist()
        fresh = [item for item in waiting if item not in taken][:missing]
        dealt += fresh
        taken = set(fresh)
        waiting[:] = [item for item in waiting if item not in taken]
    return dealt
