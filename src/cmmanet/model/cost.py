"""What a network costs, whatever runs it."""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from cmmanet.model.network import CMMANet


class Cost(NamedTuple):
    """Of embedding a frame: without the classifier, which no test uses.

    Attributes:
        parameters: numbers that training may change.
        multiply_adds: of convolutions and matrix products for one frame, as papers count them; a
            multiplication with its addition is one. Normalisation, pooling and Eq. 2 to 4, which
            are a few operations an element, are not counted.
    """

    parameters: int
    multiply_adds: int


def cost_of(network: CMMANet, height: int, width: int) -> Cost:
    """Count without computing: nothing of the network is read but its shapes."""
    shapes = deepcopy(network).to("meta").eval()
    parameters = sum(p.numel() for p in shapes.parameters() if p.requires_grad)
    parameters -= sum(p.numel() for p in shapes.classifier.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shapes.frame_features(torch.empty(1, 3, height, width, device="meta"))
    return Cost(parameters, counter.get_total_flops() // 2)
