"""uint8 pixels to the network's input, on the device where the network is."""

from __future__ import annotations

import torch
from torch import Tensor

# ImageNet statistics of RGB in [0, 1], as torchvision's backbones were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# The same for pixels in [0, 255], rounded as float32 products.
_SHIFT = torch.tensor(MEAN).mul(255).tolist()
_SCALE = torch.tensor(STD).mul(255).tolist()


def normalise(pixels: Tensor) -> Tensor:
    """Scale uint8 [..., 3, H, W] to float32 with ImageNet's mean and standard deviation.

    The memory format is kept: channels_last in, channels_last out. Nothing waits for the device.
    """
    shift, scale = (_per_channel(values, pixels.device) for values in (_SHIFT, _SCALE))
    return pixels.to(torch.float32).sub_(shift).div_(scale)


def _per_channel(values: list[float], device: torch.device) -> Tensor:
    # Filled on the device: `torch.tensor(values, device=device)` copies from the host and waits.
    return torch.stack([torch.full((1, 1), value, device=device) for value in values])
