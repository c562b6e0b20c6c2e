"""No setting can change a number unseen, and the paper's are told from others by value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from reporting import made_up
from reporting.pages import table_of

from cmmanet.evaluation.records import EvaluateResult
from cmmanet.params import Params, load_params, resolve_arm
from cmmanet.reporting.settings import (
    additions,
    changes,
    deviations,
    difference,
    settings_line,
    settings_table,
)

NAMES = {"dataset", "arm", "variant", "recipe", "sampler", "seed", "trials"}


def leaves(config: dict[str, Any], *prefix: str) -> Iterator[str]:
    """Yield the path of every value that is no section."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, *prefix, key)
        else:
            yield "/".join((*prefix, key))


def arm(name: str = "k8", **values: Any) -> EvaluateResult:
    """Return a result with the paper's recipe and other values at these paths of its config."""
    result = made_up.result("mars", name, [0.8])
    return made_up.changed(result, {f"config/{path}": value for path, value in values.items()})


# Another valid value of every setting.
OTHERS = {
    "image/height": 384, "image/width": 64, "clip/frames": 8, "clip/flip": False, "clip/erase": 0.5,
    "batch/identities": 8, "batch/clips": 2, "model/backbone": "resnet18", "model/weights": "none",
    "model/last_stride": 1, "model/mam_after": [4], "model/submodules": 2, "model/hidden": 128,
    "model/neck": "bnneck", "losses/identity": 2.0, "losses/smoothing": 0.1, "losses/triplet": 2.0,
    "losses/margin": "soft", "losses/diversity": 0.2, "losses/diversity_form": "eq7",
    "losses/concentration": 0.2, "optimiser/lr": 0.1, "optimiser/weight_decay": 0.1,
    "schedule/iterations": 120, "schedule/warmup": 10, "schedule/milestones": [80],
    "precision": "fp32", "sampling/max_interval": 4, "sampling/draw": "clip",
    "sampling/start": "literal",
}  # fmt: skip


def test_every_setting_is_in_the_report() -> None:
    results, report = made_up.results("mars"), made_up.report(["mars"])
    key = ("mars", "cmmanet-random_interval")
    paths = set(leaves(results[key].config.model_dump(mode="json")))
    assert {path for path in paths if path not in NAMES} - {"sampling/kind"} == OTHERS.keys()
    before = table_of(made_up.document(report, results), "settings")
    for path, value in OTHERS.items():
        other = made_up.changed(results[key], {f"config/{path}": value})
        after = table_of(made_up.document(report, results | {key: other}), "settings")
        assert before != after, path


def test_settings_table_has_the_papers_values_and_the_arms_that_differ() -> None:
    on_mars = {arm: made_up.result("mars", arm, [0.8]) for arm in made_up.arms}
    demo = {"baseline": made_up.result("synthetic", "baseline", [0.8], recipe="demo")}
    table = settings_table({"mars": on_mars, "synthetic": demo})
    assert table.header == ["setting", "the paper", "stated in", "MARS", "Synthetic"]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["image.height"] == ["256", "Sec. IV-B", "256", "128"]
    assert rows["clip.erase"] == ["not mentioned", "", "0", "0"]
    assert rows["losses.margin"] == ["", "", "0.3", "0.3"]
    product = rows["batch.identities × batch.clips"]
    assert product == ["28", "Sec. IV-B, batch size", "28", "24"]
    assert rows["model.mam_after"][2] == (
        "3 and 4 (none for `baseline`; 4 for `single_mam`, `single_mam_con`)"
    )
    assert rows["sampling"][2].endswith("start any (restricted for `cmmanet-restricted`)")


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("optimiser/lr", 0.01, "optimiser.lr 0.0002 (0.01 for `k8`)"),
        ("optimiser/weight_decay", 1e-05, "weight_decay 0.0005 (1e-05 for `k8`)"),
        ("losses/triplet", 0.5, "triplet 1 (0.5 for `k8`)"),
        ("losses/margin", "soft", "margin 0.3 (soft for `k8`)"),
        ("clip/flip", False, "flip on (off for `k8`)"),
        ("schedule/iterations", 60000, "iterations 110 (60,000 for `k8`)"),
        ("schedule/milestones", [], "milestones 70 and 90 (none for `k8`)"),
        (
            "sampling/max_interval",
            4,
            "any (random_interval with max_interval 4, draw epoch, start any for `k8`)",
        ),
        (
            "model/weights",
            {"path": "w.pth", "sha256": "7c0df586ff" + "0" * 54},
            "weights imagenet (file 7c0df586 for `k8`)",
        ),
    ],
)
def test_a_changed_value_names_its_arm(path: str, value: Any, shown: str) -> None:
    assert shown not in settings_line([arm("multi_mam"), arm()])
    assert shown in settings_line([arm("multi_mam"), arm(**{path: value})])


positive = st.floats(min_value=0, max_value=1e6, exclude_min=True)


