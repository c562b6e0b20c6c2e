import math
from functools import partial

import pytest
from training.small import plan_of

from cmmanet.training import diagnosis

HEALTHY = {
    "epoch": 0,
    "iterations": 100,
    "loss_identity": 4.0,
    "loss_triplet": 0.9,
    "loss_diversity": 10.0,
    "loss_concentration": 5.0,
    "positive_distance": 3.0,
    "negative_distance": 2.4,
    "attention3_entropy": 0.6,
    "attention4_entropy": 0.5,
}
PLAN = plan_of(schedule__iterations=200)
diagnose = partial(diagnosis.diagnose, identities=100)


def test_a_healthy_epoch_has_no_sign() -> None:
    assert diagnose(PLAN, HEALTHY) == {}


@pytest.mark.parametrize(("margin", "loss"), [(0.3, 0.3005), ("soft", math.log(2))])
def test_triplet_at_its_margin(margin: float | str, loss: float) -> None:
    plan = plan_of(losses__margin=margin, schedule__iterations=200)
    stuck = {"loss_triplet": loss, "positive_distance": 1e-4, "negative_distance": 1e-4}
    signs = diagnose(plan, {**HEALTHY, **stuck})
    assert list(signs) == ["triplet"] and f"{loss:.3f}" in signs["triplet"]
    assert diagnose(plan, {**HEALTHY, **stuck, "loss_triplet": loss * 1.1}) == {}
    assert diagnose(plan, {**HEALTHY, "loss_triplet": loss}) == {}, "by chance, distances apart"


def test_attention_collapsed_or_still_uniform() -> None:
    signs = diagnose(PLAN, {**HEALTHY, "attention3_entropy": 0.999, "attention4_entropy": 1e-4})
    assert set(signs) == {"uniform3", "collapsed4"}
    assert "stage 3" in signs["uniform3"] and "at iteration 100 of 200" in signs["uniform3"]
    assert "stage 4" in signs["collapsed4"]
    early = {**HEALTHY, "iterations": 20, "attention3_entropy": 0.999}
    assert diagnose(PLAN, early) == {}, "it begins uniform"
    warm = plan_of(schedule__iterations=200, schedule__milestones=[150], schedule__warmup=100)
    assert diagnose(warm, {**early, "iterations": 100}) == {}, "and stays so while rates are low"
    assert "uniform3" in diagnose(warm, {**early, "iterations": 200})


@pytest.mark.parametrize("loss", [4.7, 3.6e12])
def test_an_identity_loss_no_better_than_guessing(loss: float) -> None:
    worse = {**HEALTHY, "iterations": 101, "loss_identity": loss}
    signs = diagnose(PLAN, worse)
    assert list(signs) == ["diverged"] and "at iteration 101 of 200" in signs["diverged"]
    assert diagnose(PLAN, {**worse, "iterations": 100}) == {}, "it begins above"
    assert diagnose(PLAN, {**worse, "loss_identity": 4.6}) == {}, "ln(100) is 4.605"
    warm = plan_of(schedule__iterations=200, schedule__milestones=[150], schedule__warmup=101)
    assert diagnose(warm, worse) == {}, "while rates are low"
    unused = {**worse, "epoch": 3}
    del unused["loss_identity"]
    assert diagnose(plan_of(losses__identity=0.0, schedule__iterations=200), unused) == {}


def test_a_loss_weight_that_drowns_the_rest() -> None:
    heavy = plan_of(losses__concentration=1.0, schedule__iterations=200)
    signs = diagnose(heavy, HEALTHY)
    assert (
        list(signs) == ["concentration"]
        and "losses.concentration 1 dominates" in signs["concentration"]
    )
    # What is left late in a good training is mostly the attention's.
    late = {**HEALTHY, "epoch": 30, "loss_identity": 0.01, "loss_triplet": 0.0}
    assert diagnose(heavy, late) == {}


def test_the_baseline_has_no_attention_to_look_at() -> None:
    bare = {key: value for key, value in HEALTHY.items() if "attention" not in key}
    plan = plan_of("baseline", schedule__iterations=200)
    assert diagnose(plan, bare) == {}
