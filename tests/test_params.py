import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY

from cmmanet.params import (
    PAPER_ARM,
    EvaluatePlan,
    ParamsError,
    Rerank,
    load_params,
    plans,
    resolve_arm,
    resolve_reading,
)

PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text())


def changed(tmp_path: Path, **values: Any) -> Path:
    content = copy.deepcopy(PARAMS)
    for path, value in values.items():
        *parents, last = path.split("__")
        place = content
        for key in parents:
            place = place[key]
        place[last] = value
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


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
    assert resolve_arm(params, "mars", "cmmanet-restricted").sampling.kind == "restricted"


def test_paper_recipe_is_the_papers() -> None:
    recipe = load_params(REPOSITORY / "params.yaml").recipes["paper"]
    assert (recipe.image.height, recipe.image.width, recipe.clip.frames) == (256, 128, 6)
    assert recipe.batch.identities * recipe.batch.clips == 28
    assert (recipe.optimiser.lr, recipe.optimiser.weight_decay) == (2e-4, 5e-4)
    assert (recipe.model.backbone, recipe.model.weights) == ("resnet50", "imagenet")
    assert (recipe.model.hidden, recipe.model.last_stride) == (256, 2)


def test_what_the_paper_does_not_mention_is_off_in_paper_and_demo() -> None:
    recipes = load_params(REPOSITORY / "params.yaml").recipes
    assert list(recipes) == ["paper", "strong", "demo"]
    for name in ("paper", "demo"):
        recipe = recipes[name]
        assert recipe.clip.erase == recipe.losses.smoothing == recipe.schedule.warmup == 0
        assert recipe.model.neck == "none"


def test_strong_recipe_is_the_papers_network_trained_as_others_do() -> None:
    recipes = load_params(REPOSITORY / "params.yaml").recipes
    paper, strong = recipes["paper"], recipes["strong"]
    assert strong.model == paper.model.model_copy(update={"last_stride": 1, "neck": "bnneck"})
    assert strong.losses == paper.losses.model_copy(update={"smoothing": 0.1})
    assert strong.clip == paper.clip.model_copy(update={"erase": 0.5})
    assert (strong.image, strong.precision) == (paper.image, paper.precision)
    assert (strong.batch.identities, strong.batch.clips) == (8, 4)
    assert (strong.optimiser.lr, strong.optimiser.weight_decay) == (3.5e-4, 5e-4)
    # Luo et al.: 120 epochs, of which 10 of warm-up, and milestones at 40 and 70.
    epoch = strong.schedule.iterations / 120
    assert strong.schedule.warmup == 10 * epoch
    assert strong.schedule.milestones == (40 * epoch, 70 * epoch)


@pytest.mark.parametrize("recipe", ["paper", "strong"])
def test_every_arm_of_every_dataset_is_valid_under_the_recipe(tmp_path: Path, recipe: str) -> None:
    datasets = list(PARAMS["data"])
    own = {f"data__{dataset}__recipe": recipe for dataset in datasets}
    params = load_params(changed(tmp_path, datasets=datasets, **own))
    for dataset in datasets:
        for arm in (*params.arms, *params.variants):
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


