"""The losses: identity and triplet on clips, diversity and concentration on attention (III-C).

Log-attention is [..., K, h, w], one distribution over h·w for each of K submodules, as
`cmmanet.model.attention.log_attention_eq2` gives it. The paper's losses are per image; each
function here returns their average over all images, that is over all leading dimensions. All
compute in float32 at least, whatever they are given and under autocast too.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


def identity_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of logits [B, identities] with labels [B], each in [0, identities).

    "We also introduce the classification loss" (IV-B). With a `smoothing` ε in [0, 1) the target
    is (1 − ε)·onehot + ε/N over all N identities, the right one included (Szegedy et al. 2016; not
    in the paper).

    >>> identity_loss(torch.zeros(2, 625), torch.tensor([0, 624]))  # log 625
    tensor(6.4378)
    """
    return functional.cross_entropy(_precise(logits), labels, label_smoothing=smoothing)


class TripletLoss(NamedTuple):
    """The triplet loss and what tells whether it still teaches; all scalars, averaged over anchors.

    A loss stuck at the margin with both distances near 0 is a collapsed embedding.
    """

    loss: Tensor
    active: Tensor  # share of anchors whose triplet still violates
    positive_distance: Tensor  # to the hardest positive
    negative_distance: Tensor  # to the hardest negative


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float | None = 0.3) -> TripletLoss:
    """Batch-hard triplet loss of features [B, D] with labels [B] (Hermans et al. 2017, [35]).

        max(0, margin + max_p ‖f_a − f_p‖₂ − min_n ‖f_a − f_n‖₂)

    over the positives p (same label, another clip) and negatives n of anchor a, averaged over the
    anchors that have both; with margin None, the soft margin log(1 + exp(max_p − min_n)).
    An anchor is active while its hinge is above zero or, for the soft margin, which is never zero,
    while it is above log 2: its hardest positive is then farther than its hardest negative.

    Where two features are identical the distance has no gradient and 0 is used: never NaN. A batch
    without any such anchor has no triplet loss, and NaN says so; nothing here waits for the device.

    >>> features = torch.tensor([[0.0], [1.0], [1.5]])
    >>> batch_hard_triplet(features, torch.tensor([7, 7, 8])).loss  # ½ (0 + 0.3 + 1 − 0.5)
    tensor(0.4000)
    """
    same = labels[:, None] == labels
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    anchors = positive.any(1) & ~same.all(1)

    # Differences, not the expansion a² + b² − 2ab, which loses all digits of a small distance.
    precise = _precise(features)
    with torch.no_grad():
        distances = torch.cdist(precise, precise, compute_mode="donot_use_mm_for_euclid_dist")
        farthest = distances.masked_fill(~positive, -math.inf).argmax(1)
        nearest = distances.masked_fill(same, math.inf).argmin(1)
    # Gradients of the hardest pairs alone: all others have none, and cdist's own is not there on
    # MPS before torch 2.13.
    hardest_positive = torch.linalg.vector_norm(precise - precise[farthest], dim=1)
    hardest_negative = torch.linalg.vector_norm(precise - precise[nearest], dim=1)
    violation = hardest_positive - hardest_negative
    if margin is None:
        loss, active = functional.softplus(violation), violation > 0
    else:
        loss, active = functional.relu(violation + margin), violation + margin > 0
    count = anchors.sum()
    return TripletLoss(
        *(
            value.masked_fill(~anchors, 0).sum() / count
            for value in (
                loss,
                active.to(loss.dtype),
                hardest_positive.detach(),
                hardest_negative.detach(),
            )
        )
    )


def diversity_eq8(log_attention: Tensor) -> Tensor:
    """Loss_div as the squared off-diagonal overlaps of the submodules' attention.

        ‖√A √Aᵀ − I‖_F²,  A the attention matrix [K, h·w]                              (Eq. 8)

    0 if no two submodules attend to the same place, K·(K − 1) if all attend alike. The paper
    writes it as equal to Eq. 7, of which it squares every term.

    >>> uniform = torch.full((6, 4, 8, 4), -math.log(32))
    >>> round(diversity_eq8(uniform).item(), 4)
    12.0
    """
    overlap = _overlap(log_attention)
    identity = torch.eye(overlap.shape[-1], dtype=overlap.dtype, device=overlap.device)
    return (overlap - identity).square().sum((-2, -1)).mean()


