from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from training.small import plan_of

from cmmanet.training.processes import Processes
from pipeline import train
from pipeline.parts.trial import ArmTraining

IDENTITY = {"data": "abc", "processor": "Xeon"}


class Second(Processes):
    """The second of two processes; the first is made up, and sends what it is told to."""

    def __init__(self, sends: Mapping[str, Any]) -> None:
        super().__init__(torch.device("cpu"), 1, 2)
        object.__setattr__(self, "_sent", iter([sends, [0, 1]]))

    def agree(self, value: Any) -> Any:
        return next(self._sent)  # type: ignore[attr-defined]


def follow(
    monkeypatch: pytest.MonkeyPatch, sends: Mapping[str, Any], error: Exception | None = None
) -> list[int]:
    """Follow a main process that has two trials to train; the trials that were."""
    trained: list[int] = []

    def fit(job: ArmTraining, trial: int, checkpoints: Path, listener: object) -> None:
        trained.append(trial)
        if error is not None:
            raise error

    monkeypatch.setattr(ArmTraining, "fit", fit)
    train._follow(ArmTraining(plan_of(), [], Second(sends), 0, 1.0), IDENTITY)
    return trained


def test_processes_follow_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Other GPUs may take part, other data may not.
    assert follow(monkeypatch, {"data": "abc"}) == [0, 1]
    with pytest.raises(ValueError, match=r"process 1 sees other .* give all nodes the same files"):
        follow(monkeypatch, {"data": "abd"})


def test_a_main_process_that_ended_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = RuntimeError("Connection closed by peer\nand where")
    with pytest.raises(OSError, match=r"process 1 lost the others: Connection closed by peer$"):
        follow(monkeypatch, {"data": "abc"}, gone)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
    ],
)
def test_memory_of_its_own_that_ran_out_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with pytest.raises(type(error)) as caught:
        follow(monkeypatch, {"data": "abc"}, error)
    assert caught.value is error


def test_a_trials_seed_is_the_plans_and_its_number() -> None:
    job = ArmTraining(plan_of(), [], Processes(torch.device("cpu")), 0, 1.0)
    assert [job.seed(trial) for trial in range(3)] == [0, 1, 2]
