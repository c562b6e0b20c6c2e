"""A network as it is fastest when it no longer learns."""

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def for_inference(network: Network, precision: torch.dtype) -> Network:
    """A copy in evaluation mode, folded, in channels_last, its convolutions in `precision`.

    They are then to be run under autocast, which would round the same weights for every batch.
    """
    folded = fold_batch_norms(network.eval()).to(memory_format=torch.channels_last)
    for module in folded.modules():
        if isinstance(module, nn.Conv2d):
            module.to(precision)
    return folded


def fold_batch_norms(network: Network) -> Network:
    """A copy whose convolutions do what the batch normalisations behind them did.

    The features are the same up to rounding. A pair is a convolution and the normalisation of as
    many channels that its module defines right after it: all of torchvision's backbones run them
    in that order, and none reads what lies between.

    Args:
        network: in evaluation mode.
    """
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for (first, convolution), (second, normalisation) in pairwise(module.named_children()):
            if (
                isinstance(convolution, nn.Conv2d)
                and isinstance(normalisation, nn.BatchNorm2d)
                and convolution.out_channels == normalisation.num_features
            ):
                setattr(module, first, fuse_conv_bn_eval(convolution, normalisation))
                setattr(module, second, nn.Identity())
    return network
