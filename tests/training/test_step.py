import pytest
import torch
from training.no_waiting import NoWaiting
from training.small import plan_of

from cmmanet.model.network import CMMANet
from cmmanet.training.device import Runtime
from cmmanet.training.processes import Processes
from cmmanet.training.step import train_step


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
