"""What the paper says of its attention beside what was measured of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmmanet.reporting.markdown import (
    DASH,
    bullets,
    by_arm,
    names,
    paragraph,
    percent,
    signed,
    table,
)

HEADING = "### The paper's claims about attention"

TITLES = {
    "entropy": "entropy",
    "field": "field",
    "overlap": "overlap",
    "own_stripe": "own stripe",
    "purity": "purity",
    "coverage": "coverage",
    "background": "background",
    "astray": "astray",
    "occluder": "occluder",
    "weight_change": "weight under occlusion",
}
"""Each measure of attention as a table heads it."""

SHORT = " ".join(
    (
        "Values are percent, differences percentage points; coverage is a number of parts. Each is",
        "a mean over a query's frames, over submodules and over queries. **Uniform** is what",
        "attention without any preference gives in the same frames; an arm that stands alone is",
        "compared with that. *Holds*, *contradicted* and *not resolved* are over other trainings",
        "and other people, by a 95 % interval whose half is given. Where too few trainings were",
        "run for that, each is judged over other people alone, and its difference is given: *yes*",
        "and *no in each* say nothing of another training, and *undecided* is what other people",
        "could turn in some training. *Though not in cells*: see the fields below the table.",
        "Nothing is corrected for the number of comparisons.",
    )
)

DEFINITIONS = (
    "**Entropy**: −Σ a·log a over that of uniform attention: 100 if uniform, 0 if all on one cell.",
    "**Field**: exp(−Σ a·log a) / hw, the effective share of the map; at least one cell.",
    "**Overlap**: mean over pairs of submodules of ⟨√a_j, √a_k⟩ (Eq. 7 and 8); 100 if alike. The "
    "diversity loss asks for it too, with and without the concentration loss.",
    "**Own stripe**: mean over k of Â_kk (Eq. 9), which the loss (Eq. 10) itself draws to 100: it "
    "shows that the loss works. Without it nothing ties submodule k to stripe k.",
    "**Purity**: the attention on the body part (head, torso, arms, legs, feet, bag) that a "
    "submodule looks at most in a tracklet, as a share of all its attention. It is largest if "
    "attention follows one part, always on the cell that shows most of it.",
    "**Coverage**: how many different parts those are, over the submodules. A part counts where it "
    "has more of the attention than of the area.",
    "**Background**, **occluder**: attention on them, the latter in occluded frames only.",
    "**Astray**: how often the cell of a map's highest response shows mostly nobody: more than "
    "half of it background or occluder.",
    "**Weight under occlusion**: by how much the largest weight of a map, the number above the "
    "pictures of Fig. 3, changes from a tracklet's visible to its occluded frames. Submodules and "
    "frames count by how much of where the submodule usually looks the occluder covers.",
    "**Always its mean map**: the same for attention that never moves, but looks in every frame "
    "where the arm looks on average. What an arm does no better than that, it does by a fixed "
    "place in the frame, whoever is there.",
)


def claims_section(claims: Mapping[str, Any]) -> str:
    """The section of a dataset's claims/<dataset>.json: a verdict each, then every measure."""
    if not claims["measures"]:
        return f"{HEADING}\n\nNot measured: no arm that was run has a MAM."
    stages = sorted({stage for of in claims["measures"].values() for stage in of})
    parts = [
        HEADING,
        paragraph(_extent(claims)),
        *([_judged(claims["claims"])] if claims["claims"] else []),
        *_collapse(claims),
        *_fields_in_cells(claims),
        paragraph(SHORT),
        *(part for stage in stages for part in _every_measure(claims, stage)),
        "In the paper's words:",
        bullets(_quotes(claims["claims"])),
        "The measures:",
        bullets(DEFINITIONS),
    ]
    return "\n\n".join(parts)


def _extent(claims: Mapping[str, Any]) -> str:
    trials, every = claims["trials"], claims["claims"]
    split = "" if claims["test_to_train"] is None else " a split"
    words = (
        f"Every frame of {claims['queries']:,} queries of {claims['people']:,} people{split}, in "
        f"{trials} {'trial' if trials == 1 else 'trials'} an arm"
    )
    if claims["masks"]:
        words += (
            f"; {claims['occluded']:,} of these queries have occluded frames, "
            f"{claims['compared']:,} of which have visible ones too"
        )
    else:
        words += "; without label maps nobody knows which part of a frame is what"
    lost = sum(claim["collapsed"] for claim in every)
    counts: dict[str, int] = {}
    for claim in every:
        if not claim["collapsed"]:
            counts[claim["verdict"]] = counts.get(claim["verdict"], 0) + 1
    told = ", ".join(
        f"{count} × “{word}”" for word, count in sorted(counts.items(), key=lambda item: -item[1])
    )
    words += f". Of {len(every)} comparisons"
    if lost:
        words += f" {lost} are of attention that has collapsed, which says nothing; of the others"
    return (
        f"{words}: {told}. They speak of the networks of this run, trained as is said above."
        if counts
        else f"{words}: none."
    )


def _judged(claims: Sequence[Mapping[str, Any]]) -> str:
    header = ["the paper says", "measure", "MAM", "compared", "from", "to", "uniform"]
    rows, said = [], ""
    for claim in claims:
        measure, after, before = claim["measure"], claim["after"], claim["before"]
        rows.append(
            [
                claim["words"] if claim["words"] != said else "",
                TITLES[measure],
                *_compared(claim),
                _value(measure, before["mean"]) if before else DASH,
                _value(measure, after["mean"]),
                _value(measure, after["uniform"]),
                _difference(claim),
                claim["verdict"],
            ]
        )
        said = claim["words"]
    return table([*header, "difference", "verdict"], rows, texts=4, last_text=True)


