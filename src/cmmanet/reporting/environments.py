"""Machine, versions, code and dates behind the numbers."""

from collections.abc import Iterable, Sequence

from cmmanet.evaluation.records import ArmResult, Code, Environment, TrainingEnvironment
from cmmanet.reporting.markdown import by_arm, where


def provenance(arms: Sequence[ArmResult]) -> str:
    """Describe the machine, versions and code of training, and what differed in later stages."""
    trained = {result.arm: result.environment for result in arms}
    parts = [
        f"trained on {by_arm({arm: _training(used) for arm, used in trained.items()})}",
        by_arm({arm: _versions(used) for arm, used in trained.items()}),
        by_arm({arm: commit_name(used) for arm, used in trained.items()}),
        *where({result.arm: _embedded(result) for result in arms}),
        *where({result.arm: _evaluated(result) for result in arms}),
        f"measured {dates(arms)}",
    ]
    return "; ".join(parts)


def dates(arms: Iterable[ArmResult]) -> str:
    """Return the first and the last day of training, embedding and evaluation; one if the same."""
    days = sorted(
        stage.date[:10]
        for result in arms
        for stage in (result.environment, result.embedding, result.evaluation)
    )
    return " to ".join(dict.fromkeys((days[0], days[-1])))


def devices(arms: Iterable[ArmResult]) -> list[str]:
    """Return the devices of training and embedding."""
    return [stage.device for result in arms for stage in (result.environment, result.embedding)]


def commit_name(used: Code) -> str:
    """Return a commit by its first digits, and whether the code was as committed."""
    if used.commit is None:
        return "commit unknown"
    changes = {True: " with uncommitted changes", False: "", None: ", uncommitted changes unknown"}
    return f"commit {used.commit[:10]}{changes[used.dirty]}"


def _embedded(result: ArmResult) -> str:
    before, after = result.environment, result.embedding
    changed = [
        f"{word} {text(after)}"
        for word, text in (("with", _versions), ("at", commit_name))
        if text(after) != text(before)
    ]
    if _machine(after) != _machine(before):
        changed.insert(0, f"on {_machine(after)}{_reproducible(after)}")
    return f"embedded {', '.join(changed)}" if changed else ""


def _evaluated(result: ArmResult) -> str:
    commit = commit_name(result.evaluation)
    return "" if commit == commit_name(result.environment) else f"evaluated at {commit}"


def _training(used: TrainingEnvironment) -> str:
    processes = f", by {used.processes} processes" if used.processes > 1 else ""
    return f"{_machine(used)}{_reproducible(used)}{processes}"


def _machine(used: Environment) -> str:
    return f"{used.device}, {used.precision}"


def _reproducible(used: Environment) -> str:
    """Describe whether the same seed gives the same last digits, as far as that is known."""
    if used.nondeterministic:
        return f", without deterministic kernels for {', '.join(used.nondeterministic)}"
    if used.device.startswith("CPU"):
        return ""
    # PyTorch does not report the kernels of Apple's GPUs.
    if used.device.endswith("(MPS)"):
        return ", not bit-reproducible on a GPU"
    return ", with deterministic kernels"


def _versions(used: Environment) -> str:
    return f"torch {used.torch}, torchvision {used.torchvision}, Python {used.python}"
