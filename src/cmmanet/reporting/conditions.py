"""What a measured number depends on, as the text that stands under its table."""

from collections.abc import Iterable, Sequence

from cmmanet.reporting.cells import distinct, paragraph, span
from cmmanet.reporting.results import ArmResult, title

TEST_FRAMES = {"dense": "every frame", "chunk_first": "the first frame of each chunk"}
"""The two ways to test, in words."""


def conditions(arms: Sequence[ArmResult], frames: str, *, with_map: bool) -> str:
    """Everything that can change these arms' numbers without changing the method."""
    parts = [
        _protocol(arms),
        f"test frames: {TEST_FRAMES[frames]} ({frames})",
        *(["mAP: official (trapezoid)"] if with_map else []),
        _trials(arms),
        _recipe(arms),
        distinct(_device(result) for result in arms),
        distinct(_versions(result) for result in arms),
        f"{dates(arms)}, {distinct(_commit(result) for result in arms)}",
    ]
    return paragraph(f"*{title(arms[0]['dataset'])} measured with* {'; '.join(parts)}.")


def trial_name(result: ArmResult) -> str:
    """What a trial varies: the split where the protocol has several, else the seed alone."""
    return "split" if result["protocol"]["name"] == "two-camera" else "trial"


def dates(arms: Iterable[ArmResult]) -> str:
    """The day of the measurements, or the first and the last."""
    days = sorted(result["environment"]["date"][:10] for result in arms)
    return " to ".join(dict.fromkeys((days[0], days[-1])))


def _protocol(arms: Sequence[ArmResult]) -> str:
    # One protocol serves all arms of a dataset: they share its plan and its splits.
    protocol = arms[0]["protocol"]
    scores = [
        score
        for result in arms
        for trial in result["trials"]
        for score in trial["metrics"].values()
    ]
    lost = max(int(score["queries"] - score["valid"]) for score in scores)
    dropped = f", up to {lost:,} of them dropped for want of a right answer" if lost else ""
    return (
        f"protocol {protocol['name']}: {protocol['query']:,} queries{dropped} (one is "
        f"{100 / protocol['query']:.2f} points), gallery {protocol['gallery']:,} with "
        f"{protocol['distractors']:,} distractors and {protocol['junk']:,} junk; "
        f"{protocol['distance']} distance"
    )


def _trials(arms: Sequence[ArmResult]) -> str:
    counts = [len(result["trials"]) for result in arms]
    name = trial_name(arms[0])
    overlap = " (they overlap: ± is no standard error)" if name == "split" else ""
    seeds = sorted({trial["seed"] for result in arms for trial in result["trials"]})
    return (
        f"{span(counts)} {name}{'s' if max(counts) > 1 else ''}{overlap}, "
        f"seed{'s' if len(seeds) > 1 else ''} {span(seeds)}"
    )


def _recipe(arms: Sequence[ArmResult]) -> str:
    iterations = span(trial["iterations"] for result in arms for trial in result["trials"])
    return (
        f"recipe {distinct(result['recipe'] for result in arms)} "
        f"({distinct(_training(result) for result in arms)}; {iterations} iterations); "
        f"sampler {distinct(result['sampler'] for result in arms)}"
    )


def _training(result: ArmResult) -> str:
    config = result["config"]
    image, batch, model = config["image"], config["batch"], config["model"]
    match model["weights"]:
        case "none":
            start = "from scratch"
        case "imagenet":
            start = "from ImageNet weights"
        case file:
            start = f"from weights {file['sha256'][:8]}"
    return (
        f"{model['backbone']} {start}, {image['height']}×{image['width']}, "
        f"{config['clip']['frames']} frames, {batch['identities']} identities × "
        f"{batch['clips']} clips"
    )


def _device(result: ArmResult) -> str:
    return f"{result['environment']['device']}, {result['environment']['precision']}"


def _versions(result: ArmResult) -> str:
    used = result["environment"]
    return f"torch {used['torch']}, torchvision {used['torchvision']}, Python {used['python']}"


def _commit(result: ArmResult) -> str:
    used = result["environment"]
    if used["commit"] is None:
        return "no commit"
    return f"commit {used['commit'][:10]}" + (" with uncommitted changes" if used["dirty"] else "")
