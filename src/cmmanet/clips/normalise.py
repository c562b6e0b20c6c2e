"""uint8 pixels to the network's input, on the device where the network is."""

from __future__ import annotations

import torch
from torch import Tensor

# ImageNet statistics of RGB in [0, 1], as torchvision's backbones were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(pixels: Tensor) -> Tensor:
    """Scale uint8 [..., 3, H, W] to float32 with ImageNet's mean and standard deviation.

    The memory format is kept: channels_last in, channels_last out.
    """
    shift = torch.tensor(MEAN, device=pixels.device).mul(255).view(3, 1, 1)
    scale = torch.tensor(STD, device=pixels.device).mul(255).view(3, 1, 1)
    return pixels.to(torch.float32).sub_(shift).div_(scale)
