"""No setting can change a number unseen, and the paper's are told from others by value."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st

from cmmanet.params import ArmPlan, Params, load_params, resolve_arm
from cmmanet.reporting.settings import (
    additions,
    changes,
    deviation_mark,
    deviations,
    settings,
    stated_settings,
    unmentioned_options,
)

NAMES = {"dataset", "arm", "variant", "recipe", "sampler", "seed", "trials"}


def leaves(config: dict[str, Any], *prefix: str) -> Iterator[tuple[str, ...]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, *prefix, key)
        else:
            yield (*prefix, key)


def change(config: dict[str, Any], path: tuple[str, ...], value: Any = None) -> dict[str, Any]:
    """A copy with another value there: the one given, or any other."""
    changed = copy.deepcopy(config)
    place = changed
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    match old:
        case bool():
            other: Any = not old
        case int() | float():
            other = old + 1
        case list():
            other = [*old, 99]
        case _:
            other = f"{old}x"
    place[path[-1]] = other if value is None else value
    return changed


def test_made_up_configs_have_exactly_the_plans_keys(made_up: SimpleNamespace) -> None:
    for recipe in ("paper", "demo", "strong"):
        for arm in made_up.arms:
            config = made_up.result("mars", arm, [0.8], recipe=recipe)["config"]
            assert ArmPlan.model_validate(config).model_dump(mode="json") == config


def test_every_setting_is_under_its_tables(made_up: SimpleNamespace) -> None:
    results = made_up.results("mars")
    report = made_up.report(["mars"])
    before = made_up.page(report, results)
    # The headline stands in every table of the paper on MARS, and in the dataset's own.
    config = results["mars", "cmmanet-random_interval"]["config"]
    paths = [path for path in leaves(config) if path[0] not in NAMES]
    assert len(paths) == 32
    for path in paths:
        changed = copy.deepcopy(results)
        changed["mars", "cmmanet-random_interval"]["config"] = change(config, path)
        after = made_up.page(report, changed)
        for start in ("## Table II.", "## Table III.", "## Table IV.", "## MARS"):
            old, new = (page.split(start)[1].split("\n## ")[0] for page in (before, after))
            old, new = (text[text.index("depend on:") :] for text in (old, new))
            assert old != new, (path, start)


def test_settings_read_like_params_yaml(made_up: SimpleNamespace) -> None:
    arms = [made_up.result("mars", arm, [0.8]) for arm in made_up.arms]
    assert settings(arms[4:5]) == (
        "*image* height 256, width 128; *clip* frames 6, flip on, erase 0; *batch* identities 7, "
        "clips 4; *model* backbone resnet50, weights imagenet, last_stride 2, mam_after 3 and 4, "
        "submodules 4, hidden 256, neck none; *losses* identity 1, smoothing 0, triplet 1, "
        "margin 0.3, diversity 0.1, diversity_form eq8, concentration 0.1; *optimiser* lr 0.0002, "
        "weight_decay 0.0005; *schedule* iterations 110, warmup 0, milestones 70 and 90; "
        "*precision* auto; *compile* off; *sampling* random_interval with max_interval 8, draw "
        "epoch, start any"
    )
    text = settings(arms)
    assert "mam_after 3 and 4 (none for `baseline`; 4 for `single_mam`, `single_mam_con`), " in text
    assert "concentration 0.1 (0 for `single_mam`, `multi_mam`);" in text
    assert text.endswith("start any (restricted for `cmmanet-restricted`)")
    assert text.count("`") == 2 * 6


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        (("optimiser", "lr"), 0.01, "lr 0.0002 (0.01 for `k8`), weight_decay 0.0005"),
        (("optimiser", "weight_decay"), 1e-05, "weight_decay 0.0005 (1e-05 for `k8`)"),
        (("losses", "triplet"), 0.5, "triplet 1 (0.5 for `k8`)"),
        (("losses", "margin"), "soft", "margin 0.3 (soft for `k8`)"),
        (("losses", "diversity_form"), "eq7", "diversity_form eq8 (eq7 for `k8`)"),
        (("clip", "flip"), False, "flip on (off for `k8`)"),
        (("clip", "erase"), 0.5, "erase 0 (0.5 for `k8`)"),
        (("model", "neck"), "bnneck", "neck none (bnneck for `k8`)"),
        (("schedule", "iterations"), 60000, "iterations 110 (60,000 for `k8`)"),
        (("schedule", "milestones"), [], "milestones 70 and 90 (none for `k8`)"),
        (
            ("sampling", "max_interval"),
            4,
            "any (random_interval with max_interval 4, draw epoch, start any for `k8`)",
        ),
        (
            ("model", "weights"),
            {"path": "w.pth", "sha256": "7c0df586ff" + "0" * 54},
            "weights imagenet (file 7c0df586 for `k8`)",
        ),
    ],
)
def test_a_changed_value_names_its_arm(
    made_up: SimpleNamespace, path: tuple[str, ...], value: Any, shown: str
) -> None:
    arms = [made_up.result("mars", arm, [0.8]) for arm in ("multi_mam", "k8")]
    assert shown not in settings(arms)
    arms[1]["config"] = change(arms[1]["config"], path, value)
    assert shown in settings(arms)


positive = st.floats(min_value=0, max_value=1e6, exclude_min=True)


@given(rates=st.lists(positive, min_size=2, max_size=2, unique=True))
def test_no_two_values_read_the_same(made_up: SimpleNamespace, rates: list[float]) -> None:
    result = made_up.result("mars", "k8", [0.8])
    texts = set()
    for rate in rates:
        result["config"]["optimiser"]["lr"] = rate
        texts.add(settings([result]))
    assert len(texts) == 2


def test_a_setting_that_only_some_plans_have(made_up: SimpleNamespace) -> None:
    old, new = (made_up.result("mars", arm, [0.8]) for arm in ("old", "new"))
    new["config"]["model"]["later"] = True
    assert "neck none, later none (on for `new`);" in settings([old, new])


def test_shipped_paper_recipe_has_all_that_the_paper_states() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    for arm in params.arms:
        plan = resolve_arm(params, "mars", arm).model_dump(mode="json")
        assert plan["recipe"] == "paper"
        assert deviations(plan) == additions(plan) == []


def test_shipped_strong_recipe_is_marked_on_every_dataset() -> None:
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    for data in content["data"].values():
        data["recipe"] = "strong"
    params = Params.model_validate(content)
    for dataset in ("mars", "ilids-vid", "prid2011"):
        for arm in params.arms:
            plan = resolve_arm(params, dataset, arm).model_dump(mode="json")
            told = ", ".join(deviations(plan))
            assert "model.last_stride 1 (the paper: 2)" in told and "optimiser.lr" in told
            assert additions(plan) == [
                "clip.erase 0.5 (not in the paper)",
                "model.neck bnneck (not in the paper)",
                "losses.smoothing 0.1 (not in the paper)",
                "schedule.warmup 2,000 (not in the paper)",
            ]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("optimiser", "lr"), 0.01, "optimiser.lr 0.01 (the paper: 0.0002)"),
        (("optimiser", "weight_decay"), 0.0, "optimiser.weight_decay 0 (the paper: 0.0005)"),
        (("image", "width"), 64, "image.height × image.width 256×64 (the paper: 256×128)"),
        (("clip", "frames"), 8, "clip.frames 8 (the paper: 6)"),
        (("batch", "clips"), 2, "batch.identities × batch.clips 14 (the paper: 28)"),
        (("model", "backbone"), "resnet18", "model.backbone resnet18 (the paper: resnet50)"),
        (("model", "weights"), "none", "model.weights none (the paper: imagenet)"),
        (("model", "last_stride"), 1, "model.last_stride 1 (the paper: 2)"),
        (("model", "hidden"), 512, "model.hidden 512 (the paper: 256)"),
    ],
)
def test_deviations_are_told_by_value(
    made_up: SimpleNamespace, path: tuple[str, ...], value: Any, told: str
) -> None:
    result = made_up.result("mars", "k8", [0.8])
    assert deviations(result["config"]) == []
    result["config"] = change(result["config"], path, value)
    assert deviations(result["config"]) == [told]
    assert deviation_mark(result) == f"recipe paper: {told}"
    # What the settings' bullet of the page says is what is compared with.
    assert told.split("the paper: ")[1].rstrip(")") in stated_settings()


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("clip", "erase"), 0.5, "clip.erase 0.5 (not in the paper)"),
        (("model", "neck"), "bnneck", "model.neck bnneck (not in the paper)"),
        (("losses", "smoothing"), 0.1, "losses.smoothing 0.1 (not in the paper)"),
        (("schedule", "warmup"), 10, "schedule.warmup 10 (not in the paper)"),
    ],
)
def test_one_option_that_the_paper_does_not_mention_is_told(
    made_up: SimpleNamespace, path: tuple[str, ...], value: Any, told: str
) -> None:
    result = made_up.result("mars", "k8", [0.8])
    result["config"] = change(result["config"], path, value)
    assert deviations(result["config"]) == [] and additions(result["config"]) == [told]
    assert deviation_mark(result) == f"recipe paper: {told}"
    assert ".".join(path) in unmentioned_options()
    # With a deviation beside it, and with more than can be spelt out.
    result["config"]["optimiser"]["lr"] = 0.01
    mark = f"recipe paper: optimiser.lr 0.01 (the paper: 0.0002), {told}"
    assert deviation_mark(result) == mark
    result["config"]["clip"]["frames"] = 4
    mark = "recipe paper: 2 of the paper's 9 settings differ, 1 option that it does not mention"
    assert deviation_mark(result) == mark


def test_options_alone_can_be_too_many_to_spell_out(made_up: SimpleNamespace) -> None:
    result = made_up.result("mars", "k8", [0.8])
    result["config"]["clip"]["erase"] = 0.5
    result["config"]["losses"]["smoothing"] = 0.1
    result["config"]["schedule"]["warmup"] = 10
    mark = "recipe paper: 3 options that the paper does not mention"
    assert deviation_mark(result) == mark


def test_results_from_before_an_option_existed_had_it_off(made_up: SimpleNamespace) -> None:
    result = made_up.result("mars", "k8", [0.8])
    del result["config"]["clip"]["erase"], result["config"]["model"]["neck"]
    del result["config"]["losses"]["smoothing"], result["config"]["schedule"]["warmup"]
    assert deviation_mark(result) == ""


def test_samplers_of_results_from_before_their_keys_read_as_they_were_written(
    made_up: SimpleNamespace,
) -> None:
    arms = [made_up.result("mars", arm, [0.8]) for arm in ("multi_mam", "k8")]
    arms[1]["config"]["sampling"] = {"kind": "random_interval", "max_interval": 8}
    shown = "with max_interval 8, draw epoch, start any (random_interval with max_interval 8 for"
    assert shown in settings(arms)
    assert deviation_mark(arms[1]) == ""


def test_what_the_paper_leaves_open_is_no_deviation(made_up: SimpleNamespace) -> None:
    config = made_up.result("mars", "k8", [0.8])["config"]
    config["batch"] = {"identities": 14, "clips": 2}
    for path in (("losses", "triplet"), ("schedule", "iterations"), ("sampling", "max_interval")):
        config = change(config, path)
    assert deviations(config) == []


def test_two_deviations_are_spelt_out_and_more_are_counted(made_up: SimpleNamespace) -> None:
    result = made_up.result("mars", "k8", [0.8])
    result["config"]["model"]["hidden"] = 128
    result["config"]["clip"]["frames"] = 4
    assert deviation_mark(result) == (
        "recipe paper: clip.frames 4 (the paper: 6), model.hidden 128 (the paper: 256)"
    )
    result["config"]["optimiser"]["lr"] = 0.01
    assert deviation_mark(result) == "recipe paper: 3 of the paper's 9 settings differ"
    result = made_up.result("mars", "k8", [0.8], recipe="demo")
    # Size, frames, batch of 24, backbone, weights, learning rate.
    assert deviation_mark(result) == "recipe demo: 6 of the paper's 9 settings differ"
    assert deviation_mark(made_up.result("mars", "k8", [0.8], recipe="renamed")) == ""
    assert deviation_mark(made_up.result("mars", "k8", [0.8], recipe="strong")) == (
        "recipe strong: 3 of the paper's 9 settings differ, 4 options that it does not mention"
    )


def test_changes_name_what_is_not_alike_and_nothing_else(made_up: SimpleNamespace) -> None:
    config, other = (made_up.result("mars", arm, [0.8])["config"] for arm in ("k8", "k9"))
    other |= {"seed": 3, "trials": 5, "recipe": "renamed"}
    assert changes(config, other) == []
    other["losses"]["margin"] = "soft"
    other["sampling"]["draw"] = "clip"
    other["schedule"]["milestones"] = []
    assert changes(config, other) == [
        "losses.margin soft (not 0.3)",
        "schedule.milestones none (not 70 and 90)",
        "sampling.draw clip (not epoch)",
    ]
    other = made_up.result("mars", "k8-restricted", [0.8])["config"]
    assert changes(config, other) == [
        "sampling restricted (not random_interval with max_interval 8, draw epoch, start any)"
    ]
