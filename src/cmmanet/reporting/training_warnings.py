"""Warnings of training: a run that went wrong is not just a low number."""

from collections.abc import Mapping

from cmmanet.evaluation.records import EvaluateResult
from cmmanet.reporting.conditions import trial_name
from cmmanet.reporting.markdown import bullets, escape, names


def list_warnings(arms: Mapping[str, EvaluateResult]) -> list[str]:
    """Return each sign once, with its arms and the number of their runs that had it."""
    signs = dict.fromkeys(
        sign for result in arms.values() for run in result.trials for sign in run.warnings
    )
    if not signs:
        return ["Training warned of nothing."]
    return [
        "While training, at least once and not necessarily to the end:",
        bullets(escape(_line(sign, arms)) for sign in signs),
    ]


def _line(sign: str, arms: Mapping[str, EvaluateResult]) -> str:
    """Name arms by their number of runs, with the words of the first: numbers differ by run."""
    name = trial_name(next(iter(arms.values())))
    sentences: dict[tuple[str, int], str] = {}
    shares: dict[str, list[str]] = {}
    for arm, result in arms.items():
        had = {
            (arm, run.trial): run.warnings[sign] for run in result.trials if sign in run.warnings
        }
        if had:
            shares.setdefault(f"{len(had)} of {len(result.trials)} {name}s", []).append(arm)
        sentences |= had
    where = "; ".join(
        f"{names(having)}, {'each ' if len(having) > 1 else ''}{share}"
        for share, having in shares.items()
    )
    (arm, trial), example = next(iter(sentences.items()))
    differ = len(set(sentences.values())) > 1
    return f"{where}: {example}{f' (numbers of `{arm}`, {name} {trial})' if differ else ''}"
