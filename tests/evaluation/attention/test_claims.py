"""Claims are judged in the right direction, by the house's statistics, and no further."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cmmanet.evaluation.attention.claims import judge_claims, verdict
from cmmanet.evaluation.attention.paper_claims import CLAIMS
from cmmanet.evaluation.attention.table import BOUND, COLUMNS, KEYS, MEASURES, OF_PARTS
from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.uncertainty import (
    Gain,
    Variance,
    gain_in_these_trainings,
    gain_on_one_split,
    gain_over_splits,
    identity_bootstrap,
    percentile_interval,
    training_variance,
)

STEPS = [("single_mam", "single_mam_con"), ("multi_mam", "cmmanet-random_interval")]
STAGES = {
    "baseline": [],
    "single_mam": [4],
    "single_mam_con": [4],
    "multi_mam": [3, 4],
    "cmmanet-random_interval": [3, 4],
}
PID = np.repeat(np.arange(2, 22), 2)


def made_up(
    seed: int,
    stages: list[int],
    *,
    trials: int = 3,
    masks: bool = True,
    own_people: bool = False,
    **means: float,
) -> pd.DataFrame:
    """An arm's table, in no order; every second query has no occluded frame."""
    rng = np.random.default_rng(seed)
    parts = []
    for trial in range(trials):
        for stage in stages:
            part = pd.DataFrame({name: rng.uniform(0.4, 0.6, len(PID)) for name in COLUMNS})
            for name, mean in means.items():
                part[name] += mean - 0.5 + 0.02 * rng.normal()
            part[["occluder", "weight_ratio"]] *= np.where(np.arange(len(PID)) % 2, np.nan, 1)[
                :, None
            ]
            if not masks:
                part[[*sorted(OF_PARTS), BOUND]] = np.nan
            part["trial"], part["stage"], part["cells"] = trial, stage, {3: 32, 4: 8}[stage]
            part["query"], part["pid"] = np.arange(len(PID)) + 7, PID + 100 * trial * own_people
            parts.append(part)
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=float) for name in (*KEYS, *COLUMNS)})
    return pd.concat(parts).sample(frac=1, random_state=seed)


def arms(**changes: Any) -> dict[str, pd.DataFrame]:
    return {
        arm: made_up(seed, stages, **changes) for seed, (arm, stages) in enumerate(STAGES.items())
    }


def judged(tables: dict[str, pd.DataFrame], ratio: float | None = None) -> dict[str, Any]:
    return judge_claims(tables, STEPS, test_to_train=ratio)


def find(content: dict[str, Any], measure: str, after: str, stage: int) -> dict[str, Any]:
    (found,) = [
        claim
        for claim in content["claims"]
        if claim["measure"] == measure
        and (claim["after"]["arm"], claim["after"]["stage"]) == (after, stage)
    ]
    return dict(found)


