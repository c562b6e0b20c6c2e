"""Where, when and by which code: training, embedding and evaluation apart."""

from __future__ import annotations

from typing import Any

import pytest
from reporting import made_up

from cmmanet.evaluation.records import ArmResult
from cmmanet.reporting.environments import dates, provenance

ALIKE = (
    "trained on NVIDIA H200, bf16, with deterministic kernels; torch 2.15.0, "
    "torchvision 0.29.2, Python 3.11.7; commit abc1234def; measured 2026-11-22"
)


@pytest.fixture
def arms() -> list[ArmResult]:
    return [made_up.result("mars", arm, [0.8]) for arm in ("a", "b", "c")]


def change(arms: list[ArmResult], place: int, **stages: dict[str, Any]) -> None:
    """Change values of an arm's environment, embedding or evaluation."""
    changes = {f"{stage}/{key}": v for stage, of in stages.items() for key, v in of.items()}
    arms[place] = made_up.changed(arms[place], changes)


def test_what_is_alike_is_said_once(arms: list[ArmResult]) -> None:
    assert provenance(arms) == ALIKE
    assert provenance(arms[:1]) == ALIKE


def test_a_cpu_is_not_called_a_gpu(arms: list[ArmResult]) -> None:
    cpu = {"device": "CPU (AMD EPYC, 2 threads)", "precision": "fp32"}
    change(arms, 0, environment=cpu, embedding=cpu)
    assert provenance(arms[:1]).startswith("trained on CPU (AMD EPYC, 2 threads), fp32; torch")
    assert provenance(arms).startswith(
        "trained on NVIDIA H200, bf16, with deterministic kernels "
        "(CPU (AMD EPYC, 2 threads), fp32 for `a`); torch"
    )


@pytest.mark.parametrize(
    ("device", "changes", "shown"),
    [
        ("NVIDIA H200", {}, ", with deterministic kernels"),
        (
            "NVIDIA H200",
            {"nondeterministic": ["a_backward", "b"]},
            ", without deterministic kernels for a_backward, b",
        ),
        # Nothing is asked of Apple's GPUs, and so nothing is met.
        ("Apple arm64 GPU (MPS)", {}, ", not bit-reproducible on a GPU"),
        ("CPU (x, 2 threads)", {}, ""),
        ("CPU (x, 1 threads)", {"processes": 4}, ", by 4 processes"),
        ("NVIDIA H200", {"processes": 2}, ", with deterministic kernels, by 2 processes"),
    ],
)
def test_kernels_and_processes_are_as_precise_as_known(
    arms: list[ArmResult], device: str, changes: dict[str, Any], shown: str
) -> None:
    change(arms, 0, environment={"device": device, **changes}, embedding={"device": device})
    line = provenance(arms[:1])
    assert line.startswith(f"trained on {device}, bf16{shown}; torch 2.15.0,")
    assert "embedded" not in line, "on the same device, whose kernels are training's own matter"


def test_other_kernels_are_told_for_their_arm(arms: list[ArmResult]) -> None:
    change(arms, 1, environment={"nondeterministic": ["a_backward"], "processes": 2})
    assert provenance(arms).startswith(
        "trained on NVIDIA H200, bf16, with deterministic kernels (NVIDIA H200, bf16, without "
        "deterministic kernels for a_backward, by 2 processes for `b`); torch"
    )


@pytest.mark.parametrize(
    ("stage", "changes", "shown"),
    [
        (
            "embedding",
            {"device": "CPU (x, 2 threads)"},
            "embedded on CPU (x, 2 threads), bf16; measured",
        ),
        (
            "embedding",
            {"device": "Apple arm64 GPU (MPS)", "precision": "fp32"},
            "embedded on Apple arm64 GPU (MPS), fp32, not bit-reproducible on a GPU; measured",
        ),
        (
            "embedding",
            {"torch": "2.16.0", "commit": "0123456789abcdef"},
            "embedded with torch 2.16.0, torchvision 0.29.2, Python 3.11.7, at commit 0123456789;",
        ),
        (
            "embedding",
            {"dirty": None},
            "embedded at commit abc1234def, uncommitted changes unknown;",
        ),
        ("evaluation", {"commit": "0123456789abcdef"}, "evaluated at commit 0123456789; measured"),
        (
            "evaluation",
            {"dirty": True},
            "evaluated at commit abc1234def with uncommitted changes; measured",
        ),
        ("evaluation", {"commit": None, "dirty": None}, "evaluated at commit unknown; measured"),
    ],
)
def test_later_stages_are_named_where_they_differ(
    arms: list[ArmResult], stage: str, changes: dict[str, Any], shown: str
) -> None:
    change(arms, 1, **{stage: changes})
    assert f"; {shown}" in provenance(arms[1:2])
    assert f"; `b` {shown}" in provenance(arms)
    for place in (0, 2):
        change(arms, place, **{stage: changes})
    assert f"; {shown}" in provenance(arms)


def test_uncommitted_changes_are_known_or_unknown(arms: list[ArmResult]) -> None:
    unknown = {"dirty": None}
    for place in range(3):
        change(arms, place, environment=unknown, embedding=unknown, evaluation=unknown)
    assert "; commit abc1234def, uncommitted changes unknown; measured" in provenance(arms)
    assert "embedded" not in provenance(arms) and "evaluated" not in provenance(arms)


@pytest.mark.parametrize("stage", ["environment", "embedding", "evaluation"])
def test_dates_cover_every_stage(arms: list[ArmResult], stage: str) -> None:
    assert dates(arms) == "2026-11-22"
    change(arms, 2, **{stage: {"date": "2026-11-24T00:10:00+00:00"}})
    assert dates(arms) == "2026-11-22 to 2026-11-24"
    change(arms, 0, **{stage: {"date": "2026-11-20T00:10:00+00:00"}})
    assert dates(arms) == "2026-11-20 to 2026-11-24"
