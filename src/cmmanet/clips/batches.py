"""Identity batches: an epoch of clips, with all that is random about them decided in advance.

Randomness is data. A clip is asked for by a `ClipRequest` that carries the tracklet, the interval
and a seed of its own; `clip_draw` turns it into frames and a flip and draws from nothing else. So
the clips are the same with any number of workers, on several processes and after a resume.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cmmanet.clips.sampling import draw_interval, random_interval, restricted


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """One clip to make.

    Attributes:
        tracklet: row of the training tracklets.
        interval: g of random interval sampling; None asks for restricted sampling.
        seed: of everything random within the clip, below 2⁶³.
        literal: whether random interval sampling takes its start from the paper's own range.
    """

    tracklet: int
    interval: int | None
    seed: int
    literal: bool = False


class Epoch(NamedTuple):
    """An epoch's batches, and what is worth logging about them.

    Attributes:
        batches: identities × clips requests each, an identity's clips side by side.
        interval: g of the epoch; None where each clip has its own, and under restricted sampling.
        repeated_clips: how many clips are of a tracklet that their batch already has, because the
            identity has too few.
    """

    batches: list[list[ClipRequest]]
    interval: int | None
    repeated_clips: int


def epoch_batches(
    pids: Sequence[int] | npt.NDArray[np.integer],
    *,
    identities: int,
    clips: int,
    max_interval: int | None,
    seed: int,
    epoch: int,
    interval_per_clip: bool = False,
    literal: bool = False,
) -> Epoch:
    """Plan an epoch: batches of `identities` distinct pids, each with `clips` clips.

    `pids` holds the pid of every training tracklet. The paper does not define an epoch; this one is
    a single pass over the training tracklets, counted in clips: ⌈tracklets / clips a batch⌉
    batches. Identities come in shuffled rounds, each once a round, and so do an identity's
    tracklets: all of them before any again, and none twice in a batch unless there are fewer than
    `clips`. As every identity gets the same share, an epoch need not see every tracklet of an
    identity that has many.

    With `max_interval`, one interval is drawn for the epoch (paper §III-A), or one for each clip
    where `interval_per_clip` is set; starts are then any that fit, or the paper's `literal` ones
    (see `random_interval`). None is restricted sampling. Under all of them the same seed and epoch
    give the same tracklets in the same order.

    A pure function of its arguments: no epoch depends on another, nor on any global generator.

    Raises:
        ValueError: `identities` or `clips` below 1; fewer pids than `identities`; `max_interval`
            below 1; a negative `seed` or `epoch`.
    """
    if identities < 1 or clips < 1:
        raise ValueError(f"identities and clips must be at least 1, not {identities} and {clips}")
    pids = np.asarray(pids)
    by_pid = np.argsort(pids, kind="stable")
    tracklets = np.split(by_pid, np.flatnonzero(np.diff(pids[by_pid])) + 1) if len(pids) else []
    if identities > len(tracklets):
        raise ValueError(
            f"batch wants {identities} identities, the training split has {len(tracklets)}: "
            "lower recipes.<recipe>.batch.identities, or that in the dataset's overrides"
        )

    rng = np.random.default_rng(np.random.SeedSequence([seed, epoch]))
    # Drawn under either sampler, so that both see the same tracklets.
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    interval = None
    if max_interval is not None and not interval_per_clip:
        interval = draw_interval(max_interval, generator)

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
        intervals = [interval] * len(rows)
        if max_interval is not None and interval_per_clip:
            intervals = [draw_interval(max_interval, generator) for _ in rows]
        batches.append(
            [
                ClipRequest(row, own_interval, own_seed, literal)
                for row, own_interval, own_seed in zip(rows, intervals, seeds, strict=True)
            ]
        )
    return Epoch(batches, interval, repeated)


def epoch_length(tracklets: int, batch: int) -> int:
    """Batches of `batch` clips in one pass over `tracklets` training tracklets."""
    return -(-tracklets // batch)


def clip_draw(request: ClipRequest, length: int, frames: int) -> tuple[Tensor, bool]:
    """Give the clip's positions in its tracklet, int64 [frames], and whether it is flipped.

    One decision for the whole clip. A pure function: everything is drawn from the request's seed.

    Raises:
        ValueError: `length` or `frames` is below 1.
    """
    generator = torch.Generator().manual_seed(request.seed)
    # Before the positions, which draw differently under the two samplers: both flip the same clips.
    flip = bool(torch.rand((), generator=generator) < 0.5)
    if request.interval is None:
        return restricted(length, frames, generator), flip
    positions = random_interval(
        length, frames, request.interval, generator, literal=request.literal
    )
    return positions, flip


def short_tracklets(lengths: Sequence[int] | npt.NDArray[np.integer], frames: int) -> int:
    """Count the tracklets with fewer than `frames` frames: their clips must repeat some."""
    return int(np.count_nonzero(np.asarray(lengths) < frames))


def _deal(
    waiting: list[int], everyone: npt.NDArray[np.integer], count: int, rng: np.random.Generator
) -> list[int]:
    """Take `count` distinct ones off `waiting`, refilling it with a shuffled round of `everyone`.

    Those of the new round that this deal already has stay at the front of the queue.
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
