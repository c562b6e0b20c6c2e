from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from params.edited import PARAMS, changed

from cmmanet.params import (
    PAPER_ARM,
    EvaluatePlan,
    Rerank,
    load_params,
    plans,
    resolve_arm,
    resolve_reading,
)


def test_committed_file_is_valid_and_a_variant_changes_only_what_it_names() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    full = resolve_arm(params, "mars", "cmmanet-random_interval")
    assert full.model.mam_after == (3, 4) and full.losses.concentration == 0.1
    for arm, mams, concentration in (
        ("baseline", (), 0.1),
        ("single_mam", (4,), 0.0),
        ("single_mam_con", (4,), 0.1),
        ("multi_mam", (3, 4), 0.0),
    ):
        plan = resolve_arm(params, "mars", arm)
        assert plan.model.mam_after == mams and plan.losses.concentration == concentration
        # "Without Loss_con" keeps Loss_div.
        assert plan.losses.diversity == 0.1
        assert plan.optimiser == full.optimiser and plan.schedule == full.schedule
        assert plan.sampler == "random_interval"
    restricted = resolve_arm(params, "mars", "cmmanet-restricted")
    assert restricted.sampling.kind == "restricted"
    own = {"arm", "variant", "sampler", "sampling"}
    assert restricted.model_dump(exclude=own) == full.model_dump(exclude=own)


@pytest.mark.parametrize("recipe", ["paper", "strong"])
def test_every_arm_of_every_dataset_is_valid_under_the_recipe(tmp_path: Path, recipe: str) -> None:
    datasets = list(PARAMS["data"])
    own = {f"data__{dataset}__recipe": recipe for dataset in datasets}
    params = load_params(changed(tmp_path, datasets=datasets, **own))
    for dataset in datasets:
        for arm in params.variants:
            plan = resolve_arm(params, dataset, arm)
            assert plan.recipe == recipe and plan.dataset == dataset
            assert plan.model.neck == {"paper": "none", "strong": "bnneck"}[recipe]
            two_tracklets = dataset in ("ilids-vid", "prid2011")
            assert plan.schedule.iterations == 6000 or not two_tracklets
            assert plan.batch.clips == (2 if two_tracklets else 4)


def test_two_camera_datasets_take_the_papers_recipe_in_their_own_batch() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    mars = resolve_arm(params, "mars", "baseline")
    for dataset in ("ilids-vid", "prid2011"):
        plan = resolve_arm(params, dataset, "baseline")
        assert (plan.batch.identities, plan.batch.clips, plan.trials) == (14, 2, 10)
        assert plan.optimiser == mars.optimiser and plan.model == mars.model
        assert plan.recipe == "paper"


def test_test_half_reruns_the_split_of_its_dataset_alone(tmp_path: Path) -> None:
    every = {"datasets": ["mars", "ilids-vid", "prid2011"]}
    before = plans(load_params(changed(tmp_path, **every)))
    after = plans(load_params(changed(tmp_path, **every, **{"data__ilids-vid__test_half": "last"})))
    assert {name for name in before if before[name] != after[name]} == {"ilids-vid/split.json"}


def test_changed_sampler_changes_only_the_report_plan(tmp_path: Path) -> None:
    before = plans(load_params(REPOSITORY / "params.yaml"))
    after = plans(load_params(changed(tmp_path, sampler="restricted")))
    assert {name for name in before if before[name] != after[name]} == {"report.json"}


def test_readings_of_random_interval_sampling_stand_side_by_side(tmp_path: Path) -> None:
    own = {"kind": "random_interval", "max_interval": 8, "draw": "clip", "start": "literal"}
    variants = {"variants__cmmanet-other": {"sampler": "other"}}
    params = load_params(changed(tmp_path, samplers__other=own, **variants))
    assert resolve_arm(params, "mars", "cmmanet-other").sampling.model_dump() == own
    paper = resolve_arm(params, "mars", "cmmanet-random_interval").sampling
    assert paper.model_dump() == {**own, "draw": "epoch", "start": "any"}


def test_changed_recipe_changes_only_the_arms_that_use_it(tmp_path: Path) -> None:
    both = {"datasets": ["synthetic", "mars"]}
    before = plans(load_params(changed(tmp_path, **both)))
    after = plans(load_params(changed(tmp_path, **both, recipes__paper__optimiser__lr=1e-3)))
    assert {name for name in before if before[name] != after[name]} == {
        f"mars/{arm}.json"
        for arm in (*PARAMS["arms"], *(f"reading-{name}" for name in PARAMS["readings"]))
    }


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


