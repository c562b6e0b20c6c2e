from pathlib import Path
from typing import Any

import pytest
from params.edited import PARAMS, changed

from cmmanet.params import ParamsError, load_params

RESTRICTED = {"cmmanet-restricted": {"sampler": "restricted"}}


def check_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """That the change is refused in one line, which begins so."""
    with pytest.raises(ParamsError) as raised:
        load_params(changed(tmp_path, **change))
    assert str(raised.value).startswith(f"params.yaml: {message}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": "rnd"}, "sampler: 'rnd' is not one of .*random_interval, restricted"),
        ({"foo": 1}, "params.yaml: foo: unknown key"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, got -1"),
        ({"datasets": []}, "datasets: "),
        (
            {"datasets": ["duke"]},
            "input should be 'mars', 'ilids-vid', 'prid2011' or 'synthetic', got 'duke'",
        ),
        ({"datasets": ["mars", "mars"]}, "'mars' is listed twice"),
        ({"arms": ["x", "cmmanet-random_interval"]}, "arms: 'x' is not a variant"),
        ({"arms": ["baseline"]}, "makes 'cmmanet-random_interval' the headline"),
        ({"arms": ["data", "cmmanet-random_interval"]}, "'data' is the name of a plan file"),
        ({"variants__a/b": {}}, "names are of"),
        ({"variants__baseline": {"model": {"k": 1}}}, "baseline over recipes.demo: model.k"),
        ({"variants__unused": {"modle": {}}}, "variants.unused over recipes.demo: modle: unknown"),
        (
            {"variants__baseline": {"seed": 1}},
            "variants.baseline.seed: not a key of a recipe, nor `sampler`",
        ),
        ({"variants__x": {"sampler": "y"}}, "variants.x.sampler: 'y' is not one of "),
        ({"variants__x": {"sampler": ["restricted"]}}, "variants.x.sampler: .* is not one of"),
        ({"variants__x": {"sampling": {"draw": "clip"}}}, "x.sampling: not a key of a recipe"),
        (
            {"samplers": {"restricted": {"kind": "restricted"}}},
            "variants.baseline.sampler: 'random_interval' is not one of restricted",
        ),
        (
            {"variants__cmmanet-random_interval": {"sampler": "restricted"}},
            "variants.cmmanet-random_interval.sampler: 'restricted' is not the sampler in its name",
        ),
        (
            {"arms": ["cmmanet-restricted"], "sampler": "restricted", "variants": RESTRICTED},
            "readings: 'cmmanet-random_interval', which they change, is not a variant",
        ),
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
        (
            {"recipes__demo__model__weights": "coco"},
            "'none' or 'imagenet', or keys and values, got 'coco'",
        ),
        (
            {"recipes__demo__model__weights": {"path": "w.pth", "sha256": "0"}},
            "weights.sha256: ",
        ),
        (
            {"recipes__demo__losses__margin": "hard"},
            "losses.margin: input should be a number, or 'soft', got 'hard'",
        ),
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
        ({"readings__x": None}, "params.yaml: readings.x: input should be keys and values"),
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
            "cross: synthetic to mars is listed twice",
        ),
        ({"occlusion": [0.0, 1.5]}, "occlusion.1: .* less than or equal to 1, got 1.5"),
        ({"occlusion": [-0.1, 0.5]}, "occlusion.0: .* greater than or equal to 0, got -0.1"),
        ({"occlusion": [0.5]}, "occlusion: .* 2 or more entries, got .0.5."),
        ({"occlusion": 0.5}, "occlusion: input should be a list, got 0.5"),
        ({"occlusion": [0.3, 0.3]}, "occlusion: shares must be in ascending order, each once"),
        ({"occlusion": [0.3, 0.0]}, "occlusion: shares must be in ascending order, each once"),
        ({"occlusion": [0, 0.5]}, "occlusion: 0: write a share of frames with its point, such as"),
        ({"occlusion": [0.0, "half"]}, "occlusion: 'half': write a share of frames"),
        ({"occlusion": [0.0, float("nan")]}, "occlusion.1: input should be a finite number"),
        ({"evaluate__rerank": "yes"}, "evaluate.rerank: .* 'none', or keys and values, got 'yes'"),
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
        ({"evaluate__rerank": None}, "evaluate.rerank: input should be 'none', or keys and values"),
        ({"recipes__demo__precision": {}}, "recipes.demo.precision: input should be 'auto', "),
    ],
)
def test_what_is_a_word_or_keys_is_told_of_as_what_was_given(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    check_one_line(tmp_path, change, message)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    file = changed(tmp_path, foo=1, seed="x", evaluate__distance="l3")
    with pytest.raises(ParamsError) as raised:
        load_params(file)
    assert len(str(raised.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # No list and no keys at all.
        ({"datasets": []}, "datasets: input should have 1 or more entries, got []"),
        ({"arms": []}, "arms: input should have 1 or more entries, got []"),
        ({"occlusion": []}, "occlusion: input should have 2 or more entries, got []"),
        ({"variants": {}}, "variants: input should have 1 or more entries, got {}"),
        ({"samplers": {}}, "samplers: input should have 1 or more entries, got {}"),
        ({"cross": None}, "cross: input should be a list, got nothing (an empty list is [])"),
        (
            {"variants__x": None},
            "variants.x: input should be keys and values, got nothing (without any keys it is {})",
        ),
        # One where the other is wanted.
        ({"cross": {}}, "cross: input should be a list, got {}"),
        ({"arms": "baseline"}, "arms: input should be a list, got 'baseline'"),
        ({"data": ["mars"]}, "data: input should be keys and values, got ['mars']"),
        ({"readings": ["k8"]}, "readings: input should be keys and values, got ['k8']"),
        (
            {"cross": ["mars to prid2011"]},
            "cross.0: input should be keys and values, got 'mars to prid2011'",
        ),
        (
            {"variants__baseline": {"model": ["mam_after"]}},
            "variants.baseline over recipes.demo: model: input should be keys and values, "
            "got ['mam_after']",
        ),
        (
            {"readings__x": {"sampling": 4}},
            "readings.x over cmmanet-random_interval: sampling: input should be keys and values, "
            "got 4",
        ),
        (
            {"samplers__x": {"kynd": "restricted"}},
            "samplers.x: input should have a key 'kind', got {'kynd': 'restricted'}",
        ),
        # Values of another kind.
        ({"seed": "abc"}, "seed: input should be a whole number, got 'abc'"),
        ({"seed": 0.5}, "seed: input should be a whole number, got 0.5"),
        ({"seed": None}, "seed: input should be a whole number, got nothing"),
        ({"arms": [3]}, "arms.0: input should be text, got 3"),
        (
            {"recipes__demo__optimiser__weight_decay": "wd=1e-05"},
            "recipes.demo.optimiser.weight_decay: input should be a number, got 'wd=1e-05'",
        ),
        (
            {"recipes__demo__clip__flip": "maybe"},
            "recipes.demo.clip.flip: input should be true or false, got 'maybe'",
        ),
        (
            {"recipes__demo__losses__margin": -1},
            "recipes.demo.losses.margin: input should be greater than 0, or 'soft', got -1",
        ),
        # Names.
        ({"foo": 1}, "foo: unknown key"),
        ({"arms": ["cmmanet-random_interval"] * 2}, "arms: 'cmmanet-random_interval' is listed"),
        (
            {"arms": ["basline", "cmmanet-random_interval"]},
            "arms: 'basline' is not a variant (baseline, ",
        ),
        (
            {"datasets": ["x"]},
            "datasets.0: input should be 'mars', 'ilids-vid', 'prid2011' or 'synthetic', got 'x'",
        ),
        ({"variants": {3: {}}}, "variants.3: a key should be text; put it in quotes"),
    ],
)
def test_each_slip_is_one_line_in_the_words_of_the_file(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    check_one_line(tmp_path, change, message)


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"got 'x{79}\.\.\.$"):
        load_params(changed(tmp_path, seed="x" * 500))


def test_what_may_be_empty_may(tmp_path: Path) -> None:
    params = load_params(changed(tmp_path, cross=[], readings={}))
    assert (params.cross, params.readings) == ((), {})
