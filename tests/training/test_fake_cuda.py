"""The CUDA path traced without a GPU: fake tensors have a device and a shape, but no values.

An operation whose tensors are on two devices raises, and so does one that waits for the device. The
backward pass cannot be traced this way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from training.no_waiting import NoWaiting
from training.small import plan_of

from cmmanet.clips.normalise import normalise
from cmmanet.evaluation.embedding import add_frames
from cmmanet.evaluation.folding import for_inference
from cmmanet.geometry import BackboneName
from cmmanet.model.network import CMMANet
from cmmanet.training.device import Runtime
from cmmanet.training.step import attention_record, objective

pytestmark = pytest.mark.slow

CUDA = torch.device("cuda")
IDENTITIES = 5


@pytest.fixture(autouse=True)
def autocast_believes_in_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise autocast does nothing on a machine without a GPU.
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)


class Method(nn.Module):
    """A method of a module as a module of its own, as `functional_call` wants it."""

    def __init__(self, module: nn.Module, method: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        self._method = method

    def forward(self, *inputs: Tensor) -> Any:
        return self._method(*inputs)


def call_on_cuda(module: nn.Module, method: Callable[..., Any], *inputs: Tensor) -> Any:
    """Call a method of a module with its parameters and buffers on fake CUDA.

    The module itself is built on the CPU: initialising Inception reads values.
    """
    call = Method(module, method)
    state = {
        name: torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=CUDA)
        for name, value in (*call.named_parameters(), *call.named_buffers())
    }
    return functional_call(call, state, inputs)


def network_of(backbone: BackboneName, neck: Any = "none") -> CMMANet:
    network = CMMANet(backbone, IDENTITIES, mam_after=(3, 4), submodules=4, hidden=8, neck=neck)
    return network.to(memory_format=torch.channels_last)


CASES = [
    ("resnet18", "bnneck", (128, 64), torch.float32),
    ("resnet18", "bnneck", (128, 64), torch.bfloat16),
    ("resnet50", "none", (128, 64), torch.bfloat16),
    ("mobilenet_v2", "none", (128, 64), torch.bfloat16),
    ("inception_v3", "none", (256, 128), torch.bfloat16),
]


@pytest.mark.parametrize(("backbone", "neck", "size", "precision"), CASES)
def test_forward_pass_and_losses_stay_on_the_device(
    backbone: BackboneName, neck: str, size: tuple[int, int], precision: torch.dtype
) -> None:
    network = network_of(backbone, neck).train()
    plans = [
        plan_of(losses__margin=margin, losses__diversity_form=form, losses__smoothing=0.1)
        for margin in (0.3, "soft")
        for form in ("eq7", "eq8")
    ]
    with FakeTensorMode():
        clips = torch.empty(4, 2, 3, *size, dtype=torch.uint8, device=CUDA)
        labels = torch.empty(4, dtype=torch.int64, device=CUDA)
        with NoWaiting():
            with Runtime(CUDA, precision, 0).autocast():
                output = call_on_cuda(network, network.forward, normalise(clips))
            records = [objective(output, labels, plan.losses) for plan in plans]
            statistics = attention_record(output, (3, 4))
    assert output.logits.dtype == precision, "autocast was off"
    values = [output.features, output.logits, *output.log_attention, *statistics.values()]
    for loss, record in records:
        values += [loss, *record.values()]
    assert {value.device.type for value in values} == {"cuda"}


@pytest.mark.parametrize(("backbone", "neck", "size", "precision"), CASES)
def test_embedding_stays_on_the_device(
    backbone: BackboneName, neck: str, size: tuple[int, int], precision: torch.dtype
) -> None:
    network = for_inference(network_of(backbone, neck), precision)
    with FakeTensorMode(), torch.inference_mode():
        pixels = torch.empty(6, 3, *size, dtype=torch.uint8, device=CUDA)
        owner = torch.empty(6, dtype=torch.int64, device=CUDA)
        weights = torch.empty(2, 6, device=CUDA)
        sums = torch.empty(2, 3, network.classifier.in_features, device=CUDA)
        with NoWaiting(), Runtime(CUDA, precision, 0).autocast():
            call_on_cuda(
                network,
                lambda *inputs: add_frames(sums, network, *inputs),
                pixels,
                owner,
                weights,
            )


def test_a_tensor_left_on_the_cpu_is_found() -> None:
    features = torch.nn.Linear(3, 2)

    def forward(images: Tensor) -> Tensor:
        return features(images) + torch.ones(2)

    with FakeTensorMode(), pytest.raises(RuntimeError, match="devices"):
        call_on_cuda(features, forward, torch.empty(4, 3, device=CUDA))


@pytest.mark.parametrize(
    "wait",
    [
        lambda values: float(values[0]),
        lambda values: values[values > 1],
        lambda values: torch.tensor([1.0], device=values.device),
        lambda values: values.cpu(),
    ],
    ids=["item", "mask", "from a list", "to the CPU"],
)
def test_a_hidden_wait_is_found(wait: Callable[[Tensor], object]) -> None:
    with FakeTensorMode():
        values = torch.empty(3, device=CUDA)
        with pytest.raises(AssertionError), NoWaiting():
            wait(values)
