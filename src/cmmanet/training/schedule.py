"""The learning rate as a function of the iteration: nothing of it needs saving."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmmanet.params import Optimiser, Schedule


def learning_rate(optimiser: Optimiser, schedule: Schedule, iteration: int) -> float:
    """The rate of an iteration, counted from 0: divided by 10 at each milestone.

    A warm-up climbs in a straight line from a tenth of the rate, in iteration 0, to all of it in
    iteration `warmup` (Luo et al., CVPRW 2019), which is no later than the first milestone.
    """
    if iteration < schedule.warmup:
        return optimiser.lr * (0.1 + 0.9 * iteration / schedule.warmup)
    passed: int = sum(iteration >= milestone for milestone in schedule.milestones)
    return optimiser.lr * 0.1**passed
