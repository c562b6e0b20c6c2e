"""One step of training, and its objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cmmanet.clips.normalise import normalise
from cmmanet.losses import (
    attention_statistics,
    batch_hard_triplet,
    concentration_eq10,
    diversity_eq7,
    diversity_eq8,
    identity_loss,
)
from cmmanet.model.network import ClipOutput
from cmmanet.training.device import Runtime
from cmmanet.training.processes import Processes, gather_output

if TYPE_CHECKING:  # the GPU machines' benchmarks run without pydantic
    from cmmanet.params import Losses


def train_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    clips: Tensor,
    labels: Tensor,
    *,
    weights: Losses,
    runtime: Runtime,
    processes: Processes,
) -> tuple[ClipOutput, dict[str, Tensor]]:
    """Run forward, losses, backward and update; nothing here waits for the device.

    Args:
        network: in training mode.
        optimiser: of its parameters.
        clips: uint8 [B / processes, N, 3, H, W], this process's share of the batch.
        labels: int64 [B], of the whole batch.
        weights: of the losses.
        runtime: where and how the network computes.
        processes: those that train together.

    Returns:
        The output for the whole batch, and the record of `objective`.
    """
    with runtime.autocast():
        own = network(normalise(clips))
    output = gather_output(own, processes)
    loss, record = objective(output, labels, weights)
    optimiser.zero_grad(set_to_none=True)
    # Processes average their gradients, which should be added.
    (loss * processes.count).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return output, record


def objective(
    output: ClipOutput, labels: Tensor, weights: Losses
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of the losses, and its terms before weighting, detached.

    Diversity and concentration are averaged over images and summed over the MAMs. Terms
    of weight 0 are not computed. Nothing here waits for the device.
    """
    features, logits, log_attention = output
    terms: dict[str, Tensor] = {}
    total = features.new_zeros((), dtype=torch.float32)
    record: dict[str, Tensor] = {"accuracy": (logits.argmax(1) == labels).float().mean()}
    if weights.identity:
        terms["identity"] = identity_loss(logits, labels, weights.smoothing)
    if weights.triplet:
        margin = None if weights.margin == "soft" else weights.margin
        triplet = batch_hard_triplet(features, labels, margin)
        terms["triplet"] = triplet.loss
        record["triplet_active"] = triplet.active
        record["positive_distance"] = triplet.positive_distance
        record["negative_distance"] = triplet.negative_distance
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
    """Return statistics of each MAM's attention, named after the stage that the MAM follows."""
    record: dict[str, Tensor] = {}
    for stage, log in zip(mam_after, output.log_attention, strict=True):
        statistics = attention_statistics(log)
        for name, value in statistics._asdict().items():
            record[f"attention{stage}_{name}"] = value
    return record
