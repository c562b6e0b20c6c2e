"""A trained network read from its run folder, and tracklets embedded with it."""

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
from cmmanet.messages import first_line
from cmmanet.model.network import CMMANet
from cmmanet.params import ArmPlan
from cmmanet.training.build import empty_network
from cmmanet.training.device import (
    choose_runtime,
    describe_device,
    peak_memory,
    precision_name,
    reset_peak_memory,
)
from pipeline.parts import workspace
from pipeline.parts.provenance import environment
from pipeline.parts.watch import counting


@dataclass(frozen=True)
class TrainedRun:
    """One run of one arm.

    Attributes:
        plan: of the arm.
        record: the content of run.json.
        network: with its trained weights.
        fingerprint: sha256 of the weights file; embeddings are tied to it.
    """

    plan: ArmPlan
    record: dict[str, Any]
    network: CMMANet
    fingerprint: str

    def embed(
        self, store: FrameStore, tracklets: Tracklets, rows: Sequence[int], title: str
    ) -> tuple[Embeddings, dict[str, Any]]:
        """Embed the tracklets in `rows`, with progress; also return the environment and cost."""
        runtime = choose_runtime(self.plan.precision)
        used = environment(describe_device(runtime.device), precision_name(runtime.precision))
        frames = int(tracklets.length[list(rows)].sum())
        reset_peak_memory(runtime.device)
        begun = time.monotonic()
        with counting(f"{title}: embedding, frames", frames) as progress:
            embeddings = embed(
                self.network,
                store,
                tracklets,
                rows,
                chunks=self.plan.clip.frames,
                view=self.plan.view,
                runtime=runtime,
                on_frames=progress,
            )
        cost = {
            "frames": frames,
            "seconds": round(time.monotonic() - begun, 2),
            "peak_memory": peak_memory(runtime.device),
        }
        return embeddings, {**used, "nondeterministic": embeddings.nondeterministic, "cost": cost}


def load_trained(folder: Path) -> TrainedRun:
    """Read runs/DATASET/ARM/trial-NN.

    Raises:
        FileNotFoundError: if there is no run.
        ValueError: if another version wrote its record, or its weights do not fit its plan.
    """
    try:
        record = workspace.read_json(folder / "run.json", "train")
        plan = ArmPlan.model_validate(record["config"])
        network = empty_network(plan, record["identities"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{folder / 'run.json'}: written by an incompatible version; retrain"
        ) from None
    path = folder / workspace.WEIGHTS
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (OSError, safetensors.SafetensorError, RuntimeError) as error:
        reason = first_line(error)
        raise ValueError(f"{path}: not the weights of {plan.arm}: {reason}; retrain") from None
    return TrainedRun(plan, record, network, hash_file(path))
