"""The arms' settings, in the words of params.yaml, and where they depart from the paper's."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmmanet.evaluation.records import ArmResult
from cmmanet.params import ArmPlan
from cmmanet.reporting.document import Table, table
from cmmanet.reporting.formats import by_arm
from cmmanet.reporting.inputs import title
from cmmanet.reporting.published import Setting, load_published

# Shown elsewhere: they name a run, or say how often it was repeated.
_NAMES = frozenset({"dataset", "arm", "variant", "recipe", "sampler", "seed", "trials"})

# As many deviations as a table's cell can spell out.
_SPELT_OUT = 2


def changes(config: ArmPlan, other: ArmPlan) -> list[str]:
    """Return the values of `other` that differ from those of `config`, key by key."""
    before, found = _flat(config), []
    for key, value in _flat(other).items():
        was = before[key]
        if key in _NAMES or value == was:
            continue
        match was, value:
            case {"kind": old, **had}, {"kind": new, **has} if old == new:
                # Of one and the same sampler, only what differs.
                pairs = [(f"{key}.{name}", had.get(name), has[name]) for name in has]
            case _:
                pairs = [(key, was, value)]
        found += [f"{name} {_text(b)} (not {_text(a)})" for name, a, b in pairs if a != b]
    return found


def deviations(config: ArmPlan) -> list[str]:
    """Return the settings of the paper that this config departs from, with the paper's value."""
    leaves = _flat(config)
    return [
        f"{_keys(setting)} {used} (the paper: {_stated(setting)})"
        for setting in load_published().settings
        if (used := _used(setting, leaves)) != _stated(setting)
    ]


def additions(config: ArmPlan) -> list[str]:
    """Return the options of this config that the paper does not mention."""
    leaves = _flat(config)
    return [
        f"{option.key} {_text(leaves[option.key])} (not in the paper)"
        for option in load_published().unmentioned
        if leaves[option.key] != option.without
    ]


def difference(config: ArmPlan) -> str:
    """Summarise how a config differs from the paper's settings; empty if it does not."""
    differing, added = deviations(config), additions(config)
    parts = [*differing, *added]
    if len(parts) > _SPELT_OUT:
        total = len(load_published().settings)
        parts = [f"{len(differing)} of the paper's {total} settings differ"] if differing else []
        if added:
            options = "option" if len(added) == 1 else "options"
            paper = "it" if differing else "the paper"
            parts.append(f"{len(added)} {options} that {paper} does not mention")
    return ", ".join(parts)


def settings_table(results: Mapping[str, Mapping[str, ArmResult]]) -> Table:
    """Return every key of the arms' configs on each dataset, next to what the paper states.

    Keys whose product the paper states have a row of their own as well.
    """
    paper = load_published()
    first = next(iter(next(iter(results.values())).values()))
    stated = {option.key: ("not mentioned", "") for option in paper.unmentioned}
    for setting in paper.settings:
        if setting.product is None:
            values = zip(setting.keys, map(_text, setting.values), strict=True)
            stated |= {key: (value, setting.stated) for key, value in values}
    rows = [
        [key, *stated.get(key, ("", "")), *_on_each(results, [key])]
        for key in _flat(first.config)
        if key not in _NAMES
    ]
    rows += [
        [_keys(setting), _stated(setting), setting.stated, *_on_each(results, setting.keys)]
        for setting in paper.settings
        if setting.product is not None
    ]
    header = ["setting", "the paper", "stated in", *map(title, results)]
    return table("Settings", header, rows, texts=len(header), detail=True)


def settings_line(arms: Sequence[ArmResult]) -> str:
    """Return every key of the arms' configs with its value, as one line."""
    rows = settings_table({arms[0].dataset: {result.arm: result for result in arms}}).rows
    return ", ".join(f"{key} {value}" for key, _, _, value in rows)


def _on_each(results: Mapping[str, Mapping[str, ArmResult]], keys: Sequence[str]) -> Iterator[str]:
    """Yield the value of a key, or the product of several, on each dataset."""
    for arms in results.values():
        values = {}
        for arm, result in arms.items():
            leaves = [_flat(result.config)[key] for key in keys]
            values[arm] = _text(leaves[0] if len(leaves) == 1 else math.prod(leaves))
        yield by_arm(values)


def _used(setting: Setting, leaves: Mapping[str, Any]) -> str:
    values = [leaves[key] for key in setting.keys]
    return "×".join(map(_text, values)) if setting.product is None else _text(math.prod(values))


def _keys(setting: Setting) -> str:
    return " × ".join(setting.keys)


def _stated(setting: Setting) -> str:
    if setting.product is not None:
        return _text(setting.product)
    return "×".join(map(_text, setting.values))


def _flat(config: ArmPlan) -> dict[str, Any]:
    return dict(_leaves(config.model_dump(mode="json")))


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        # A sampler or a file of weights is one choice: its keys mean nothing apart.
        if isinstance(value, Mapping) and not {"kind", "sha256"} & value.keys():
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _text(value: Any) -> str:
    match value:
        case None | []:
            return "none"
        case bool():
            return "on" if value else "off"
        case int():
            return f"{value:,}"
        case float():
            # As short as it can be without losing a digit; 1.0 is 1.
            return repr(value).removesuffix(".0")
        case list():
            return " and ".join(map(_text, value))
        case {"sha256": digest}:
            return f"file {digest[:8]}"
        case {"kind": kind, **rest}:
            parts = ", ".join(f"{key} {_text(rest[key])}" for key in rest)
            return f"{kind} with {parts}" if parts else str(kind)
        case _:
            return str(value)
