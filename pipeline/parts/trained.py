"""A trained network as its run folder holds it, and tracklets embedded by it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from cmmanet.datasets.tracklets import Tracklets
from cmmanet.evaluation.embedding import Embeddings, embed
from cmmanet.frames.archive import FrameStore, hash_file
from cmmanet.model.network import CMMANet
from cmmanet.params import ArmPlan
from cmmanet.training.build import empty_network
from cmmanet.training.device import (
    choose_device,
    choose_precision,
    default_workers,
    describe_device,
    peak_memory,
    precision_name,
)
from pipeline.parts import workspace
from pipeline.parts.provenance import environment
from pipeline.parts.watch import counting


@dataclass(frozen=True)
class TrainedRun:
    """One trial of one arm: what run.json says, and the network that it is about."""

    plan: ArmPlan
    record: dict[str, Any]
    network: CMMANet
    fingerprint: str
    """Of the weights: what was embedded by others does not go with these."""

    def embed(
        self, store: FrameStore, tracklets: Tracklets, rows: Sequence[int], title: str
    ) -> tuple[Embeddings, dict[str, Any]]:
        """Embed the tracklets in `rows`, with progress; and tell where, and at what cost."""
        device = choose_device()
        precision = choose_precision(self.plan.precision, device)
        used = environment(describe_device(device), precision_name(precision))
        frames = int(tracklets.length[list(rows)].sum())
        begun = time.monotonic()
        with counting(f"{title}: embedding, frames", frames) as told:
            embeddings = embed(
                self.network,
                store,
                tracklets,
                rows,
                chunks=self.plan.clip.frames,
                height=self.plan.image.height,
                width=self.plan.image.width,
                device=device,
                precision=precision,
                workers=default_workers(),
                on_frames=told,
            )
        cost = {
            "frames": frames,
            "seconds": round(time.monotonic() - begun, 2),
            "peak_memory": peak_memory(device),
        }
        return embeddings, {**used, "nondeterministic": embeddings.nondeterministic, "cost": cost}


def load_trained(folder: Path) -> TrainedRun:
    """Open runs/DATASET/ARM/trial-NN.

    Raises:
        FileNotFoundError: if there is no run.
        ValueError: if its record is of another version, or its weights not those of its plan.
    """
    try:
        record = workspace.read_json(folder / "run.json", "train")
        plan = ArmPlan.model_validate(record["config"])
        network = empty_network(plan, record["identities"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{folder / 'run.json'}: of another version; train it again") from None
    path = folder / workspace.WEIGHTS
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (OSError, safetensors.SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path}: not the weights of {plan.arm}: {reason}; train it again"
        ) from None
    return TrainedRun(plan, record, network, hash_file(path))
