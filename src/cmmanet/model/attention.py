"""The multi-attention module (MAM): Section III-B, Eq. 1 to 4."""

import torch
from torch import Tensor, nn
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


def refine_eq4(features: Tensor, log_attention: Tensor) -> Tensor:
    """Features with the strongest of their K attended copies added.

        x_k = a_k ⊙ f                                                                  (Eq. 3)
        f̂ = f + max_k x_k                                                              (Eq. 4)

    Features [..., D, h, w] and log-attention [..., K, h, w] give [..., D, h, w] in the attention's
    float32: near uniform attention adds 1/hw of f, which is all but lost in a bf16 sum.

    The K copies are never made: the largest product with a positive feature is that of the largest
    attention, with a negative one (MobileNetV2) that of the smallest.

    >>> attention = torch.tensor([[[0.75, 0.75]], [[0.25, 0.25]]])
    >>> refine_eq4(torch.tensor([[[2.0, -2.0]]]), attention.log())
    tensor([[[ 3.5000, -2.5000]]])
    """
    strongest = log_attention.amax(-3, keepdim=True).exp()
    weakest = log_attention.amin(-3, keepdim=True).exp()
    precise = features.to(strongest.dtype)
    return torch.addcmul(precise, precise, torch.where(precise > 0, strongest, weakest))


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

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Refined features [F, D, h, w] and the log-attention [F, K, h, w] that refined them."""
        log_attention = log_attention_eq2(self.responses_eq1(features))
        return refine_eq4(features, log_attention), log_attention
