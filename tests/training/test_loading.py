"""Workers that die, hang, or have no room in shared memory."""

import os
import signal
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cmmanet.training import loading
from cmmanet.training.device import Runtime
from cmmanet.training.loading import load_batches

BATCHES = 5


def runtime(workers: int) -> Runtime:
    return Runtime(torch.device("cpu"), torch.float32, workers)


class Images(Dataset[tuple[Tensor, Tensor | None]]):
    """Batches in channels_last; the third may do something to its worker."""

    def __init__(self, signalled: int | None = None) -> None:
        self._signal = signalled

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor | None]:
        if number == 2 and self._signal is not None:
            os.kill(os.getpid(), self._signal)
        generator = torch.Generator().manual_seed(number)
        images = torch.randint(256, (2, 3, 4, 5), generator=generator, dtype=torch.uint8)
        return images.to(memory_format=torch.channels_last), None


def read(workers: int, **options: Any) -> list[tuple[Tensor, Tensor | None]]:
    return list(load_batches(Images(**options), runtime(workers), batch_size=None))


@pytest.mark.parametrize("missing", ["nothing", "room for batches", "room for queues"])
def test_batches_are_the_same_whatever_room_shared_memory_has(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def share(_: Tensor) -> None:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device")

    def queue() -> None:
        raise OSError(28, "No space left on device")

    # Workers are forked: they inherit it.
    if missing == "room for batches":
        monkeypatch.setattr(Tensor, "share_memory_", share)
    elif missing == "room for queues":
        monkeypatch.setattr(loading.multiprocessing, "Queue", queue)
    for (one, _), (two, nothing) in zip(read(0), read(2), strict=True):
        assert torch.equal(one, two) and one.stride() == two.stride()
        assert nothing is None
    assert capsys.readouterr().err.count("--shm-size") == (missing != "nothing")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS, signal.SIGSEGV])
def test_a_worker_that_dies_ends_the_reading(number: int) -> None:
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        read(2, signalled=number)


@pytest.mark.slow
def test_a_worker_that_hangs_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "PATIENCE", 0.2)
    monkeypatch.setattr(loading, "WAITS", 2)
    with pytest.raises(OSError, match=r"no frames for 0\.4 s"):
        read(2, signalled=signal.SIGSTOP)
    assert not loading.multiprocessing.active_children()


def test_workers_that_cannot_be_started_get_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(OSError, match=r"cannot start 2 processes that decode frames: .*unavail"):
        read(2)
