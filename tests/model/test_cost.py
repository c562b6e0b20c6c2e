"""What networks cost, against published counts and a count by hand."""

import pytest
import torch

from cmmanet.geometry import BackboneName
from cmmanet.model import CMMANet
from cmmanet.model.cost import cost_of


# torchvision's documentation of its weights: parameters and GFLOPS (which are multiply-adds) of
# the whole classifier for 1,000 classes at 224×224.
@pytest.mark.parametrize(
    ("backbone", "parameters", "gigas", "width"),
    [("resnet18", 11_689_512, 1.81, 512), ("resnet50", 25_557_032, 4.09, 2048)],
)
def test_backbones_cost_what_torchvision_says(
    backbone: BackboneName, parameters: int, gigas: float, width: int
) -> None:
    cost = cost_of(CMMANet(backbone, 1000, mam_after=()), 224, 224)
    assert cost.parameters == parameters - 1000 * (width + 1)
    assert round((cost.multiply_adds + 1000 * width) / 1e9, 2) == gigas


def test_a_mam_costs_its_two_convolutions() -> None:
    without = cost_of(CMMANet("resnet18", 7, mam_after=()), 128, 64)
    with_mams = cost_of(CMMANet("resnet18", 7, mam_after=(3, 4), submodules=4, hidden=16), 128, 64)
    # Behind stages 3 and 4: 256 and 512 channels, on 8×4 and 4×2 places.
    parameters = sum(4 * 16 * channels + 4 * 16 + 4 * 16 for channels in (256, 512))
    multiply_adds = sum(
        places * (4 * 16 * channels + 4 * 16) for channels, places in ((256, 32), (512, 8))
    )
    assert with_mams.parameters - without.parameters == parameters
    assert with_mams.multiply_adds - without.multiply_adds == multiply_adds


def test_counting_leaves_the_network_as_it_was() -> None:
    network = CMMANet("resnet18", 7, mam_after=(4,), neck="bnneck").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert cost_of(network, 128, 64).parameters > 0
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
