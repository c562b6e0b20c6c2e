"""Training clips as a torch dataset: a pure function of the requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cmmanet.clips.batches import ClipRequest, clip_draw
from cmmanet.clips.erasing import erasure_draw
from cmmanet.clips.normalise import MEAN
from cmmanet.datasets.tracklets import Tracklets
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
from cmmanet.geometry import View

if TYPE_CHECKING:
    from cmmanet.params.recipe import Clip

# The value of erased pixels: ImageNet's mean, which is 0 to the network but for the rounding.
ERASED = np.round(255 * np.array(MEAN)).astype(np.uint8)


class ClipBatch(NamedTuple):
    """Clips uint8 [B, N, 3, H, W], frames channels_last in memory, and labels int64 [B]."""

    clips: Tensor
    labels: Tensor

    def pin_memory(self) -> ClipBatch:
        """Pin both tensors, for a faster copy to a GPU; called by the DataLoader."""
        return ClipBatch(self.clips.pin_memory(), self.labels.pin_memory())


class ClipDataset(Dataset[ClipBatch]):
    """Clips of the training tracklets, which are `rows` of the tracklet table.

    A request names its tracklet by its place in `rows` and fixes everything random about its
    clip, so the same requests give the same batch in any worker, at any time.

    Attributes:
        pid: of each training tracklet.
        length: of each training tracklet, in frames.
        identities: the distinct pids in ascending order; the place of a pid is its class.
    """

    def __init__(
        self,
        store: FrameStore,
        tracklets: Tracklets,
        rows: Sequence[int] | npt.NDArray[np.integer],
        clip: Clip,
        view: View,
    ) -> None:
        self.pid = tracklets.pid[rows]
        self.length = tracklets.length[rows]
        self.identities, self._label = np.unique(self.pid, return_inverse=True)
        self._store = store
        self._first = tracklets.first[rows]
        self._clip = clip
        self._view = view

    def __len__(self) -> int:
        return len(self.pid)

    def __getitems__(self, requests: Sequence[ClipRequest]) -> ClipBatch:
        """Read, decode, mirror and erase the requested clips.

        Raises:
            DecodeError: for a frame that does not decode, named with its archive.
        """
        rows: list[int] = []
        mirrored: list[bool] = []
        for request in requests:
            length = int(self.length[request.tracklet])
            positions, mirror = clip_draw(request, length, self._clip.frames)
            rows += (int(self._first[request.tracklet]) + positions).tolist()
            mirrored.append(mirror and self._clip.flip)
        pixels = read_frames(self._store, rows, *self._view)
        clips = pixels.reshape(len(requests), self._clip.frames, *self._view, 3)
        clips[mirrored] = clips[mirrored][..., ::-1, :]
        if self._clip.erase:
            self._erase_rectangles(clips, requests)
        return ClipBatch(torch.from_numpy(clips).permute(0, 1, 4, 2, 3), self.labels(requests))

    def labels(self, requests: Sequence[ClipRequest]) -> Tensor:
        """Return the classes int64 [B] of the requested clips, without reading a frame."""
        return torch.from_numpy(self._label[[request.tracklet for request in requests]])

    def _erase_rectangles(
        self, clips: npt.NDArray[np.uint8], requests: Sequence[ClipRequest]
    ) -> None:
        for clip, request in zip(clips, requests, strict=True):
            erased = erasure_draw(request, self._view, self._clip.erase)
            if erased is not None:
                top, left, height, width = erased
                clip[:, top : top + height, left : left + width] = ERASED
