"""Machine, versions, code and dates of results."""

from __future__ import annotations

from collections.abc import Iterable

from cmmanet.evaluation.records import ArmResult, Code, Environment


def dates(arms: Iterable[ArmResult]) -> str:
    """Return the first and the last day of training, embedding and evaluation; one if the same."""
    days = sorted(
        stage.date[:10]
        for result in arms
        for stage in (result.environment, result.embedding, result.evaluation)
    )
    return " to ".join(dict.fromkeys((days[0], days[-1])))


def devices(result: ArmResult) -> str:
    """Return the device of training, and of embedding if it differs."""
    used = result.environment
    trained = _device(used)
    if used.processes > 1:
        trained += f", {used.processes} processes"
    # On the same machine, nondeterministic kernels matter in training alone.
    if machine(result.embedding) == machine(used):
        return trained
    return f"{trained}; embedded on {_device(result.embedding)}"


def machine(used: Environment) -> str:
    """Return the device and its precision."""
    return f"{used.device}, {used.precision}"


def versions(result: ArmResult) -> str:
    """Return the versions of training, and of embedding if they differ."""
    return _both(_versions(result.environment), "embedded with", _versions(result.embedding))


def commits(result: ArmResult) -> str:
    """Return the commit of training, and those of later stages if they differ."""
    trained, embedded, evaluated = map(
        commit_name, (result.environment, result.embedding, result.evaluation)
    )
    text = _both(trained, "embedded at", embedded)
    return text if evaluated == trained else f"{text}; evaluated at {evaluated}"


def commit_name(used: Code) -> str:
    """Return a commit's first digits, and whether the code was as committed."""
    if used.commit is None:
        return "unknown"
    changes = {True: " with uncommitted changes", False: "", None: ", uncommitted changes unknown"}
    return f"{used.commit[:10]}{changes[used.dirty]}"


def _both(trained: str, words: str, embedded: str) -> str:
    return trained if embedded == trained else f"{trained}; {words} {embedded}"


def _device(used: Environment) -> str:
    return f"{machine(used)}{_reproducible(used)}"


def _reproducible(used: Environment) -> str:
    """Describe whether the same seed gives the same last digits, as far as that is known."""
    if used.nondeterministic:
        return f", no deterministic kernels for {', '.join(used.nondeterministic)}"
    if used.device.startswith("CPU"):
        return ""
    # PyTorch does not report the kernels of Apple's GPUs.
    if used.device.endswith("(MPS)"):
        return ", not bit-reproducible"
    return ", deterministic kernels"


def _versions(used: Environment) -> str:
    return f"{used.torch} (torchvision {used.torchvision}, Python {used.python})"
