"""Claims are judged in the right direction, by the house's statistics, and no further."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cmmanet.evaluation.attention.claim_verdicts import judge_claims
from cmmanet.evaluation.attention.judging import Judgement, verdict
from cmmanet.evaluation.attention.paper_claims import CLAIMS
from cmmanet.evaluation.attention.table import BOUND, COLUMNS, KEYS, MEASURES, OF_PARTS
from cmmanet.evaluation.comparison import DRAWS, SEED
from cmmanet.evaluation.uncertainty import (
    Gain,
    Variance,
    gain_on_one_split,
    gain_over_splits,
    identity_bootstrap,
    percentile_interval,
)

STEPS = [("single_mam", "single_mam_con"), ("multi_mam", "cmmanet-random_interval")]
CONCENTRATED = ("single_mam_con", "cmmanet-random_interval")
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
    trials: int = 4,
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
            # Of the frames alone: the same for all arms.
            for name in MEASURES:
                part[f"uniform_{name}"] = 0.5
            for name, mean in means.items():
                part[name] += mean - 0.5 + 0.02 * rng.normal()
            part[["occluder", "weight_change"]] *= np.where(np.arange(len(PID)) % 2, np.nan, 1)[
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
    return judge_claims(tables, STEPS, concentrated=CONCENTRATED, test_to_train=ratio)


def find(content: dict[str, Any], measure: str, after: str, stage: int) -> dict[str, Any]:
    (found,) = [
        claim
        for claim in content["claims"]
        if claim["measure"] == measure
        and claim["kind"] != "parts"
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


def pooled(tables: dict[str, pd.DataFrame], arm: str, stage: int, measure: str) -> Variance:
    """Of one training, over the arms like this one in the loss."""
    alike = [name for name in STAGES if (name in CONCENTRATED) == (arm in CONCENTRATED)]
    means = [values(tables[n], stage, measure)[0].mean(1) for n in alike if stage in STAGES[n]]
    degrees = sum(len(of) - 1 for of in means)
    squares = sum(sum((x - sum(of) / len(of)) ** 2 for x in of) for of in means)
    return Variance(squares / degrees, degrees)


def welch(one: Variance, other: Variance) -> Variance:
    """Half the variance of a difference."""
    whole = one.value + other.value
    degrees = whole**2 / (one.value**2 / one.degrees + other.value**2 / other.degrees)
    return Variance(whole / 2, degrees)


def test_every_claim_is_judged_behind_every_mam() -> None:
    content = judged(arms())
    loss = [claim for claim in content["claims"] if claim["kind"] == "loss"]
    places = [("single_mam_con", 4), ("cmmanet-random_interval", 4), ("cmmanet-random_interval", 3)]
    of_loss = [claim.measure for claim in CLAIMS if claim.kind == "loss"]
    assert [(c["measure"], c["after"]["arm"], c["after"]["stage"]) for c in loss] == [
        (measure, *place) for measure in of_loss for place in places
    ]
    assert {c["measure"] for c in content["claims"]} == {*MEASURES} - {"background"}
    scales = [claim for claim in content["claims"] if claim["kind"] == "scales"]
    assert [(c["before"]["stage"], c["after"]["stage"]) for c in scales] == [(4, 3)] * 2
    both = ("multi_mam", "cmmanet-random_interval")
    for kind, stages in (("parts", (4, 3)), ("architecture", (4, 3)), ("first", (3,))):
        alone = [claim for claim in content["claims"] if claim["kind"] == kind]
        expected = [(arm, stage) for stage in stages for arm in both]
        assert [(c["after"]["arm"], c["after"]["stage"]) for c in alone] == expected
        assert all((claim["before"] is None) == (kind != "parts") for claim in alone)
    assert (content["trials"], content["queries"], content["people"]) == (4, 40, 20)
    assert 0.4 < content["purity_bound"]["multi_mam"]["3"] < 0.6
    assert content["occluded"] == 20 and content["cells"]["multi_mam"] == {"3": 32, "4": 8}
    assert content["cells"]["single_mam"] == {"4": 8} and content["cells"]["baseline"] == {}


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


def test_each_side_of_the_loss_has_its_own_spread() -> None:
    tables = arms()
    claim = find(judged(tables), "purity", "cmmanet-random_interval", 4)
    sides = [pooled(tables, arm, 4, "purity") for arm in ("multi_mam", "cmmanet-random_interval")]
    before, pid = values(tables["multi_mam"], 4, "purity")
    after, _ = values(tables["cmmanet-random_interval"], 4, "purity")
    expected = gain_on_one_split(after - before, pid, welch(*sides))
    assert claim["gain"] == pytest.approx(expected.gain)
    assert claim["half_width"] == pytest.approx(expected.half_width)
    assert claim["degrees"] == pytest.approx(expected.degrees)
    assert claim["trials"] == pytest.approx((after - before).mean(1))
    assert claim["before"]["mean"] == pytest.approx(before.mean())


def test_quiet_arms_lend_no_certainty() -> None:
    tables = arms()
    calm = find(judged(tables), "purity", "single_mam_con", 4)["half_width"]
    for trial in range(4):
        loud = tables["multi_mam"]
        loud.loc[loud["trial"] == trial, "purity"] += (-1) ** trial
    assert find(judged(tables), "purity", "single_mam_con", 4)["half_width"] > 5 * calm


def test_arms_of_other_maps_lend_no_spread() -> None:
    tables = arms()
    before = find(judged(tables), "own_stripe", "single_mam_con", 4)["half_width"]
    other = made_up(9, [4], own_stripe=0.2)
    other.loc[other["trial"] == 1, "own_stripe"] += 0.5
    tables["k8"] = other
    assert find(judged(tables), "own_stripe", "single_mam_con", 4)["half_width"] > 2 * before
    tables["k8"]["uniform_own_stripe"] = 0.125
    assert find(judged(tables), "own_stripe", "single_mam_con", 4)["half_width"] == before


def test_an_arm_beside_uniform_attention_has_one_trainings_variance() -> None:
    tables = arms()
    for table in tables.values():
        table["weight_change"] += 0.3
    claim = find(judged(tables), "weight_change", "multi_mam", 3)
    own, pid = values(tables["multi_mam"], 3, "weight_change")
    rows = tables["multi_mam"].sort_values(["trial", "query"])
    rows = rows[(rows["stage"] == 3) & rows["weight_change"].notna()]
    uniform = rows["uniform_weight_change"].to_numpy().reshape(own.shape)
    assert own.shape == (4, 20)
    spread = pooled(tables, "multi_mam", 3, "weight_change")
    half = spread._replace(value=spread.value / 2)
    expected = gain_on_one_split(own - uniform, pid, half)
    assert claim["gain"] == pytest.approx((own - uniform).mean())
    assert claim["half_width"] == pytest.approx(expected.half_width)
    assert claim["verdict"] == "contradicted", "weights rise"


def test_finding_parts_is_judged_over_a_fixed_map() -> None:
    tables = arms()
    tables["multi_mam"]["purity"] += 0.3
    (claim,) = [
        claim
        for claim in judged(tables)["claims"]
        if claim["kind"] == "parts"
        and (claim["after"]["arm"], claim["after"]["stage"]) == ("multi_mam", 4)
    ]
    own, pid = values(tables["multi_mam"], 4, "purity")
    fixed, _ = values(tables["multi_mam"], 4, "fixed_purity")
    single = [values(tables["single_mam"], 4, name)[0] for name in ("purity", "fixed_purity")]
    differences = [(own - fixed).mean(1), (single[0] - single[1]).mean(1)]
    spread = Variance(np.var(differences, axis=1, ddof=1).mean() / 2, 6)
    expected = gain_on_one_split(own - fixed, pid, spread)
    assert claim["before"]["mean"] == pytest.approx(fixed.mean())
    assert claim["gain"] == pytest.approx(expected.gain)
    assert claim["half_width"] == pytest.approx(expected.half_width)
    assert claim["verdict"] == "holds"


def test_two_scales_are_paired_within_an_arm() -> None:
    tables = arms()
    claim = find(judged(tables), "field", "multi_mam", 3)
    shallow, pid = values(tables["multi_mam"], 3, "field")
    deep, _ = values(tables["multi_mam"], 4, "field")
    assert claim["gain"] == pytest.approx((shallow - deep).mean())
    spread = Variance(np.var((shallow - deep).mean(1), ddof=1) / 2, 3)
    expected = gain_on_one_split(shallow - deep, pid, spread)
    assert claim["half_width"] == pytest.approx(expected.half_width)


@pytest.mark.parametrize(("trials", "said"), [(1, "the one training"), (2, "each of 2")])
def test_few_trainings_tell_of_themselves_alone(trials: int, said: str) -> None:
    tables = arms(trials=trials)
    tables["cmmanet-random_interval"] = made_up(4, [3, 4], trials=trials, purity=0.9)
    claim = find(judged(tables), "purity", "cmmanet-random_interval", 3)
    assert claim["half_width"] is None and len(claim["trials"]) == trials
    assert claim["verdict"] == f"yes in {said}"
    if trials == 2:
        table = tables["cmmanet-random_interval"]
        table.loc[table["trial"] == 1, "purity"] -= 0.8
        claim = find(judged(tables), "purity", "cmmanet-random_interval", 3)
        assert claim["verdict"] == "the trainings disagree"


def test_splits_of_their_own_people() -> None:
    tables = arms(own_people=True, masks=False)
    content = judged(tables, 1.0)
    claim = find(content, "entropy", "single_mam_con", 4)
    step = ("single_mam", "single_mam_con")
    before, after = (values(tables[arm], 4, "entropy")[0].mean(1) for arm in step)
    spread = welch(*(pooled(tables, arm, 4, "entropy") for arm in step))
    expected = gain_over_splits(after - before, spread, test_to_train=1.0)
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
    assert not content["masks"] and content["occluded"] == 0
    assert not any(content["purity_bound"].values())
    for claim in content["claims"]:
        unmeasured = claim["measure"] in OF_PARTS
        assert (claim["verdict"] == "not measured: no masks") is unmeasured
        assert (claim["gain"] is None) is unmeasured


def test_where_nothing_is_occluded_and_where_there_is_one_submodule() -> None:
    tables = arms()
    for table in tables.values():
        table[["occluder", "weight_change", "overlap"]] = np.nan
    content = judged(tables)
    reasons = {claim["measure"]: claim["verdict"] for claim in content["claims"]}
    assert reasons["occluder"] == "not measured: nothing is occluded"
    assert reasons["overlap"] == "not measured: one submodule"
    assert not reasons["purity"].startswith("not measured")


def test_a_collapse_in_one_trial_is_not_judged() -> None:
    tables = arms()
    table = tables["cmmanet-random_interval"]
    table.loc[(table["stage"] == 4) & (table["trial"] == 2), "entropy"] = 0.01
    content = judged(tables)
    assert content["collapsed"] == [{"arm": "cmmanet-random_interval", "stage": 4}]
    for measure, stage in (("purity", 4), ("field", 3)):
        claim = find(content, measure, "cmmanet-random_interval", stage)
        assert claim["collapsed"] and claim["verdict"] == "not judged: collapsed"
    assert not find(content, "purity", "cmmanet-random_interval", 3)["collapsed"]


def test_a_field_that_is_smaller_by_its_cells_alone() -> None:
    tables = arms()
    table = tables["multi_mam"]
    # In cells: 32 · 0.1 = 3.2 behind stage 3, 8 · 0.3 = 2.4 behind stage 4.
    table["field"] += np.where(table["stage"] == 3, 0.1, 0.3) - 0.5
    assert find(judged(tables), "field", "multi_mam", 3)["verdict"] == (
        "holds, though not in cells"
    )
    two = {arm: t[t["trial"] < 2] for arm, t in tables.items()}
    assert find(judged(two), "field", "multi_mam", 3)["verdict"] == (
        "yes in each of 2, though not in cells"
    )
    table["field"] -= np.where(table["stage"] == 3, 0.06, 0.0)
    assert find(judged(tables), "field", "multi_mam", 3)["verdict"] == "holds"


def test_no_arm_with_a_mam() -> None:
    content = judged({"baseline": made_up(0, [])})
    assert content["claims"] == [] and content["measures"] == {} and content["queries"] == 0


def test_arms_of_other_queries_are_refused() -> None:
    tables = arms()
    tables["multi_mam"]["query"] += 1
    with pytest.raises(ValueError, match="single_mam and multi_mam was not measured on the same"):
        judged(tables)


UP, DOWN, LITTLE = Gain(0.2, 0.1, 5, True), Gain(-0.2, 0.1, 5, True), Gain(0.05, 0.1, 5, False)


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (Judgement(Gain(0.2, 0.1, 5.0, True), [UP, DOWN]), "holds"),
        (Judgement(Gain(-0.2, 0.1, 5.0, True), [DOWN]), "contradicted"),
        (Judgement(Gain(0.05, 0.1, 5.0, False), [LITTLE]), "not resolved"),
        (Judgement(Gain(-0.2, None, None, None), [DOWN, DOWN]), "no in each of 2"),
        (Judgement(Gain(0.1, None, None, None), [UP, LITTLE]), "undecided"),
        (Judgement(Gain(0.05, None, None, None), [LITTLE]), "undecided"),
        (Judgement(Gain(0.0, None, None, None), [UP, DOWN, LITTLE]), "the trainings disagree"),
        (Judgement(Gain(0.2, None, None, None), [Gain(0.2, None, None, None)]), "no telling"),
    ],
)
def test_verdicts(judged: Judgement, said: str) -> None:
    assert verdict(+1, judged) == said
