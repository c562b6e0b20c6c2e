"""The paper's claims about attention, and the measurements of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cmmanet.reporting.document import Table, notes, table
from cmmanet.reporting.formats import DASH, by_arm, names, percent, signed
from cmmanet.reporting.inputs import title

Claims = Mapping[str, Any]
"""The content of claims/<dataset>.json."""

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
"""The title of each measure of attention."""

VERDICTS = ("holds", "contradicted", "not resolved")


def count_verdicts(claims: Iterable[Claims]) -> Counter[str]:
    """Count comparisons by verdict; "inconclusive" are all but `VERDICTS`.

    Comparisons that are judged within our runs alone, hold in the image and not in cells, or are
    of collapsed attention count as inconclusive.
    """
    return Counter(
        claim["verdict"]
        if claim["verdict"] in VERDICTS and not claim["collapsed"]
        else "inconclusive"
        for claim in claims
    )


def count_optimised(claims: Iterable[Claims]) -> int:
    """Count the comparisons that hold of what the concentration loss itself optimises (Eq. 10)."""
    return count_verdicts(c for c in claims if c["measure"] == "own_stripe")["holds"]


def summary_table(dataset: str, claims: Claims) -> Table:
    """Return one row per claim: how many comparisons hold, contradict it, or are open."""
    by_claim: dict[tuple[str, str], list[Claims]] = {}
    for claim in claims["claims"]:
        by_claim.setdefault((claim["words"], claim["measure"]), []).append(claim)
    rows = []
    for (words, measure), every in by_claim.items():
        count = count_verdicts(every)
        counts = [str(count[verdict]) for verdict in (*VERDICTS, "inconclusive")]
        direction = "up" if every[0]["sign"] > 0 else "down"
        rows.append([words, f"{TITLES[measure]} {direction}", *counts])
    header = ["the paper's claim", "measured by", "hold", "contradicted", "not resolved"]
    caption = f"{title(dataset)}: claims about attention"
    return table(caption, [*header, "inconclusive"], rows, texts=2)


def comparisons_table(dataset: str, claims: Claims) -> Table:
    """Return every comparison with its values, difference and verdict."""
    rows = []
    for claim in claims["claims"]:
        measure, after, before = claim["measure"], claim["after"], claim["before"]
        rows.append(
            [
                claim["words"],
                TITLES[measure],
                *_compared(claim),
                _value(measure, before["mean"]) if before else DASH,
                _value(measure, after["mean"]),
                _value(measure, after["uniform"]),
                _difference(claim),
                claim["verdict"],
                f"“{claim['quote']}” ({claim['place']})",
            ]
        )
    header = [
        "claim", "measure", "MAM", "compared", "from", "to", "uniform", "difference", "verdict",
        "in the paper's words",
    ]  # fmt: skip
    caption = f"{title(dataset)}: every comparison with a claim about attention"
    cells = _fields_in_cells(claims)
    return table(
        caption,
        header,
        rows,
        texts=4,
        alignment="llllrrrrll",
        detail=True,
        notes=notes("fields", cells=cells) if cells else (),
    )


def measures_tables(dataset: str, claims: Claims) -> list[Table]:
    """Return, per stage with a MAM, every measure of every arm and of two references."""
    stages = sorted({stage for stages in claims["measures"].values() for stage in stages})
    return [_measures(dataset, claims, stage) for stage in stages]


def collapsed_places(claims: Claims) -> str:
    """Return where attention collapsed, `stage 4 of ...`; empty if nowhere."""
    places = claims["collapsed"]
    stages = dict.fromkeys(place["stage"] for place in places)
    return "; ".join(
        f"stage {stage} of {names(p['arm'] for p in places if p['stage'] == stage)}"
        for stage in stages
    )


def _fields_in_cells(claims: Claims) -> str:
    """Return the fields of each arm's two MAMs in cells of their maps; empty without two."""
    texts = []
    for claim in claims["claims"]:
        if claim["kind"] == "scales" and claim["gain"] is not None:
            first, second = (
                f"{side['mean'] * claims['cells'][side['arm']][str(side['stage'])]:.1f} after "
                f"stage {side['stage']}"
                for side in (claim["after"], claim["before"])
            )
            texts.append(f"`{claim['after']['arm']}` {first}, {second}")
    return "; ".join(texts)


def _measures(dataset: str, claims: Claims, stage: str) -> Table:
    collapsed = {place["arm"] for place in claims["collapsed"] if str(place["stage"]) == stage}
    arms = {arm: stages[stage] for arm, stages in claims["measures"].items() if stage in stages}
    measures = [name for name in TITLES if any(name in measured for measured in arms.values())]

    def reference(measured: Mapping[str, Any], kind: str) -> tuple[str, ...]:
        return tuple(
            _value(name, measured[name][kind]) if name in measured else DASH for name in measures
        )

    rows = [
        [f"`{arm}`{' †' * (arm in collapsed)}", *(_cell(measured, name) for name in measures)]
        for arm, measured in arms.items()
    ]
    rows += [[f"`{arm}`, its mean map", *reference(m, "fixed")] for arm, m in arms.items()]
    # Arms with other maps or another K have other references.
    uniform: dict[tuple[str, ...], list[str]] = {}
    for arm, measured in arms.items():
        uniform.setdefault(reference(measured, "uniform"), []).append(arm)
    for cells, alike in uniform.items():
        which = f", {names(alike)}" if len(uniform) > 1 else ""
        rows.append([f"uniform attention{which}", *cells])
    limits = by_arm({arm: _limits(claims, arm, stage) for arm in arms})
    over = "; 95 % intervals over identities" if claims["test_to_train"] is None else ""
    return table(
        f"{title(dataset)}: attention after stage {stage}",
        ["arm", *(TITLES[name] for name in measures)],
        rows,
        texts=1,
        detail=True,
        notes=(f"{limits[0].upper()}{limits[1:]}. Means over runs{over}.", *notes("measures")),
    )


def _compared(claim: Claims) -> Iterator[str]:
    """Yield the stage and the compared arms."""
    after, before = claim["after"], claim["before"]
    arm, stage = f"`{after['arm']}`", f"after {after['stage']}"
    if before is None:
        yield from (stage, arm)
    elif before["arm"] is None:
        yield from (stage, f"its mean map → {arm}")
    elif before["arm"] == after["arm"]:
        yield from (f"after {before['stage']} → {after['stage']}", arm)
    else:
        yield from (stage, f"`{before['arm']}` → {arm}")


def _value(measure: str, value: float | None) -> str:
    if value is None:
        return DASH
    if measure == "weight_change":
        return signed(100 * value)
    return f"{value:.2f}" if measure == "coverage" else percent(value)


def _difference(claim: Claims) -> str:
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


def _limits(claims: Claims, arm: str, stage: str) -> str:
    """Return the bounds of field and purity on an arm's maps."""
    cells, bound = claims["cells"][arm][stage], claims["purity_bound"][arm].get(stage)
    limits = f"maps of {cells:.0f} cells, a field is at least {percent(1 / cells)} %"
    return limits if bound is None else f"{limits} and purity at most {percent(bound)} %"


def _cell(measured: Mapping[str, Any], name: str) -> str:
    if name not in measured:
        return DASH
    value, interval = _value(name, measured[name]["mean"]), measured[name]["interval"]
    if interval is None:
        return value
    return f"{value} ({' to '.join(_value(name, bound) for bound in interval)})"
