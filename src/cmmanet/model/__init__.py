"""The network: a torchvision backbone with multi-attention modules between its stages."""

from cmmanet.model.network import CMMANet

__all__ = ["CMMANet"]
