"""Where, when and by which code: training, embedding and evaluation apart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cmmanet.reporting.provenance import dates, provenance

ALIKE = (
    "trained on NVIDIA H200, bf16, not bit-reproducible on a GPU; torch 2.15.0, "
    "torchvision 0.29.2, Python 3.11.7; commit abc1234def; measured 2026-11-22"
)


@pytest.fixture
def arms(made_up: SimpleNamespace) -> list[Any]:
    return [made_up.result("mars", arm, [0.8]) for arm in ("a", "b", "c")]


def test_what_is_alike_is_said_once(arms: list[Any]) -> None:
    assert provenance(arms) == ALIKE
    assert provenance(arms[:1]) == ALIKE


def test_a_cpu_is_not_called_a_gpu(arms: list[Any]) -> None:
    for stage in ("environment", "embedding"):
        arms[0][stage].update(device="CPU (AMD EPYC, 2 threads)", precision="fp32")
    assert provenance(arms[:1]).startswith("trained on CPU (AMD EPYC, 2 threads), fp32; torch")
    assert provenance(arms).startswith(
        "trained on NVIDIA H200, bf16, not bit-reproducible on a GPU "
        "(CPU (AMD EPYC, 2 threads), fp32 for `a`); torch"
    )


@pytest.mark.parametrize(
    ("device", "change", "shown"),
    [
        # Not recorded: results of the first version.
        ("NVIDIA H200", {}, ", not bit-reproducible on a GPU"),
        ("NVIDIA H200", {"nondeterministic": []}, ", with deterministic kernels"),
        (
            "NVIDIA H200",
            {"nondeterministic": ["a_backward", "b"]},
            ", without deterministic kernels for a_backward, b",
        ),
        # Nothing is asked of Apple's GPUs, and so nothing is met.
        ("Apple arm64 GPU (MPS)", {"nondeterministic": []}, ", not bit-reproducible on a GPU"),
        ("CPU (x, 2 threads)", {"nondeterministic": []}, ""),
        ("CPU (x, 1 threads)", {"nondeterministic": [], "processes": 4}, ", by 4 processes"),
        ("CPU (x, 2 threads)", {"processes": 1}, ""),
        (
            "NVIDIA H200",
            {"nondeterministic": [], "processes": 2},
            ", with deterministic kernels, by 2 processes",
        ),
    ],
)
def test_kernels_and_processes_are_as_precise_as_known(
    arms: list[Any], device: str, change: dict[str, Any], shown: str
) -> None:
    for stage in ("environment", "embedding"):
        arms[0][stage]["device"] = device
    arms[0]["environment"].update(change)
    line = provenance(arms[:1])
    assert line.startswith(f"trained on {device}, bf16{shown}; torch 2.15.0,")
    assert "embedded" not in line, "on the same device, whose kernels are training's own matter"


def test_other_kernels_are_told_for_their_arm(arms: list[Any]) -> None:
    for result in arms:
        result["environment"]["nondeterministic"] = []
    arms[1]["environment"].update(nondeterministic=["a_backward"], processes=2)
    assert provenance(arms).startswith(
        "trained on NVIDIA H200, bf16, with deterministic kernels (NVIDIA H200, bf16, without "
        "deterministic kernels for a_backward, by 2 processes for `b`); torch"
    )


@pytest.mark.parametrize(
    ("stage", "change", "shown"),
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
    arms: list[Any], stage: str, change: dict[str, Any], shown: str
) -> None:
    arms[1][stage].update(change)
    assert f"; {shown}" in provenance(arms[1:2])
    assert f"; `b` {shown}" in provenance(arms)
    for result in arms:
        result[stage].update(change)
    assert f"; {shown}" in provenance(arms)


def test_uncommitted_changes_are_known_or_unknown(arms: list[Any]) -> None:
    for result in arms:
        for stage in ("environment", "embedding", "evaluation"):
            result[stage]["dirty"] = None
    assert "; commit abc1234def, uncommitted changes unknown; measured" in provenance(arms)
    assert "embedded" not in provenance(arms) and "evaluated" not in provenance(arms)


@pytest.mark.parametrize("stage", ["environment", "embedding", "evaluation"])
def test_dates_cover_every_stage(arms: list[Any], stage: str) -> None:
    assert dates(arms) == "2026-11-22"
    arms[2][stage]["date"] = "2026-11-24T00:10:00+00:00"
    assert dates(arms) == "2026-11-22 to 2026-11-24"
    arms[0][stage]["date"] = "2026-11-20T00:10:00+00:00"
    assert dates(arms) == "2026-11-20 to 2026-11-24"
