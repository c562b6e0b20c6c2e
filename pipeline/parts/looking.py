"""What the networks of trial 0 look at in a dataset's frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from cmmanet.evaluation.attention.observe import attention_maps
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
from cmmanet.reporting.figures.heatmaps import Block
from cmmanet.training.device import choose_device
from pipeline.parts import workspace
from pipeline.parts.dataset import Dataset
from pipeline.parts.trained import TrainedRun, load_trained

_BATCH = 128


class Looking:
    """The networks of trial 0 over the frames of one dataset, each loaded once."""

    def __init__(self, dataset: str, opened: Dataset) -> None:
        self._dataset = dataset
        self._store: FrameStore = opened.open_frames()
        self._device = choose_device()
        self._loaded: dict[str, TrainedRun] = {}

    def stages(self, arm: str) -> list[str]:
        """The stages that a MAM of the arm stands behind."""
        return list(self._run(arm).network.mams)

    def frames(self, arm: str, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Frames [F, H, W, 3] as the arm's network is shown them."""
        image = self._run(arm).plan.image
        return read_frames(self._store, rows, image.height, image.width)

    def attention(self, arm: str, stage: str, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """The attention [F, K, h, w] of the MAM behind a stage."""
        network, place = self._run(arm).network, self.stages(arm).index(stage)
        parts = []
        for begin in range(0, len(rows), _BATCH):
            pixels = torch.from_numpy(self.frames(arm, rows[begin : begin + _BATCH]))
            maps = attention_maps(network, pixels.permute(0, 3, 1, 2))
            parts.append(maps[place].cpu().numpy())
        return np.concatenate(parts)

    def block(self, title: str, arm: str, stage: str, rows: Sequence[int]) -> Block:
        """What a figure shows of one arm."""
        return Block(title, self.frames(arm, rows), self.attention(arm, stage, rows))

    def _run(self, arm: str) -> TrainedRun:
        if arm not in self._loaded:
            folder = workspace.run_folder(self._dataset, arm) / workspace.trial_name(0)
            self._loaded[arm] = load_trained(folder)
            self._loaded[arm].network.to(self._device)
        return self._loaded[arm]