def diversity_eq7(log_attention: Tensor) -> Tensor:
    """Loss_div as the summed off-diagonal overlaps of the submodules' attention.

        Σ_j Σ_{k≠j} (1 − D²(a_j, a_k)) = Σ_j Σ_{k≠j} ⟨√a_j, √a_k⟩                       (Eq. 7)

    where D(a_j, a_k) = ‖√a_j − √a_k‖₂ / √2 is the Hellinger distance (Eq. 6). 0 if no two
    submodules attend to the same place, K·(K − 1) if all attend alike.

    >>> uniform = torch.full((6, 4, 8, 4), -math.log(32))
    >>> round(diversity_eq7(uniform).item(), 4)
    12.0
    """
    return _off_diagonal(_overlap(log_attention)).sum((-2, -1)).mean()


def stripe_log_mass_eq9(log_attention: Tensor) -> Tensor:
    """Log Â: how much attention each of K submodules [..., K, h, w] pays to each of K stripes.

        Â_{k,l} = Σ_j a_{k,j},  j in the l-th of K segments of the flattened map       (Eq. 9)

    [..., K, K], submodule by stripe. Maps are flattened row by row into segments of Δ = h·w / K
    (the paper's bounds, both inclusive, would count each segment's end twice), whole rows of the
    map if K divides h; ValueError if K does not divide h·w.

    >>> top_right = torch.tensor([[0.0, 0.8], [0.1, 0.1]])
    >>> stripe_log_mass_eq9(torch.stack([top_right, top_right.flip(0)]).log()).exp()
    tensor([[0.8000, 0.2000],
            [0.2000, 0.8000]])
    """
    return _stripes(log_attention).logsumexp(-1)


def concentration_eq10(log_attention: Tensor) -> Tensor:
    """Loss_con, which draws the k-th submodule's attention into the k-th stripe.

        tr(−log Â) = −Σ_k log Â_{k,k}                                                 (Eq. 10)

    0 if each submodule attends to its own stripe only, K·log K at uniform attention. Computed as a
    logsumexp, so that it stays finite where a stripe's attention underflows.

    >>> uniform = torch.full((6, 4, 8, 4), -math.log(32))
    >>> round(concentration_eq10(uniform).item(), 4)  # 4 log 4
    5.5452
    """
    return -_own_stripe_log_mass(log_attention).sum(-1).mean()


class AttentionStatistics(NamedTuple):
    """How attention looks, as scalar tensors averaged over images and submodules."""

    entropy: Tensor  # of a, over log h·w: 1 if uniform, 0 if all on one place
    own_stripe: Tensor  # Â_{k,k} of Eq. 9: 1/K if uniform, 1 if fully concentrated
    overlap: Tensor  # ⟨√a_j, √a_k⟩ of pairs j ≠ k: 1 if alike, 0 if disjoint (or K = 1)


@torch.no_grad()
def attention_statistics(log_attention: Tensor) -> AttentionStatistics:
    """What to log of log-attention [..., K, h, w]; nothing here waits for the device.

    >>> uniform = torch.full((6, 4, 8, 4), -math.log(32))
    >>> [round(value.item(), 4) for value in attention_statistics(uniform)]
    [1.0, 0.25, 1.0]
    """
    submodules, rows, columns = log_attention.shape[-3:]
    entropy = torch.special.entr(_precise(log_attention).exp()).sum((-2, -1))
    pairs = _off_diagonal(_overlap(log_attention)).sum((-2, -1))
    return AttentionStatistics(
        entropy.mean() / math.log(rows * columns),
        _own_stripe_log_mass(log_attention).exp().mean(),
        pairs.mean() / max(submodules * (submodules - 1), 1),
    )


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _overlap(log_attention: Tensor) -> Tensor:
    """√A √Aᵀ [..., K, K], of elements ⟨√a_j, √a_k⟩."""
    # √a from log a: the square root itself has an infinite gradient where attention underflows.
    root = (_precise(log_attention).flatten(-2) / 2).exp()
    with torch.autocast(root.device.type, enabled=False):
        return root @ root.mT


def _off_diagonal(matrix: Tensor) -> Tensor:
    return matrix - torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1))


def _stripes(log_attention: Tensor) -> Tensor:
    """[..., K submodules, K stripes, Δ]."""
    submodules, rows, columns = log_attention.shape[-3:]
    if rows * columns % submodules:
        raise ValueError(
            f"{submodules} submodules cannot share a {rows}×{columns} map in equal stripes (Eq. 9):"
            f" their number has to divide {rows * columns}"
        )
    return _precise(log_attention).reshape(*log_attention.shape[:-2], submodules, -1)


def _own_stripe_log_mass(log_attention: Tensor) -> Tensor:
    """The diagonal of log Â, [..., K], without the rest of it."""
    return _stripes(log_attention).diagonal(dim1=-3, dim2=-2).logsumexp(-2)
