"""How the arms were trained, in the words of params.yaml, and where that is not the paper's."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmmanet.reporting.cells import by_arm
from cmmanet.reporting.published import Setting, load_published
from cmmanet.reporting.results import ArmResult

# Shown elsewhere: they name a run, or say how often it was repeated.
_NAMES = frozenset({"dataset", "arm", "variant", "recipe", "sampler", "seed", "trials"})

# As many deviations as a table's cell can spell out.
_SPELT_OUT = 2


def settings(arms: Sequence[ArmResult]) -> str:
    """Every key of the arms' configs, so that none can change a number unseen."""
    flat = {result["arm"]: dict(_leaves(result["config"])) for result in arms}
    keys = dict.fromkeys(key for config in flat.values() for key in config if key not in _NAMES)
    groups: dict[str, list[str]] = {}
    for key in keys:
        group, _, name = key.partition(".")
        value = by_arm({arm: _text(config.get(key)) for arm, config in flat.items()})
        groups.setdefault(group, []).append(f"{name} {value}".strip())
    return "; ".join(f"*{group}* {', '.join(parts)}" for group, parts in groups.items())


def changes(config: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What `other` has in place of what `config` has, key by key."""
    before, found = dict(_leaves(config)), []
    for key, value in _leaves(other):
        was = before.get(key)
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


def deviations(config: Mapping[str, Any]) -> list[str]:
    """The paper's settings that this training did not have, each with the paper's value."""
    leaves = dict(_leaves(config))
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


def additions(config: Mapping[str, Any]) -> list[str]:
    """The options of this training that the paper does not mention."""
    leaves = dict(_leaves(config))
    return [
        f"{option.key} {_text(leaves[option.key])} (not in the paper)"
        for option in load_published().unmentioned
        # Older results have no such key: the option did not exist.
        if leaves.get(option.key, option.without) != option.without
    ]


def deviation_mark(result: ArmResult) -> str:
    """What sets this training apart from the paper's, in short; empty if nothing does."""
    differing, added = deviations(result["config"]), additions(result["config"])
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
    return f"recipe {result['recipe']}: {', '.join(parts)}"


def stated_settings() -> str:
    """What the paper states, and where."""
    return "; ".join(
        f"{_keys(setting)} {_stated(setting)} ({setting.stated})"
        for setting in load_published().settings
    )


def unmentioned_options() -> str:
    """The options that the paper does not mention."""
    return ", ".join(option.key for option in load_published().unmentioned)


def _keys(setting: Setting) -> str:
    return " × ".join(setting.keys)


def _stated(setting: Setting) -> str:
    if setting.product is not None:
        return _text(setting.product)
    return "×".join(map(_text, setting.values))


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
