import pytest
import torch

from cmmanet.training import device
from cmmanet.training.device import choose_device, choose_precision, describe_device

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
