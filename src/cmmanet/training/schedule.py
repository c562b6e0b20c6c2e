"""The learning rate as a function of the iteration: nothing of it needs saving."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmmanet.params import Optimiser, Schedule


def learning_rate(optimiser: Optimiser, schedule: Schedule, iteration: int) -> float:
    """The rate of an iteration, counted from 0: divided by 10 at each milestone."""
    passed: int = sum(iteration >= milestone for milestone in schedule.milestones)
    return optimiser.lr * 0.1**passed
