import warnings

import pytest
import torch

from cmmanet.training import device
from cmmanet.training.device import (
    choose_device,
    choose_precision,
    describe_device,
    deterministic,
    peak_memory,
    reset_peak_memory,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse4_2 avx2", torch.float32),
        ("fpu avx512f avx512_bf16", torch.bfloat16),
        ("amx_bf16", torch.bfloat16),
        ("", torch.float32),
    ],
)
def test_auto_takes_bf16_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, flags: str, expected: torch.dtype
) -> None:
    monkeypatch.setattr(device, "_cpu_field", {"flags": flags}.get)
    assert choose_precision("auto", CPU) == expected
    assert choose_precision("fp32", CPU) == torch.float32
    assert choose_precision("bf16", CPU) == torch.bfloat16


def test_cpu_is_described_with_its_threads() -> None:
    assert f"{torch.get_num_threads()} threads)" in describe_device(CPU)


def test_cuda_is_chosen_and_rounds_nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert choose_device().type == "cuda"
    assert torch.backends.cudnn.allow_tf32 is False


def test_what_has_no_deterministic_kernel_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    # `put_` has none on a CPU either, so that a CPU can stand for a GPU here.
    target, index = torch.zeros(3), torch.tensor([0, 0])
    before = torch.are_deterministic_algorithms_enabled()
    with deterministic(torch.device("cuda")) as met, warnings.catch_warnings():
        assert torch.are_deterministic_algorithms_enabled()
        for _ in range(2):
            target.put_(index, torch.tensor([1.0, 2.0]))
        assert not torch.empty(100).isnan().all(), "memory is not filled for nothing"
    assert met == {"put_"}
    assert torch.are_deterministic_algorithms_enabled() == before
    with deterministic(CPU) as met:
        assert not torch.are_deterministic_algorithms_enabled()
    assert met == set()


def test_other_warnings_pass() -> None:
    with pytest.warns(UserWarning, match="something else"), deterministic(torch.device("cuda")):
        warnings.warn("something else", stacklevel=1)


def test_peak_memory_counts_from_its_reset_on() -> None:
    held = torch.ones(30_000_000)
    with_it = peak_memory(CPU)
    del held
    reset_peak_memory(CPU)
    assert peak_memory(CPU) < with_it - 60_000_000
