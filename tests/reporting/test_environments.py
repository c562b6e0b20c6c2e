"""Machine, versions, code and dates of training, embedding and evaluation."""

from __future__ import annotations

from typing import Any

import pytest
from reporting import made_up

from cmmanet.evaluation.records import ArmResult
from cmmanet.reporting.environments import commits, dates, devices, versions


@pytest.fixture
def arms() -> list[ArmResult]:
    return [made_up.result("mars", arm, [0.8]) for arm in ("a", "b", "c")]


def change(arms: list[ArmResult], place: int, **stages: dict[str, Any]) -> None:
    """Change values of an arm's environment, embedding or evaluation."""
    changes = {f"{stage}/{key}": v for stage, of in stages.items() for key, v in of.items()}
    arms[place] = made_up.changed(arms[place], changes)


def test_stages_that_agree_are_one(arms: list[ArmResult]) -> None:
    assert devices(arms[0]) == "NVIDIA H200, bf16, deterministic kernels"
    assert versions(arms[0]) == "2.15.0 (torchvision 0.29.2, Python 3.11.7)"
    assert commits(arms[0]) == "abc1234def"


@pytest.mark.parametrize(
    ("device", "changes", "shown"),
    [
        ("NVIDIA H200", {}, ", deterministic kernels"),
        ("NVIDIA H200", {"nondeterministic": ["a", "b"]}, ", no deterministic kernels for a, b"),
        ("Apple arm64 GPU (MPS)", {}, ", not bit-reproducible"),
        ("CPU (x, 2 threads)", {}, ""),
        ("CPU (x, 1 threads)", {"processes": 4}, ", 4 processes"),
        ("NVIDIA H200", {"processes": 2}, ", deterministic kernels, 2 processes"),
    ],
)
def test_kernels_and_processes(
    arms: list[ArmResult], device: str, changes: dict[str, Any], shown: str
) -> None:
    change(arms, 0, environment={"device": device, **changes}, embedding={"device": device})
    assert devices(arms[0]) == f"{device}, bf16{shown}"


@pytest.mark.parametrize(
    ("stage", "changes", "shown"),
    [
        ("embedding", {"device": "CPU (x)"}, "; embedded on CPU (x), bf16"),
        ("embedding", {"precision": "fp32"}, "; embedded on NVIDIA H200, fp32, deterministic"),
        ("embedding", {"torch": "2.16.0"}, "; embedded with 2.16.0 (torchvision"),
        ("embedding", {"commit": "0123456789abcdef"}, "; embedded at 0123456789"),
        ("embedding", {"dirty": None}, "; embedded at abc1234def, uncommitted changes unknown"),
        ("evaluation", {"commit": "0123456789abcdef"}, "abc1234def; evaluated at 0123456789"),
        ("evaluation", {"dirty": True}, "; evaluated at abc1234def with uncommitted changes"),
        ("evaluation", {"commit": None, "dirty": None}, "; evaluated at unknown"),
    ],
)
def test_later_stages_are_named_where_they_differ(
    arms: list[ArmResult], stage: str, changes: dict[str, Any], shown: str
) -> None:
    change(arms, 1, **{stage: changes})
    texts = [text(arms[1]) for text in (devices, versions, commits)]
    assert sum(shown in text for text in texts) == 1
    assert sum(";" in text for text in texts) == 1


@pytest.mark.parametrize("stage", ["environment", "embedding", "evaluation"])
def test_dates_cover_every_stage(arms: list[ArmResult], stage: str) -> None:
    assert dates(arms) == "2026-11-22"
    change(arms, 2, **{stage: {"date": "2026-11-24T00:10:00+00:00"}})
    assert dates(arms) == "2026-11-22 to 2026-11-24"
    change(arms, 0, **{stage: {"date": "2026-11-20T00:10:00+00:00"}})
    assert dates(arms) == "2026-11-20 to 2026-11-24"
