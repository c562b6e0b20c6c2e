"""The network: a torchvision backbone with multi-attention modules between its stages.

`CMMANet` is imported on first use, so that `cmmanet.model.geometry` can check parameters
without the seconds that importing torch takes.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmmanet.model.network import CMMANet

__all__ = ["CMMANet"]


def __getattr__(name: str) -> Any:
    if name == "CMMANet":
        from cmmanet.model.network import CMMANet

        return CMMANet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
