"""The arms' settings, in the words of params.yaml, and where they depart from the paper's."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmmanet.evaluation.records import ArmResult
from cmmanet.params import ArmPlan
from cmmanet.reporting.markdown import by_arm
from cmmanet.reporting.published import Setting, load_published

# Shown elsewhere: they name a run, or say how often it was repeated.
_NAMES = frozenset({"dataset", "arm", "variant", "recipe", "sampler", "seed", "trials"})

# As many deviations as a table's cell can spell out.
_SPELT_OUT = 2


def settings(arms: Sequence[ArmResult]) -> str:
    """Return every key of the arms' configs, so none can change a number unseen."""
    flat = {result.arm: _flat(result.config) for result in arms}
    groups: dict[str, list[str]] = {}
    for key in next(iter(flat.values())):
        if key in _NAMES:
            continue
        group, _, name = key.partition(".")
        value = by_arm({arm: _text(config[key]) for arm, config in flat.items()})
        groups.setdefault(group, []).append(f"{name} {value}".strip())
    return "; ".join(f"*{group}* {', '.join(parts)}" for group, parts in groups.items())


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
    found = []
    for setting in load_published().settings:
        values = [leaves[key] for key in setting.keys]
        if setting.product is None:
            same, text = values == list(setting.values), "×".join(map(_text, values))
        else:
            product = math.prod(values)
            same, text = product == setting.product, _text(product)
        if not same:
            found.append(f"{_keys(setting)} {text} (the paper: {_stated(setting)})")
    return found


def additions(config: ArmPlan) -> list[str]:
    """Return the options of this config that the paper does not mention."""
    leaves = _flat(config)
    return [
        f"{option.key} {_text(leaves[option.key])} (not in the paper)"
        for option in load_published().unmentioned
        if leaves[option.key] != option.without
    ]


def deviation_mark(result: ArmResult) -> str:
    """Summarise how an arm's config differs from the paper's; empty if it does not."""
    differing, added = deviations(result.config), additions(result.config)
    if not differing and not added:
        return ""
    parts = [*differing, *added]
    if len(parts) > _SPELT_OUT:
        total = len(load_published().settings)
        parts = [f"{len(differing)} of the paper's {total} settings differ"] if differing else []
        if added:
            options = "option" if len(added) == 1 else "options"
            paper = "it" if differing else "the paper"
            parts.append(f"{len(added)} {options} that {paper} does not mention")
    return f"recipe {result.recipe}: {', '.join(parts)}"


def stated_settings() -> str:
    """Return the settings that the paper states, and where."""
    return "; ".join(
        f"{_keys(setting)} {_stated(setting)} ({setting.stated})"
        for setting in load_published().settings
    )


def unmentioned_options() -> str:
    """Return the options that the paper does not mention."""
    return ", ".join(option.key for option in load_published().unmentioned)


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
