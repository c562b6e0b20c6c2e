"""What training warned of, so that a training that went wrong is no mere low number."""

from collections.abc import Iterable, Mapping

from cmmanet.reporting.cells import bullets, escape, names, paragraph
from cmmanet.reporting.conditions import trial_name
from cmmanet.reporting.results import ArmResult

# A trial's number, and its warnings by sign.
_Trials = list[tuple[int, Mapping[str, str]]]


def warned(arms: Mapping[str, ArmResult]) -> list[str]:
    """Each sign once, with the arms that had it and in how many trials; then what is unknown."""
    known = {arm: trials for arm, result in arms.items() if (trials := _recorded(result))}
    signs = dict.fromkeys(sign for trials in known.values() for _, had in trials for sign in had)
    parts = []
    if signs:
        name = trial_name(next(iter(arms.values())))
        parts.append("While training, at least once and not necessarily to the end:")
        parts.append(bullets(escape(_line(sign, known, name)) for sign in signs))
    elif known:
        parts.append(f"Training {_of(known, arms)}warned of nothing.")
    unknown = [arm for arm in arms if arm not in known]
    if unknown:
        parts.append(f"What training {_of(unknown, arms)}warned of was not recorded.")
    return [part if part.startswith("- ") else paragraph(part) for part in parts]


def _recorded(result: ArmResult) -> _Trials:
    """The trials that say what they were warned of; older results do not."""
    return [
        (trial["trial"], warnings)
        for trial in result["trials"]
        if (warnings := trial.get("warnings")) is not None
    ]


def _of(some: Iterable[str], arms: Mapping[str, ArmResult]) -> str:
    return "" if set(some) == set(arms) else f"{names(some)} "


def _line(sign: str, known: Mapping[str, _Trials], name: str) -> str:
    """Arms by their number of trials, and the words of the first: numbers differ by trial."""
    sentences: dict[tuple[str, int], str] = {}
    shares: dict[str, list[str]] = {}
    for arm, trials in known.items():
        had = {(arm, trial): warnings[sign] for trial, warnings in trials if sign in warnings}
        if had:
            shares.setdefault(f"{len(had)} of {len(trials)} {name}s", []).append(arm)
        sentences |= had
    where = "; ".join(
        f"{names(having)}, {'each ' if len(having) > 1 else ''}{share}"
        for share, having in shares.items()
    )
    (arm, trial), example = next(iter(sentences.items()))
    differ = len(set(sentences.values())) > 1
    return f"{where}: {example}{f' (numbers of `{arm}`, {name} {trial})' if differ else ''}"
