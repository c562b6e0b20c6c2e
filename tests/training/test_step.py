from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from training.small import plan_of

from cmmanet.model.network import CMMANet
from cmmanet.training.device import Runtime
from cmmanet.training.processes import Processes
from cmmanet.training.step import train_step

# What hands a value, or a shape that depends on values, to Python: a GPU would be waited for.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "equal"}


class NoWaiting(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in WAITING, name
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = [i for i in args[1] if i is not None and i.dtype == torch.bool]
            assert not masks, "indexing by a mask asks how many there are"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("margin", [0.3, "soft"])
@pytest.mark.parametrize("form", ["eq7", "eq8"])
def test_nothing_in_a_step_waits_for_the_device(margin: float | str, form: str) -> None:
    losses = plan_of(
        losses__margin=margin, losses__diversity_form=form, losses__smoothing=0.1
    ).losses
    network = CMMANet("resnet18", 3, mam_after=(3, 4), submodules=2, hidden=8, neck="bnneck")
    optimiser = torch.optim.Adam(network.train().parameters(), fused=True)
    clips = torch.randint(0, 256, (6, 2, 3, 64, 32), dtype=torch.uint8)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    for _ in range(2):
        with NoWaiting():
            train_step(
                network,
                optimiser,
                clips,
                labels,
                weights=losses,
                runtime=Runtime(torch.device("cpu"), torch.bfloat16, 0),
                processes=Processes(torch.device("cpu")),
            )


def test_the_watcher_sees_what_waits() -> None:
    values = torch.arange(3.0)
    for wait in (lambda: float(values[0]), lambda: values[values > 1], lambda: values.nonzero()):
        with pytest.raises(AssertionError), NoWaiting():
            wait()