def values(table: pd.DataFrame, stage: int, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """[T, Q] and pid [Q], by plain loops."""
    rows = [r for r in table.to_dict("records") if r["stage"] == stage and r[measure] == r[measure]]
    rows.sort(key=lambda row: (row["trial"], row["query"]))
    trials = sorted({row["trial"] for row in rows})
    found = [[row[measure] for row in rows if row["trial"] == t] for t in trials]
    return np.array(found), np.array([row["pid"] for row in rows if row["trial"] == trials[0]])


def test_every_claim_is_judged_behind_every_mam() -> None:
    content = judged(arms())
    loss = [claim for claim in content["claims"] if claim["kind"] == "loss"]
    places = [("single_mam_con", 4), ("cmmanet-random_interval", 4), ("cmmanet-random_interval", 3)]
    of_loss = [claim.measure for claim in CLAIMS if claim.kind == "loss"]
    assert [(c["measure"], c["after"]["arm"], c["after"]["stage"]) for c in loss] == [
        (measure, *place) for measure in of_loss for place in places
    ]
    assert {c["measure"] for c in content["claims"]} == set(MEASURES)
    scales = [claim for claim in content["claims"] if claim["kind"] == "scales"]
    assert [(c["before"]["stage"], c["after"]["stage"]) for c in scales] == [(4, 3)] * 2
    alone = [claim for claim in content["claims"] if claim["kind"] == "occlusion"]
    assert len(alone) == 6 and all(claim["before"] is None for claim in alone)
    assert (content["trials"], content["queries"], content["people"]) == (3, 40, 20)
    assert 0.4 < content["purity_bound"]["3"] < 0.6
    assert content["occluded"] == 20 and content["cells"] == {"3": 32, "4": 8}


@pytest.mark.parametrize(
    ("measure", "sign"), [(c.measure, c.sign) for c in CLAIMS if c.kind == "loss"]
)
@pytest.mark.parametrize("lift", [0.3, -0.3])
def test_directions_are_the_papers(measure: str, sign: int, lift: float) -> None:
    tables = arms()
    tables["single_mam_con"] = made_up(2, [4], **{measure: 0.5 + lift})
    claim = find(judged(tables), measure, "single_mam_con", 4)
    assert claim["gain"] == pytest.approx(lift, abs=0.08)
    assert claim["verdict"] == ("holds" if lift * sign > 0 else "contradicted")


def test_steps_are_judged_as_arms_are() -> None:
    tables = arms()
    claim = find(judged(tables), "purity", "cmmanet-random_interval", 4)
    having = [arm for arm, stages in STAGES.items() if 4 in stages]
    means = [values(tables[arm], 4, "purity")[0].mean(1) for arm in having]
    before, pid = values(tables["multi_mam"], 4, "purity")
    after, _ = values(tables["cmmanet-random_interval"], 4, "purity")
    expected = gain_on_one_split(after - before, pid, training_variance(means))
    assert claim["gain"] == pytest.approx(expected.gain)
    assert claim["half_width"] == pytest.approx(expected.half_width)
    assert claim["degrees"] == pytest.approx(expected.degrees) and claim["over"] == "trainings"
    assert claim["before"]["mean"] == pytest.approx(before.mean())


def test_an_arm_by_itself_has_one_trainings_variance() -> None:
    tables = arms()
    claim = find(judged(tables), "weight_ratio", "multi_mam", 3)
    per_arm = [
        values(tables[arm], 3, "weight_ratio")[0].mean(1)
        for arm, stages in STAGES.items()
        if 3 in stages
    ]
    own, pid = values(tables["multi_mam"], 3, "weight_ratio")
    assert own.shape == (3, 20)
    spread = Variance(np.var(per_arm, axis=1, ddof=1).mean() / 2, 4)
    expected = gain_on_one_split(own, pid, spread)
    assert claim["gain"] == pytest.approx(own.mean())
    assert claim["half_width"] == pytest.approx(expected.half_width)
    assert claim["verdict"] == "contradicted", "weights rise"


def test_two_scales_are_paired_within_an_arm() -> None:
    tables = arms()
    claim = find(judged(tables), "field", "multi_mam", 3)
    shallow, pid = values(tables["multi_mam"], 3, "field")
    deep, _ = values(tables["multi_mam"], 4, "field")
    assert claim["gain"] == pytest.approx((shallow - deep).mean())
    other = tables["cmmanet-random_interval"]
    pairs = [shallow - deep, values(other, 3, "field")[0] - values(other, 4, "field")[0]]
    spread = Variance(np.var([p.mean(1) for p in pairs], axis=1, ddof=1).mean() / 2, 4)
    expected = gain_on_one_split(shallow - deep, pid, spread)
    assert claim["half_width"] == pytest.approx(expected.half_width)


@pytest.mark.parametrize("trials", [1, 2])
def test_few_trainings_tell_of_themselves_alone(trials: int) -> None:
    tables = arms(trials=trials)
    tables["cmmanet-random_interval"] = made_up(4, [3, 4], trials=trials, purity=0.9)
    claim = find(judged(tables), "purity", "cmmanet-random_interval", 3)
    before, pid = values(tables["multi_mam"], 3, "purity")
    after, _ = values(tables["cmmanet-random_interval"], 3, "purity")
    expected = gain_in_these_trainings(after - before, pid)
    assert claim["half_width"] == pytest.approx(expected.half_width) and claim["over"] == "people"
    assert claim["verdict"] == "in these trainings: yes; of other trainings no telling"


def test_splits_of_their_own_people() -> None:
    tables = arms(own_people=True, masks=False)
    content = judged(tables, 1.0)
    claim = find(content, "entropy", "single_mam_con", 4)
    having = [arm for arm, stages in STAGES.items() if 4 in stages]
    means = {arm: values(tables[arm], 4, "entropy")[0].mean(1) for arm in having}
    gains = means["single_mam_con"] - means["single_mam"]
    spread = training_variance(list(means.values()))
    expected = gain_over_splits(gains, spread, test_to_train=1.0)
    assert claim["half_width"] == pytest.approx(expected.half_width)
    assert content["measures"]["multi_mam"]["3"]["entropy"]["interval"] is None
    single = judged(arms(own_people=True, masks=False, trials=1), 1.0)
    assert find(single, "entropy", "single_mam_con", 4)["verdict"] == "no telling"


def test_intervals_are_over_people() -> None:
    tables = arms()
    content = judged(tables)
    own, pid = values(tables["single_mam"], 4, "occluder")
    draws = identity_bootstrap(own.mean(0)[None], pid, draws=DRAWS, seed=SEED)
    (low,), (high,) = percentile_interval(draws)
    measured = content["measures"]["single_mam"]["4"]["occluder"]
    assert measured["interval"] == pytest.approx([low, high])
    assert measured["mean"] == pytest.approx(own.mean())
    assert measured["trials"] == pytest.approx(own.mean(1))
    assert "baseline" not in content["measures"]


def test_without_masks_parts_are_not_measured() -> None:
    content = judged(arms(masks=False))
    assert not content["masks"] and content["purity_bound"] == {} and content["occluded"] == 0
    for claim in content["claims"]:
        unmeasured = claim["measure"] in OF_PARTS
        assert (claim["verdict"] == "not measured: no masks") is unmeasured
        assert (claim["gain"] is None) is unmeasured


def test_where_nothing_is_occluded_and_where_there_is_one_submodule() -> None:
    tables = arms()
    for table in tables.values():
        table[["occluder", "weight_ratio", "overlap"]] = np.nan
    content = judged(tables)
    reasons = {claim["measure"]: claim["verdict"] for claim in content["claims"]}
    assert reasons["occluder"] == "not measured: nothing is occluded"
    assert reasons["overlap"] == "not measured: one submodule"
    assert not reasons["purity"].startswith("not measured")


def test_collapsed_maps_are_told() -> None:
    tables = arms()
    tables["cmmanet-random_interval"].loc[
        tables["cmmanet-random_interval"]["stage"] == 4, "entropy"
    ] = 0.01
    content = judged(tables)
    assert content["collapsed"] == [{"arm": "cmmanet-random_interval", "stage": 4}]
    assert find(content, "purity", "cmmanet-random_interval", 4)["collapsed"]
    assert find(content, "field", "cmmanet-random_interval", 3)["collapsed"]
    assert not find(content, "purity", "cmmanet-random_interval", 3)["collapsed"]


def test_no_arm_with_a_mam() -> None:
    content = judged({"baseline": made_up(0, [])})
    assert content["claims"] == [] and content["measures"] == {} and content["queries"] == 0


def test_arms_of_other_queries_are_refused() -> None:
    tables = arms()
    tables["multi_mam"]["query"] += 1
    with pytest.raises(ValueError, match="single_mam and multi_mam was not measured on the same"):
        judged(tables)


@pytest.mark.parametrize(
    ("gain", "over", "said"),
    [
        (Gain(0.2, 0.1, 5.0, True), "trainings", "holds"),
        (Gain(-0.2, 0.1, 5.0, True), "trainings", "contradicted"),
        (Gain(0.05, 0.1, 5.0, False), "trainings", "not resolved"),
        (Gain(-0.2, 0.1, 5.0, True), "people", "in these trainings: no; of other"),
        (Gain(-0.05, 0.1, 5.0, False), "people", "in these trainings: undecided; of other"),
        (Gain(0.2, None, None, None), None, "no telling"),
    ],
)
def test_verdicts(gain: Gain, over: str | None, said: str) -> None:
    assert verdict(+1, gain, over).startswith(said)
