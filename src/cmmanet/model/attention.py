"""The multi-attention module (MAM): Section III-B, Eq. 1 to 4."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


def log_attention_eq2(responses: Tensor) -> Tensor:
    """Logarithm of the attentive distributions: log-softmax of each response over its whole map.

        a_{k,h,w} = exp(r_{k,h,w}) / Σ_h Σ_w exp(r_{k,h,w})                            (Eq. 2)

    Responses [..., K, h, w] of any floating type give log-attention [..., K, h, w] of at least
    float32, under autocast too. The losses need log a: exp(r) over- or underflows where it doesn't.

    >>> log_attention_eq2(torch.zeros(1, 4, 8, 4)).exp().unique()
    tensor([0.0312])
    """
    precise = responses.to(torch.promote_types(responses.dtype, torch.float32))
    return precise.flatten(-2).log_softmax(-1).reshape(responses.shape)


def refine_eq4(features: Tensor, log_attention: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Features with the strongest of their K attended copies added.

        x_k = a_k ⊙ f                                                                  (Eq. 3)
        f̂ = f + max_k x_k                                                              (Eq. 4)

    Features [..., D, h, w] and log-attention [..., K, h, w] give [..., D, h, w], computed in the
    attention's float32: near uniform attention adds 1/hw of f, which is all but lost in a bf16 sum.
    The result is float32 too, unless it is to be rounded to another `dtype`.

    The K copies are never made: the largest product with a positive feature is that of the largest
    attention, with a negative one (MobileNetV2) that of the smallest.

    >>> attention = torch.tensor([[[0.75, 0.75]], [[0.25, 0.25]]])
    >>> refine_eq4(torch.tensor([[[2.0, -2.0]]]), attention.log())
    tensor([[[ 3.5000, -2.5000]]])
    """
    strongest = log_attention.amax(-3, keepdim=True).exp()
    weakest = log_attention.amin(-3, keepdim=True).exp()
    maps = [tensor.reshape(-1, *tensor.shape[-3:]) for tensor in (features, strongest, weakest)]
    refined: Tensor = _Refine.apply(*maps, dtype or strongest.dtype)
    return refined.reshape(features.shape)


class _Refine(torch.autograd.Function):
    """f · (1 + strongest) where f is positive, f · (1 + weakest) where it is not.

    What autograd would derive keeps several maps of the features' size in float32 for the backward
    pass; this keeps the features alone, as they are.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, strongest: Tensor, weakest: Tensor, dtype: torch.dtype
    ) -> Tensor:
        ctx.save_for_backward(features, strongest, weakest)
        refined = torch.empty_like(features, dtype=dtype)
        for part in _parts(features):
            f = features[part].to(strongest.dtype)
            refined[part] = torch.maximum(f * (1 + strongest[part]), f * (1 + weakest[part]))
        return refined

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        features, strongest, weakest = ctx.saved_tensors
        of_features = torch.empty_like(features)
        of_strongest, of_weakest = torch.empty_like(strongest), torch.empty_like(weakest)
        for part in _parts(features):
            f, g = features[part].to(strongest.dtype), gradient[part].to(strongest.dtype)
            positive = g * (f > 0)
            other = g - positive
            of_features[part] = g.addcmul(positive, strongest[part]).addcmul_(other, weakest[part])
            of_strongest[part] = positive.mul_(f).sum(1, keepdim=True)
            of_weakest[part] = other.mul_(f).sum(1, keepdim=True)
        return of_features, of_strongest, of_weakest, None


def _parts(features: Tensor) -> Iterator[slice]:
    """Images by the few on the CPU, so that intermediate maps stay in its cache; elsewhere all."""
    at_once = len(features)
    if features.device.type == "cpu":
        at_once = max(1, 2**21 // features.shape[1:].numel())
    return (slice(start, start + at_once) for start in range(0, len(features), at_once))


class MultiAttention(nn.Module):
    """K attention submodules on one feature map: features [F, D, h, w] to [F, D, h, w], refined.

    The submodules share their structure and not their weights, so they are the groups of one pair
    of convolutions.
    """

    def __init__(self, channels: int, submodules: int, hidden: int = 256) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, submodules * hidden, kernel_size=1)
        # No bias: the softmax of Eq. 2 cancels it.
        self.respond = nn.Conv2d(
            submodules * hidden, submodules, kernel_size=1, groups=submodules, bias=False
        )
        # Small, so that attention starts near uniform and pretrained features pass nearly
        # unchanged (f̂ ≈ f · (1 + 1/hw)); not zero, so that gradients reach `reduce` at once.
        nn.init.normal_(self.respond.weight, std=0.01)

    def responses_eq1(self, features: Tensor) -> Tensor:
        """r_k = Conv1×1(ReLU(Conv1×1(f))) (Eq. 1): features [F, D, h, w] to [F, K, h, w]."""
        hidden = functional.relu(self.reduce(features), inplace=True)
        responses: Tensor = self.respond(hidden)
        return responses

    def forward(self, features: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """Refined features [F, D, h, w] and the log-attention [F, K, h, w] that refined them.

        Both are float32 at least; the features are rounded to `dtype` if it is given.
        """
        log_attention = log_attention_eq2(self.responses_eq1(features))
        return refine_eq4(features, log_attention, dtype), log_attention
