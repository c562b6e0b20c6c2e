import pytest

from cmmanet.params import Optimiser, Schedule
from cmmanet.training.schedule import learning_rate

ADAM = Optimiser(lr=0.001, weight_decay=0)


def rates(iterations, **schedule):
    plan = Schedule(iterations=iterations, **schedule)
    return [learning_rate(ADAM, plan, iteration) for iteration in range(iterations)]


def test_without_a_warm_up_the_rate_starts_whole():
    # By the bit: this is what runs have been trained with.
    assert rates(5, warmup=0, milestones=[2, 4]) == [
        *[0.001] * 2,
        *[0.001 * 0.1] * 2,
        0.001 * 0.1**2,
    ]


def test_warm_up_climbs_from_a_tenth_in_a_straight_line():
    expected = [0.0001, 0.000325, 0.00055, 0.000775, 0.001, 0.001, 0.0001, 0.0001]
    assert rates(8, warmup=4, milestones=[6]) == pytest.approx(expected, rel=1e-12)
    assert rates(3, warmup=1, milestones=[]) == pytest.approx([0.0001, 0.001, 0.001])


def test_warm_up_may_end_at_the_first_milestone_or_with_the_training():
    expected = [0.0001, 0.00055, 0.0001]
    assert rates(3, warmup=2, milestones=[2]) == pytest.approx(expected, rel=1e-12)
    assert rates(3, warmup=3, milestones=[]) == pytest.approx([0.0001, 0.0004, 0.0007])


def test_strong_recipes_rates():
    plan = Schedule(iterations=24000, warmup=2000, milestones=[8000, 14000])
    rate = Optimiser(lr=3.5e-4, weight_decay=5e-4)
    for iteration, expected in (
        (0, 3.5e-5),
        (1000, 1.925e-4),
        (2000, 3.5e-4),
        (7999, 3.5e-4),
        (8000, 3.5e-5),
        (14000, 3.5e-6),
        (23999, 3.5e-6),
    ):
        assert learning_rate(rate, plan, iteration) == pytest.approx(expected, rel=1e-12)
