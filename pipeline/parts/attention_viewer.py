"""The attention of the networks of trial 0 on chosen frames of a dataset, for figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cmmanet.evaluation.attention.observe import attention_maps
from cmmanet.evaluation.folding import for_inference
from cmmanet.evaluation.frame_batches import BATCH, read_pixels
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
from cmmanet.geometry import View
from cmmanet.model.network import CMMANet
from cmmanet.reporting.figures.heatmaps import Block
from cmmanet.training.device import Runtime, choose_runtime, deterministic
from pipeline.parts import workspace
from pipeline.parts.indexed_data import Dataset
from pipeline.parts.trained_network import load_trained


class _Loaded(NamedTuple):
    """A network as the stage attention uses it: folded, and in its fast precision."""

    network: CMMANet
    view: View
    runtime: Runtime


class AttentionViewer:
    """The networks of trial 0 on the frames of one dataset, each loaded once."""

    def __init__(self, dataset: str, opened: Dataset) -> None:
        self._dataset = dataset
        self._store: FrameStore = opened.open_frames()
        self._loaded: dict[str, _Loaded] = {}

    def stages(self, arm: str) -> list[str]:
        """Return the stages of the arm's network that a MAM follows."""
        return list(self._arm(arm).network.mams)

    def frames(self, arm: str, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Read frames [F, H, W, 3] in the size of the arm's network."""
        return read_frames(self._store, rows, *self._arm(arm).view)

    def attention(self, arm: str, stage: str, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """Compute the attention [F, K, h, w] of the MAM after a stage."""
        network, view, runtime = self._arm(arm)
        place = self.stages(arm).index(stage)
        parts = []
        with deterministic(runtime.device), runtime.autocast():
            for begin in range(0, len(rows), BATCH):
                pixels = read_pixels(self._store, view, rows[begin : begin + BATCH])
                parts.append(attention_maps(network, pixels)[place].cpu().numpy())
        return np.concatenate(parts)

    def block(self, title: str, arm: str, stage: str, rows: Sequence[int]) -> Block:
        """Return one arm's frames and attention for a figure."""
        network, view, _ = self._arm(arm)
        centres = network.backbone.cell_centres(*view, stage=int(stage))
        return Block(title, self.frames(arm, rows), self.attention(arm, stage, rows), centres)

    def _arm(self, arm: str) -> _Loaded:
        if arm not in self._loaded:
            folder = workspace.run_folder(self._dataset, arm) / workspace.trial_name(0)
            trained = load_trained(folder)
            runtime = choose_runtime(trained.plan.precision)
            network = for_inference(trained.network.to(runtime.device), runtime.precision)
            self._loaded[arm] = _Loaded(network, trained.plan.view, runtime)
        return self._loaded[arm]