@pytest.mark.parametrize("sampler", ["random_interval", "restricted"])
@pytest.mark.parametrize("dataset", list(PARAMS["data"]))
def test_a_reading_changes_what_it_says_and_nothing_else(
    tmp_path: Path, dataset: Any, sampler: str
) -> None:
    file = changed(tmp_path, sampler=sampler, datasets=[dataset])
    params, made = load_params(file), plans(load_params(file))
    # Of the paper's own arm, whatever the headline is.
    paper = leaves(resolve_arm(params, dataset, PAPER_ARM).model_dump(mode="json"))
    for name, change in PARAMS["readings"].items():
        plan = resolve_reading(params, dataset, name)
        assert made[f"{dataset}/reading-{name}.json"] == plan
        values = leaves(plan.model_dump(mode="json"))
        says = leaves(change)
        assert {k for k in values if values[k] != paper[k]} == {"arm", *says}
        assert set(values) == set(paper)
        assert {key: values[key] for key in says} == says
        assert (plan.arm, plan.variant, plan.sampler) == (
            f"reading-{name}",
            "cmmanet-random_interval",
            "random_interval",
        )


def test_plans_of_studies_name_what_they_show(tmp_path: Path) -> None:
    pairs = [{"source": "mars", "target": "synthetic"}, {"source": "synthetic", "target": "mars"}]
    file = changed(tmp_path, sampler="restricted", datasets=["synthetic", "mars"], cross=pairs)
    made = plans(load_params(file))
    shown = {"distance": "cosine", "test_frames": "dense"}
    assert made["cross.json"].model_dump(mode="json") == {
        "pairs": pairs,
        "arms": PARAMS["arms"],
        **shown,
    }
    assert made["readings.json"].model_dump(mode="json") == {
        "datasets": ["synthetic", "mars"],
        "arm": "cmmanet-random_interval",
        "readings": list(PARAMS["readings"]),
        **shown,
    }


def test_levels_of_occlusion_reach_their_study_alone(tmp_path: Path) -> None:
    before = plans(load_params(changed(tmp_path)))
    plan = before["occlusion.json"].model_dump(mode="json")
    assert plan == {
        "render": PARAMS["data"]["synthetic"]["render"],
        "levels": PARAMS["occlusion"],
        "arms": PARAMS["arms"],
        "distance": "cosine",
        "test_frames": "dense",
    }
    after = plans(load_params(changed(tmp_path, occlusion=[0.1, 1.0])))
    assert {n for n in before if before[n] != after[n]} == {"occlusion.json"}
    without = plans(load_params(changed(tmp_path, datasets=["mars"])))
    assert without["occlusion.json"].model_dump()["render"] is None


def test_changed_reading_changes_only_its_own_plan(tmp_path: Path) -> None:
    before = plans(load_params(changed(tmp_path)))
    after = plans(load_params(changed(tmp_path, readings__k8={"model": {"submodules": 2}})))
    assert {n for n in before if before[n] != after[n]} == {"synthetic/reading-k8.json"}
    more = plans(load_params(changed(tmp_path, readings__frozen={"optimiser": {"lr": 1e-6}})))
    assert set(more) - set(before) == {"synthetic/reading-frozen.json"}
    assert {n for n in before if before[n] != more[n]} == {"readings.json"}


def test_reranking_is_there_or_not(tmp_path: Path) -> None:
    before = plans(load_params(changed(tmp_path)))
    assert before["evaluate.json"] == EvaluatePlan(rerank=Rerank(k1=20, k2=6, weight=0.3))
    after = plans(load_params(changed(tmp_path, evaluate__rerank="none")))
    assert after["evaluate.json"] == EvaluatePlan(rerank="none")
    assert {n for n in before if before[n] != after[n]} == {"evaluate.json"}


def test_readings_need_the_arm_that_they_are_readings_of(tmp_path: Path) -> None:
    arms = ["baseline", "cmmanet-restricted"]
    files = plans(load_params(changed(tmp_path, sampler="restricted", arms=arms)))
    assert not [name for name in files if "reading-" in name]
    assert files["readings.json"].model_dump()["readings"] == ()


def test_a_reading_may_take_another_sampler(tmp_path: Path) -> None:
    readings = {"chunks": {"sampling": {"kind": "restricted"}}}
    plan = plans(load_params(changed(tmp_path, readings=readings)))["synthetic/reading-chunks.json"]
    assert plan.model_dump()["sampling"] == {"kind": "restricted"}
