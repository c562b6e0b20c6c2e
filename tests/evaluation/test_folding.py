from typing import get_args

import pytest
import torch
from torch import nn

from cmmanet.evaluation.folding import fold_batch_norms, for_inference
from cmmanet.model.backbone import BackboneName
from cmmanet.model.network import CMMANet

pytestmark = pytest.mark.slow


def learned_network(backbone: BackboneName) -> CMMANet:
    """A network whose normalisations are far from doing nothing."""
    torch.manual_seed(0)
    network = CMMANet(backbone, 3, mam_after=(3, 4), submodules=2, hidden=4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.momentum = None  # running statistics are then the mean of all there were
    with torch.no_grad():
        for _ in range(5):
            network.frame_features(torch.randn(4, 3, 128, 96))
    return network.eval()


@pytest.mark.parametrize("backbone", get_args(BackboneName))
def test_folded_features_are_the_same(backbone: BackboneName) -> None:
    network = learned_network(backbone).double()
    folded = fold_batch_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    frames = torch.randn(8, 3, 128, 96, dtype=torch.float64)
    with torch.inference_mode():
        expected = network.frame_features(frames)
        features = folded.frame_features(frames)
        again = network.frame_features(frames)
    assert torch.equal(expected, again)  # the network itself is left as it was
    assert expected.std(0).mean() > 0.01 * expected.abs().mean()
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-11 * float(expected.max()))
    ranking, expected_ranking = (
        torch.nn.functional.normalize(f).cov().argsort(1) for f in (features, expected)
    )
    assert torch.equal(ranking, expected_ranking)


def test_convolutions_hold_what_autocast_would_round() -> None:
    network = learned_network("resnet18")
    folded = fold_batch_norms(network).to(memory_format=torch.channels_last)
    rounded = for_inference(network, torch.bfloat16)
    frames = torch.randn(2, 3, 64, 32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rounded.frame_features(frames), folded.frame_features(frames))


def test_folding_wants_evaluation_mode() -> None:
    with pytest.raises(AssertionError):
        fold_batch_norms(learned_network("resnet18").train())


def test_a_convolution_without_normalisation_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), nn.BatchNorm2d(4))
    assert isinstance(fold_batch_norms(network.eval())[2], nn.BatchNorm2d)
