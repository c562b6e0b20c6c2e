"""Describe what is wrong in params.yaml, in the terms of the file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

# Pydantic's names of the members of `float | Literal[...]` and the like.
_UNION_MEMBER = re.compile(r"WeightsFile$|Rerank$|constrained-|literal\[")

# In place of pydantic's messages in Python's terms, by the type of the error.
_KEYS = "input should be keys and values"
_WORDS = {
    "model_type": _KEYS,
    "model_attributes_type": _KEYS,
    "dict_type": _KEYS,
    "tuple_type": "input should be a list",
    "string_type": "input should be text",
    "bool_type": "input should be true or false",
    "bool_parsing": "input should be true or false",
    "int_type": "input should be a whole number",
    "int_parsing": "input should be a whole number",
    "int_from_float": "input should be a whole number",
    "float_type": "input should be a number",
    "float_parsing": "input should be a number",
    "too_short": "input should have {min_length} or more entries",
    "union_tag_not_found": "input should have a key {discriminator}",
    "union_tag_invalid": "kind should be one of {expected_tags}",
}

# A key without a value is not an empty list; how to write one is not obvious.
_EMPTY = {"tuple_type": "an empty list is []", "dict_type": "without any keys it is {}"}

# Characters of a wrong value that are shown.
_LONGEST = 80


class ParamsError(ValueError):
    """A parameter that is missing, unknown or out of range."""


def listed(names: Iterable[str]) -> str:
    """Join names in alphabetical order."""
    return ", ".join(sorted(names))


def not_yaml(error: yaml.YAMLError) -> str:
    """Describe why a text is not YAML, and in which line."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"not valid YAML: {' '.join(str(error).split())}"
    where = f"line {error.problem_mark.line + 1}"
    if "'\\t'" in str(error.problem):
        return f"{where}: a tab, which YAML does not allow there; write spaces in its place"
    context = error.context or ""
    if error.context_mark and error.context_mark.line != error.problem_mark.line:
        context += f" from line {error.context_mark.line + 1}"
    return ": ".join(filter(None, (where, "not valid YAML", context, error.problem)))


def readable(error: ValidationError, where: str) -> str:
    """Describe each wrong key on its own line; `where` names the file and the sections merged."""
    problems: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for problem in error.errors():
        problems.setdefault(_key(problem["loc"]), []).append(problem)
    lines = []
    for key, own in problems.items():
        if any(other[: len(key)] == key != other for other in problems):
            continue  # the error is further inside: a key of the file given as `weights`, say
        lines.append(": ".join(filter(None, (where, ".".join(key), _problem(own)))))
    return "\n".join(lines)


def given(value: Any) -> str:
    """Return a value as text on one line."""
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _problem(problems: list[ErrorDetails]) -> str:
    """Describe the errors of one key: `float | Literal["soft"]` has one per alternative."""
    first = problems[0]
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return "unknown key"
    if first["type"] == "missing":
        return "missing"
    if first["type"] == "invalid_key" or first["loc"][-1:] == ("[key]",):
        return "a key should be text; put it in quotes"
    texts = [_text(problem) for problem in problems]
    choices = [texts[0], *(text.removeprefix("input should be ") for text in texts[1:])]
    message = f"{', or '.join(choices)}, got {given(first['input'])}"
    empty = _EMPTY.get(first["type"]) if first["input"] is None else None
    return f"{message} ({empty})" if empty else message


def _text(problem: ErrorDetails) -> str:
    if problem["type"] in _WORDS:
        return _WORDS[problem["type"]].format(**problem.get("ctx", {}))
    return f"{problem['msg'][0].lower()}{problem['msg'][1:]}"


def _key(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return the key as in the file, without the names of union members that pydantic inserts."""
    parts = list(location)
    for choice, depth in (("samplers", 2), ("sampling", 1)):
        if parts[:1] == [choice] and len(parts) > depth:
            del parts[depth]
    if parts[-1:] == ["[key]"]:
        del parts[-1]  # in the file it is variants.3, not variants.3.[key]
    return tuple(str(part) for part in parts if not _UNION_MEMBER.match(str(part)))