def test_the_papers_recipe_takes_inception(tmp_path: Path) -> None:
    params = load_params(changed(tmp_path, recipes__paper__model__backbone="inception_v3"))
    assert params.recipes["paper"].model.backbone == "inception_v3"


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
    arms = [*PARAMS["arms"], "cmmanet-other"]
    params = load_params(changed(tmp_path, arms=arms, samplers__other=own))
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
            "cmmanet",
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


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path: Path) -> None:
    params = load_params(changed(tmp_path, recipes__demo__optimiser__weight_decay="1e-05"))
    assert params.recipes["demo"].optimiser.weight_decay == 1e-05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": "rnd"}, "sampler: 'rnd' is not one of random_interval, restricted"),
        ({"foo": 1}, "params.yaml: foo: unknown key"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, got -1"),
        ({"datasets": []}, "datasets: "),
        (
            {"datasets": ["duke"]},
            "input should be 'synthetic', 'mars', 'ilids-vid' or 'prid2011', got 'duke'",
        ),
        ({"datasets": ["mars", "mars"]}, "'mars' stands there twice"),
        ({"arms": ["x", "cmmanet-random_interval"]}, "arms: 'x' is neither a variant"),
        ({"arms": ["baseline"]}, "makes 'cmmanet-random_interval' the headline"),
        ({"arms": ["data", "cmmanet-random_interval"]}, "'data' is the name of a plan file"),
        ({"variants__a/b": {}}, "names are of"),
        ({"variants__baseline": {"model": {"k": 1}}}, "baseline over recipes.demo: model.k"),
        ({"variants__unused": {"modle": {}}}, "variants.unused over recipes.demo: modle: unknown"),
        ({"variants__baseline": {"seed": 1}}, "variants.baseline.seed: not a key of a recipe"),
        (
            {"data__mars__recipe": "papr"},
            "data.mars.recipe: 'papr' is not one of demo, paper, s",
        ),
        ({"data__ilids-vid__trials": 11}, "data.ilids-vid.trials: .* less than or equal to 10"),
        ({"data__ilids-vid__test_half": "both"}, "data.ilids-vid.test_half: input should be 'f"),
        ({"data__ilids_vid": {}}, "params.yaml: data.ilids_vid: unknown key"),
        ({"data__prid2011__recipe": "papr"}, "data.prid2011.recipe: 'papr' is not one of"),
        (
            {"data__ilids-vid__overrides": {"batch": {"clips": 0}}},
            "data.ilids-vid.overrides over recipes.paper: batch.clips: ",
        ),
        (
            {"data__prid2011__overrides": {"seed": 1}},
            "data.prid2011.overrides over recipes.paper: seed: unknown key",
        ),
        (
            {"datasets": ["ilids-vid"], "variants__baseline": {"model": {"k": 1}}},
            "variants.baseline over data.ilids-vid.overrides over recipes.paper: model.k: unknown",
        ),
        ({"data__synthetic__render__cameras": 1}, "render.cameras: .* greater than or equal"),
        ({"data__synthetic__render__frames_max": 2}, "frames_max 2 is below frames_min 4"),
        ({"recipes__demo__optimiser__lr": 0}, "optimiser.lr: .* greater than 0, got 0"),
        ({"recipes__demo__optimiser__lr": float("nan")}, "optimiser.lr: .*finite"),
        ({"recipes__demo__schedule__iterations": 40}, "milestone 45 is never reached"),
        ({"recipes__demo__schedule__warmup": 46}, "warmup 46 ends after the first milestone, 45"),
        (
            {"recipes__demo__schedule": {"iterations": 60, "warmup": 61, "milestones": []}},
            "demo.schedule: warmup 61 ends after the last iteration, 60",
        ),
        ({"recipes__demo__schedule__warmup": -1}, "schedule.warmup: .* greater than or equal"),
        ({"recipes__demo__clip__erase": 1.1}, "clip.erase: .* less than or equal to 1, got 1.1"),
        ({"recipes__demo__losses__smoothing": 1.0}, "losses.smoothing: .* less than 1, got 1.0"),
        ({"recipes__demo__model__neck": "bn"}, "model.neck: .*'none' or 'bnneck', got 'bn'"),
        ({"recipes__demo__model__submodules": 5}, "5 attention submodules .* divide 32"),
        (
            {"recipes__demo__model__backbone": "vgg16"},
            "demo.model.backbone: input should be 'resnet18', .* or 'inception_v3', got 'vgg16'",
        ),
        (
            {"recipes__demo__model__backbone": "inception_v3"},
            "recipes.demo: 128×64 images are too small for inception_v3: .* at least 75",
        ),
        (
            {"variants__baseline": {"model": {"backbone": "inception_v3", "last_stride": 1}}},
            "variants.baseline over recipes.demo: inception_v3 cannot have a last stride of 1",
        ),
        ({"recipes__demo__model__weights": "coco"}, "'none' or 'imagenet', got 'coco'"),
        (
            {"recipes__demo__model__weights": {"path": "w.pth", "sha256": "0"}},
            "weights.sha256: ",
        ),
        ({"recipes__demo__losses__margin": "hard"}, "losses.margin: input should be 'soft'"),
        ({"recipes__demo__losses__triplet": "x"}, "losses.triplet: .* number"),
        ({"recipes__demo__model__mam_after": [4, 3]}, "ascending"),
        ({"samplers__restricted": {"kind": "uniform"}}, "samplers.restricted: .*'uniform'"),
        ({"samplers__random_interval__max_interval": 0}, "random_interval.max_interval: "),
        ({"samplers__random_interval__draw": "video"}, "draw: .*'epoch' or 'clip', got 'video'"),
        ({"samplers__random_interval__start": 1}, "start: .*'any' or 'literal', got 1"),
        (
            {"samplers__random_interval": {"kind": "random_interval", "max_interval": 8}},
            "samplers.random_interval.*draw: ",
        ),
        (
            {"readings__x": {"model": {"submodule": 8}}},
            "readings.x over cmmanet-random_interval: model.submodule: unknown key",
        ),
        ({"readings__x": {"modle": {}}}, "readings.x.modle: not a key of a recipe, nor `sampling`"),
        ({"readings__x": {"seed": 1}}, "readings.x.seed: not a key of a recipe, nor `sampling`"),
        ({"readings__x": {"arm": "y"}}, "readings.x.arm: not a key of a recipe"),
        ({"readings__x": None}, "params.yaml: readings.x: input should be a valid dictionary"),
        ({"readings__x/y": {}}, "readings: 'x/y': names are of"),
        (
            {"readings__x": {"sampling": {"intervall": 4}}},
            "readings.x over cmmanet-random_interval: sampling.intervall: unknown key",
        ),
        (
            {"readings__x": {"sampling": {"draw": "video"}}},
            "random_interval: sampling.draw: .*'epoch' or 'clip', got 'video'",
        ),
        (
            {"readings__x": {"model": {"submodules": 5}}},
            "readings.x over cmmanet-random_interval: 5 attention submodules .* divide 32",
        ),
        (
            {"arms": [*PARAMS["arms"], "reading-k8"]},
            "arms: 'reading-k8': 'reading-' begins the names of readings",
        ),
        (
            {"cross": [{"source": "synthetic", "target": "synthetic"}]},
            "cross.0: source and target are both synthetic",
        ),
        ({"cross": [{"source": "synthetic", "target": "mars"}]}, "cross: mars is not in datasets"),
        ({"cross": [{"source": "mars", "target": "synthetic"}]}, "cross: mars is not in datasets"),
        ({"cross": [{"source": "synthetic"}]}, "cross.0.target: missing"),
        ({"cross": [{"source": "synthetic", "target": "duke"}]}, "cross.0.target: .*got 'duke'"),
        (
            {
                "datasets": ["synthetic", "mars"],
                "cross": [{"source": "synthetic", "target": "mars"}] * 2,
            },
            "cross: synthetic to mars stands there twice",
        ),
        ({"occlusion": [0.0, 1.5]}, "occlusion.1: .* less than or equal to 1, got 1.5"),
        ({"occlusion": [-0.1, 0.5]}, "occlusion.0: .* greater than or equal to 0, got -0.1"),
        ({"occlusion": [0.5]}, "occlusion: .* at least 2 items"),
        ({"occlusion": 0.5}, "occlusion: .* valid tuple, got 0.5"),
        ({"occlusion": [0.3, 0.3]}, "occlusion: shares must be in ascending order, each once"),
        ({"occlusion": [0.3, 0.0]}, "occlusion: shares must be in ascending order, each once"),
        ({"occlusion": [0, 0.5]}, "occlusion: 0: write a share of frames with its point, such as"),
        ({"occlusion": [0.0, "half"]}, "occlusion: 'half': write a share of frames"),
        ({"occlusion": [0.0, float("nan")]}, "occlusion.1: input should be a finite number"),
        ({"evaluate__rerank": "yes"}, "evaluate.rerank: input should be 'none', got 'yes'"),
        ({"evaluate__rerank__k1": 0}, "evaluate.rerank.k1: .* greater than or equal to 1, got 0"),
        ({"evaluate__rerank__k3": 1}, "evaluate.rerank.k3: unknown key"),
        ({"evaluate__rerank": {"k1": 20, "k2": 6}}, "evaluate.rerank.weight: missing"),
        ({"evaluate__rerank__weight": 1.5}, "evaluate.rerank.weight: .* equal to 1, got 1.5"),
    ],
)
def test_wrong_values_are_refused_with_their_key(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        load_params(changed(tmp_path, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluate__rerank__k1": 0}, "evaluate.rerank.k1: input should be greater than or equal"),
        (
            {"recipes__demo__model__weights": {"path": "w.pth"}},
            "recipes.demo.model.weights.sha256: missing",
        ),
        ({"recipes__demo__model__weights": "coco"}, "recipes.demo.model.weights: input should be"),
        ({"evaluate__rerank": None}, "evaluate.rerank: input should be 'none', got None"),
        ({"recipes__demo__precision": {}}, "recipes.demo.precision: input should be 'auto', "),
    ],
)
def test_what_is_a_word_or_keys_is_told_of_as_what_was_given(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParamsError) as raised:
        load_params(changed(tmp_path, **change))
    assert str(raised.value).startswith(f"params.yaml: {message}")
    assert "\n" not in str(raised.value)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    file = changed(tmp_path, foo=1, seed="x", evaluate__distance="l3")
    with pytest.raises(ParamsError) as raised:
        load_params(file)
    assert len(str(raised.value).splitlines()) == 3


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "\x00"])
def test_files_that_are_no_parameters_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml: "):
        load_params(tmp_path / "params.yaml")


def test_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="run from the repository's root"):
        load_params(tmp_path / "params.yaml")


def test_readings_need_the_arm_that_they_are_readings_of(tmp_path: Path) -> None:
    arms = ["baseline", "cmmanet-restricted"]
    files = plans(load_params(changed(tmp_path, sampler="restricted", arms=arms)))
    assert not [name for name in files if "reading-" in name]
    assert files["readings.json"].model_dump()["readings"] == ()


def test_a_reading_may_take_another_sampler(tmp_path: Path) -> None:
    readings = {"chunks": {"sampling": {"kind": "restricted"}}}
    plan = plans(load_params(changed(tmp_path, readings=readings)))["synthetic/reading-chunks.json"]
    assert plan.model_dump()["sampling"] == {"kind": "restricted"}
