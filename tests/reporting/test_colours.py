"""Arms keep their colours."""

from reporting import made_up

from cmmanet.reporting.colours import styles


def test_an_arm_looks_the_same_whoever_stands_beside_it() -> None:
    every = styles([*made_up.arms, "mine", "yours"])
    assert list(every) == [*made_up.arms, "mine", "yours"]
    for arm in made_up.arms:
        assert styles([arm])[arm] == every[arm]
    assert styles(["mine", "yours"])["yours"] == every["yours"]


def test_no_two_arms_look_alike() -> None:
    every = styles([*made_up.arms, *(f"own{number}" for number in range(9))])
    assert len({(style.colour, style.dashes) for style in every.values()}) == len(every)
    assert len({styles(made_up.arms)[arm].colour for arm in made_up.arms}) == len(made_up.arms)
    assert len({styles(made_up.arms)[arm].marker for arm in made_up.arms}) == len(made_up.arms)
