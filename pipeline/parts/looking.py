"""What the networks of trial 0 look at in a dataset's frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cmmanet.evaluation.attention.observe import attention_maps
from cmmanet.evaluation.folding import for_inference
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
from cmmanet.model.network import CMMANet
from cmmanet.params import ArmPlan
from cmmanet.reporting.figures.heatmaps import Block
from cmmanet.training.device import choose_device, choose_precision, deterministic
from pipeline.parts import workspace
from pipeline.parts.dataset import Dataset
from pipeline.parts.trained import load_trained

_BATCH = 128


class _Loaded(NamedTuple):
    """A network as the stage attention measures it: folded, and in its fast precision."""

    plan: ArmPlan
    network: CMMANet
    precision: torch.dtype


class Looking:
    """The networks of trial 0 over the frames of one dataset, each loaded once."""

    def __init__(self, dataset: str, opened: Dataset) -> None:
        self._dataset = dataset
        self._store: FrameStore = opened.open_frames()
        self._device = choose_device()
        self._loaded: dict[str, _Loaded] = {}

    def stages(self, arm: str) -> list[str]:
        """The stages that a MAM of the arm stands behind."""
        return list(self._arm(arm).network.mams)

    def frames(self, arm: str, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Frames [F, H, W, 3] as the arm's network is shown them."""
        image = self._arm(arm).plan.image
        return read_frames(self._store, rows, image.height, image.width)

    def attention(self, arm: str, stage: str, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """The attention [F, K, h, w] of the MAM behind a stage."""
        _, network, precision = self._arm(arm)
        place, kind = self.stages(arm).index(stage), self._device.type
        parts = []
        with (
            deterministic(self._device),
            torch.autocast(kind, precision, enabled=precision != torch.float32),
        ):
            for begin in range(0, len(rows), _BATCH):
                pixels = torch.from_numpy(self.frames(arm, rows[begin : begin + _BATCH]))
                maps = attention_maps(network, pixels.permute(0, 3, 1, 2))
                parts.append(maps[place].cpu().numpy())
        return np.concatenate(parts)

    def block(self, title: str, arm: str, stage: str, rows: Sequence[int]) -> Block:
        """What a figure shows of one arm."""
        image, backbone = self._arm(arm).plan.image, self._arm(arm).network.backbone
        centres = backbone.cell_centres(image.height, image.width, stage=int(stage))
        return Block(title, self.frames(arm, rows), self.attention(arm, stage, rows), centres)

    def _arm(self, arm: str) -> _Loaded:
        if arm not in self._loaded:
            folder = workspace.run_folder(self._dataset, arm) / workspace.trial_name(0)
            trained = load_trained(folder)
            precision = choose_precision(trained.plan.precision, self._device)
            network = for_inference(trained.network.to(self._device), precision)
            self._loaded[arm] = _Loaded(trained.plan, network, precision)
        return self._loaded[arm]
