"""Build an arm's network from its plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cmmanet.model.backbone import load_imagenet_weights, load_weights_file
from cmmanet.model.network import CMMANet

if TYPE_CHECKING:
    from cmmanet.params import ArmPlan


def empty_network(plan: ArmPlan, identities: int) -> CMMANet:
    """Return the arm's network, whose weights must still be loaded."""
    model = plan.model
    return CMMANet(
        model.backbone,
        identities,
        mam_after=model.mam_after,
        submodules=model.submodules,
        hidden=model.hidden,
        last_stride=model.last_stride,
        neck=model.neck,
    )


def build_network(plan: ArmPlan, identities: int, seed: int, folder: Path) -> CMMANet:
    """Return the arm's network with its initial weights, drawn from `seed` or read.

    The path of a weights file is relative to `folder`. The global generators are left unchanged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = empty_network(plan, identities)
    weights = plan.model.weights
    if weights == "imagenet":
        load_imagenet_weights(network.backbone)
    elif weights != "none":
        load_weights_file(network.backbone, folder / weights.path, sha256=weights.sha256)
    return network