def _compared(claim: Mapping[str, Any]) -> tuple[str, str]:
    """The MAM, and what is compared behind it."""
    after, before = claim["after"], claim["before"]
    arm = f"`{after['arm']}`"
    if before is None:
        return f"behind {after['stage']}", arm
    if before["arm"] is None:
        return f"behind {after['stage']}", f"its mean map → {arm}"
    if before["arm"] == after["arm"]:
        return f"behind {before['stage']} → {after['stage']}", arm
    return f"behind {after['stage']}", f"`{before['arm']}` → {arm}"


def _value(measure: str, value: float | None) -> str:
    if value is None:
        return DASH
    if measure == "weight_change":
        return signed(100 * value)
    return f"{value:.2f}" if measure == "coverage" else percent(value)


def _difference(claim: Mapping[str, Any]) -> str:
    gain, half_width = claim["gain"], claim["half_width"]
    if gain is None or claim["collapsed"]:
        return DASH
    if half_width is None:
        return ", ".join(_signed(claim["measure"], trial) for trial in claim["trials"])
    width = f"{half_width:.2f}" if claim["measure"] == "coverage" else percent(half_width)
    return f"{_signed(claim['measure'], gain)} ± {'<0.1' if width == '0.0' else width}"


def _signed(measure: str, value: float) -> str:
    if measure == "coverage":
        return f"{value:+.2f}".replace("-", "−")
    return signed(100 * value)


def _collapse(claims: Mapping[str, Any]) -> Iterator[str]:
    places = claims["collapsed"]
    if not places:
        return
    stages = dict.fromkeys(place["stage"] for place in places)
    told = "; ".join(
        f"behind stage {stage} of {names(p['arm'] for p in places if p['stage'] == stage)}"
        for stage in stages
    )
    yield paragraph(
        f"**Collapsed** (†): {told}, the entropy of a trial is below 2 % of the uniform's. Each "
        "submodule puts all its attention on one cell of the map, whatever is there. Its entropy, "
        "field and overlap are at their least, its largest weight is 1, occluded or not, and its "
        "purity is that of a fixed place: nothing to hold against the paper or for it."
    )


def _fields_in_cells(claims: Mapping[str, Any]) -> Iterator[str]:
    """What of two MAMs' fields is due to their maps' sizes."""
    scales = [c for c in claims["claims"] if c["kind"] == "scales" and c["gain"] is not None]
    if not scales:
        return
    told = []
    for claim in scales:
        first, second = (
            f"{side['mean'] * claims['cells'][side['arm']][str(side['stage'])]:.1f} behind "
            f"{side['stage']}"
            for side in (claim["after"], claim["before"])
        )
        told.append(f"{first} and {second} of `{claim['after']['arm']}`")
    yield paragraph(
        "A cell behind the first MAM's stage is smaller than one behind the second's, so attention "
        "on one cell has the smaller field there, whatever was learnt. Counted in cells, fields "
        f"are {'; '.join(told)}."
    )


def _every_measure(claims: Mapping[str, Any], stage: str) -> Iterator[str]:
    """Every measure of every arm with a MAM behind a stage."""
    collapsed = {place["arm"] for place in claims["collapsed"] if str(place["stage"]) == stage}
    arms = {arm: of[stage] for arm, of in claims["measures"].items() if stage in of}
    measures = [name for name in TITLES if any(name in measured for measured in arms.values())]
    rows = [
        [f"`{arm}`{' †' * (arm in collapsed)}", *(_cell(of, name) for name in measures)]
        for arm, of in arms.items()
    ]
    for arm, of in arms.items():
        row = [_value(n, of[n]["fixed"]) if n in of else DASH for n in measures]
        rows.append([f"`{arm}`, always its mean map", *row])
    # Of arms with other maps or another K, other numbers.
    uniform: dict[tuple[str, ...], list[str]] = {}
    for arm, of in arms.items():
        same = tuple(_value(n, of[n]["uniform"]) if n in of else DASH for n in measures)
        uniform.setdefault(same, []).append(arm)
    for same, alike in uniform.items():
        of_whom = f", of {names(alike)}" if len(uniform) > 1 else ""
        rows.append([f"uniform attention{of_whom}", *same])
    yield f"#### The MAM behind stage {stage}"
    yield table(["arm", *(TITLES[name] for name in measures)], rows, texts=1)
    over = "; with 95 % intervals over people" if claims["test_to_train"] is None else ""
    limits = by_arm({arm: _limits(claims, arm, stage) for arm in arms})
    yield paragraph(f"{limits[0].upper()}{limits[1:]}. Means over trials{over}.")


def _limits(claims: Mapping[str, Any], arm: str, stage: str) -> str:
    """What no attention on an arm's maps can pass."""
    cells, bound = claims["cells"][arm][stage], claims["purity_bound"][arm].get(stage)
    limits = f"maps of {cells:.0f} cells, a field is at least {percent(1 / cells)} %"
    return limits if bound is None else f"{limits} and purity at most {percent(bound)} %"


def _cell(measured: Mapping[str, Any], name: str) -> str:
    if name not in measured:
        return DASH
    value, interval = _value(name, measured[name]["mean"]), measured[name]["interval"]
    if interval is None:
        return value
    low, high = (_value(name, bound) for bound in interval)
    return f"{value} ({low} to {high})"


def _quotes(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    quoted = {claim["words"]: claim for claim in claims}
    return [
        f"{words} ({TITLES[claim['measure']]} {'up' if claim['sign'] > 0 else 'down'}): "
        f"“{claim['quote']}” ({claim['place']})"
        for words, claim in quoted.items()
    ]
