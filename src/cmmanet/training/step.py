"""The objective of one training step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cmmanet.losses import (
    attention_statistics,
    batch_hard_triplet,
    concentration_eq10,
    diversity_eq7,
    diversity_eq8,
    identity_loss,
)
from cmmanet.model.network import ClipOutput

if TYPE_CHECKING:  # the GPU machines' benchmarks run without pydantic
    from cmmanet.params import Losses


def objective(
    output: ClipOutput, labels: Tensor, weights: Losses
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of the losses, and every term of it before weighting, detached.

    Diversity and concentration are averaged over images and summed over the MAMs. Terms
    of weight 0 are not computed. Only the triplet's check of its labels waits for the device.
    """
    features, logits, log_attention = output
    terms: dict[str, Tensor] = {}
    total = features.new_zeros((), dtype=torch.float32)
    record: dict[str, Tensor] = {"accuracy": (logits.argmax(1) == labels).float().mean()}
    if weights.identity:
        terms["identity"] = identity_loss(logits, labels)
    if weights.triplet:
        margin = None if weights.margin == "soft" else weights.margin
        triplet = batch_hard_triplet(features, labels, margin)
        terms["triplet"] = triplet.loss
        record["triplet_active"] = triplet.active
    if log_attention:
        if weights.diversity:
            diversity = diversity_eq8 if weights.diversity_form == "eq8" else diversity_eq7
            terms["diversity"] = torch.stack([diversity(log) for log in log_attention]).sum()
        if weights.concentration:
            terms["concentration"] = torch.stack(
                [concentration_eq10(log) for log in log_attention]
            ).sum()
    for name, term in terms.items():
        total = total + getattr(weights, name) * term
        record[f"loss_{name}"] = term.detach()
    record["loss"] = total.detach()
    return total, record


@torch.no_grad()
def attention_record(output: ClipOutput, mam_after: tuple[int, ...]) -> dict[str, Tensor]:
    """Statistics of each MAM's attention, named for the stage it follows."""
    record: dict[str, Tensor] = {}
    for stage, log in zip(mam_after, output.log_attention, strict=True):
        statistics = attention_statistics(log)
        for name, value in statistics._asdict().items():
            record[f"attention{stage}_{name}"] = value
    return record
