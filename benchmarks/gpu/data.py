"""A rendered data set, as the stages fetch, index and split would leave it."""

from __future__ import annotations

import importlib
from typing import NamedTuple

import numpy as np

from benchmarks._step import Setting
from benchmarks.gpu.record import Job
from cmmanet.clips.dataset import ClipDataset
from cmmanet.datasets.catalogue import DATASETS
from cmmanet.datasets.rendered import synthetic
from cmmanet.datasets.tracklets import TRAIN, Tracklets
from cmmanet.frames.archive import FrameStore, list_members
from cmmanet.frames.index import build_index, load_tracklets, open_store


class Rendered(NamedTuple):
    """Frames of pedestrians in MARS's layout, read from their zip archives."""

    store: FrameStore
    tracklets: Tracklets

    def clips(self, setting: Setting) -> ClipDataset:
        """Return the training clips."""
        return ClipDataset(
            self.store,
            self.tracklets,
            np.flatnonzero(self.tracklets.role == TRAIN),
            setting.clip,
            setting.view,
        )


def rendered(job: Job, setting: Setting) -> Rendered:
    """Return a data set of frames as large as the setting's; steps share it.

    Raises:
        ModuleNotFoundError: without simplejpeg, by which frames are decoded.
    """
    importlib.import_module("simplejpeg")
    folder = job.folder / f"{setting.height}x{setting.width}"
    archives = [folder / "raw" / f"bbox_{part}.zip" for part in ("train", "test")]
    if not folder.is_dir():
        synthetic.render(
            folder / "raw",
            train_identities=4 if job.tiny else 48,
            test_identities=1,
            distractors=1,
            junk=1,
            cameras=2 if job.tiny else 4,
            tracklets_per_camera=1 if job.tiny else 2,
            frames_min=2 if job.tiny else 8,
            frames_max=4 if job.tiny else 24,
            occlusion=0.25,
            height=setting.height,
            width=setting.width,
            seed=0,
        )
        layout = DATASETS["synthetic"]
        members = [list_members(archive, layout.image_suffix) for archive in archives]
        build_index(layout.read_listing(folder / "raw", members), members, folder)
    return Rendered(open_store(folder, archives), load_tracklets(folder))
