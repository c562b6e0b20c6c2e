"""What is wrong in params.yaml, in the words of the file."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import ValidationError

# What pydantic calls the members of `float | Literal[...]` and the like.
_UNION_MEMBER = re.compile(r"WeightsFile$|Rerank$|constrained-|literal\[")


class ParamsError(ValueError):
    """A parameter that is missing, unknown or out of range."""


def listed(names: Iterable[str]) -> str:
    """Names in a message, in alphabetical order."""
    return ", ".join(sorted(names))


def readable(error: ValidationError, where: str) -> str:
    """Every problem on its own line, with its key; `where` is the file and what was laid over."""
    lines = []
    for problem in error.errors():
        path = _key(problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "model_type":
            continue  # weights given as a word: the list of words is its own problem
        if isinstance(problem["input"], dict) and "literal[" in str(problem["loc"][-1:]):
            continue  # and given as keys: one of these is its own problem
        if problem["type"] == "extra_forbidden":
            text = "unknown key"
        elif problem["type"] == "missing":
            text = "missing"
        elif problem["type"] != "value_error":
            text = f"{text[0].lower()}{text[1:]}, got {problem['input']!r}"
        lines.append(f"{where}: {path}: {text}" if path else f"{where}: {text}")
    return "\n".join(lines)


def _key(location: tuple[int | str, ...]) -> str:
    """The key as it stands in the file: pydantic puts the names of union members in."""
    parts = list(location)
    for choice, depth in (("samplers", 2), ("sampling", 1)):
        if parts[:1] == [choice] and len(parts) > depth:
            del parts[depth]
    return ".".join(str(part) for part in parts if not _UNION_MEMBER.match(str(part)))