@given(rates=st.lists(positive, min_size=2, max_size=2, unique=True))
def test_no_two_values_read_the_same(rates: list[float]) -> None:
    assert len({settings_line([arm(**{"optimiser/lr": rate})]) for rate in rates}) == 2


def test_shipped_paper_recipe_has_all_that_the_paper_states() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    for name in params.arms:
        plan = resolve_arm(params, "mars", name)
        assert plan.recipe == "paper"
        assert deviations(plan) == additions(plan) == []


def test_shipped_strong_recipe_is_marked_on_every_dataset() -> None:
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    for data in content["data"].values():
        data["recipe"] = "strong"
    params = Params.model_validate(content)
    for dataset in ("mars", "ilids-vid", "prid2011"):
        for name in params.arms:
            plan = resolve_arm(params, dataset, name)
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
        ("optimiser/lr", 0.01, "optimiser.lr 0.01 (the paper: 0.0002)"),
        ("optimiser/weight_decay", 0.0, "optimiser.weight_decay 0 (the paper: 0.0005)"),
        ("image/width", 64, "image.height × image.width 256×64 (the paper: 256×128)"),
        ("clip/frames", 8, "clip.frames 8 (the paper: 6)"),
        ("batch/clips", 2, "batch.identities × batch.clips 14 (the paper: 28)"),
        ("model/backbone", "resnet18", "model.backbone resnet18 (the paper: resnet50)"),
        ("model/weights", "none", "model.weights none (the paper: imagenet)"),
        ("model/last_stride", 1, "model.last_stride 1 (the paper: 2)"),
        ("model/hidden", 512, "model.hidden 512 (the paper: 256)"),
    ],
)
def test_deviations_are_told_by_value(path: str, value: Any, told: str) -> None:
    assert deviations(arm().config) == []
    result = arm(**{path: value})
    assert deviations(result.config) == [told]
    assert difference(result.config) == told


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("clip/erase", 0.5, "clip.erase 0.5 (not in the paper)"),
        ("model/neck", "bnneck", "model.neck bnneck (not in the paper)"),
        ("losses/smoothing", 0.1, "losses.smoothing 0.1 (not in the paper)"),
        ("schedule/warmup", 10, "schedule.warmup 10 (not in the paper)"),
    ],
)
def test_one_option_that_the_paper_does_not_mention_is_told(
    path: str, value: Any, told: str
) -> None:
    result = arm(**{path: value})
    assert deviations(result.config) == [] and additions(result.config) == [told]
    assert difference(result.config) == told
    # With a deviation beside it, and with more than can be spelt out.
    result = arm(**{path: value, "optimiser/lr": 0.01})
    mark = f"optimiser.lr 0.01 (the paper: 0.0002), {told}"
    assert difference(result.config) == mark
    result = arm(**{path: value, "optimiser/lr": 0.01, "clip/frames": 4})
    mark = "2 of the paper's 9 settings differ, 1 option that it does not mention"
    assert difference(result.config) == mark


def test_options_alone_can_be_too_many_to_spell_out() -> None:
    result = arm(**{"clip/erase": 0.5, "losses/smoothing": 0.1, "schedule/warmup": 10})
    mark = "3 options that the paper does not mention"
    assert difference(result.config) == mark


def test_what_the_paper_leaves_open_is_no_deviation() -> None:
    batch = {"identities": 14, "clips": 2}
    others = {"losses/triplet": 2, "schedule/iterations": 120, "sampling/max_interval": 4}
    assert deviations(arm(**{"batch": batch, **others}).config) == []


def test_two_deviations_are_spelt_out_and_more_are_counted() -> None:
    two = {"model/hidden": 128, "clip/frames": 4}
    assert difference(arm(**two).config) == (
        "clip.frames 4 (the paper: 6), model.hidden 128 (the paper: 256)"
    )
    mark = "3 of the paper's 9 settings differ"
    assert difference(arm(**two, **{"optimiser/lr": 0.01}).config) == mark
    result = made_up.result("mars", "k8", [0.8], recipe="demo")
    # Size, frames, batch of 24, backbone, weights, learning rate.
    assert difference(result.config) == "6 of the paper's 9 settings differ"
    assert difference(made_up.result("mars", "k8", [0.8], recipe="renamed").config) == ""
    assert difference(made_up.result("mars", "k8", [0.8], recipe="strong").config) == (
        "3 of the paper's 9 settings differ, 4 options that it does not mention"
    )


def test_changes_name_what_is_not_alike_and_nothing_else() -> None:
    config, names = arm().config, {"seed": 3, "trials": 5, "recipe": "renamed"}
    assert changes(config, arm("k9", **names).config) == []
    others = {"losses/margin": "soft", "sampling/draw": "clip", "schedule/milestones": []}
    assert changes(config, arm("k9", **names, **others).config) == [
        "losses.margin soft (not 0.3)",
        "schedule.milestones none (not 70 and 90)",
        "sampling.draw clip (not epoch)",
    ]
    assert changes(config, arm("k8-restricted").config) == [
        "sampling restricted (not random_interval with max_interval 8, draw epoch, start any)"
    ]
