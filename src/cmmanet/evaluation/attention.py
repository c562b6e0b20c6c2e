"""What the multi-attention modules of a trained network look at."""

from __future__ import annotations

import torch
from torch import Tensor

from cmmanet.clips.normalise import normalise
from cmmanet.model.network import CMMANet


@torch.inference_mode()
def attention_maps(network: CMMANet, frames: Tensor) -> list[Tensor]:
    """Attention float32 [F, K, h, w] of each MAM, the shallowest first.

    Args:
        network: is left in evaluation mode.
        frames: uint8 [F, 3, H, W], on any device.
    """
    device = next(network.parameters()).device
    clips = normalise(frames.to(device, non_blocking=True))[:, None]
    return [maps.squeeze(1).float().exp() for maps in network.eval()(clips).log_attention]
