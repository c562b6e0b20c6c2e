"""Warnings of training: a run that went wrong is not just a low number."""

from __future__ import annotations

from collections.abc import Mapping

from cmmanet.evaluation.records import EvaluateResult
from cmmanet.reporting.conditions import run_name
from cmmanet.reporting.document import escape
from cmmanet.reporting.formats import names


def list_warnings(arms: Mapping[str, EvaluateResult]) -> list[str]:
    """Return each warning once, with its arms and the number of their runs that had it."""
    signs = dict.fromkeys(
        sign for result in arms.values() for run in result.trials for sign in run.warnings
    )
    return [escape(_line(sign, arms)) for sign in signs]


def _line(sign: str, arms: Mapping[str, EvaluateResult]) -> str:
    """Group arms by their number of runs; the sentence is the first run's if numbers differ."""
    name = run_name(next(iter(arms.values())))
    sentences: dict[tuple[str, int], str] = {}
    shares: dict[str, list[str]] = {}
    for arm, result in arms.items():
        warned = {
            (arm, run.trial): run.warnings[sign] for run in result.trials if sign in run.warnings
        }
        if warned:
            shares.setdefault(f"{len(warned)} of {len(result.trials)} {name}s", []).append(arm)
        sentences |= warned
    where = "; ".join(
        f"{names(having)}, {'each ' if len(having) > 1 else ''}{share}"
        for share, having in shares.items()
    )
    (arm, trial), example = next(iter(sentences.items()))
    differ = len(set(sentences.values())) > 1
    return f"{where}: {example}{f' (numbers of `{arm}`, {name} {trial})' if differ else ''}"
