"""From an archive to weights and embeddings, and ranking at MARS's size."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks._report import median_seconds, wait
from benchmarks._step import (
    RESNET50,
    TINY,
    our_network,
    random_batch,
    seconds_per_iteration,
)
from benchmarks.gpu.data import rendered
from benchmarks.gpu.record import Job, Record
from benchmarks.ranking import label_source, mars_labels
from cmmanet.clips.batches import ClipRequest
from cmmanet.clips.dataset import ClipBatch, ClipDataset
from cmmanet.clips.normalise import normalise
from cmmanet.datasets.tracklets import TRAIN
from cmmanet.evaluation.embedding import embed
from cmmanet.evaluation.folding import for_inference
from cmmanet.evaluation.frame_batches import BATCH
from cmmanet.evaluation.ranking import Ranking, rank
from cmmanet.evaluation.reranking import reranked_distances
from cmmanet.training.device import Runtime

BF16 = torch.bfloat16
DECODERS = (14, 8, 4)  # the most first: the goal speaks of 14


def training(job: Job, record: Record) -> None:
    """Train from a rendered archive: how long does the GPU wait for data?

    The reference is the same training with a batch that is decoded already.
    """
    setting = TINY if job.tiny else RESNET50
    dataset = rendered(job, setting).clips(setting)
    iterations, skip = (2, 2) if job.tiny else (140, 60)

    def seconds(clips: ClipDataset, workers: int) -> float:
        return seconds_per_iteration(
            setting, clips, job.device, BF16, iterations=iterations, workers=workers, skip=skip
        )

    ready = seconds(_Decoded(dataset), 0)
    record.add(decoded_frames_per_second=setting.batch / ready)
    for workers in (1,) if job.tiny else DECODERS:
        with record.part(f"{workers} decoders"):
            each = seconds(dataset, workers)
            record.add(
                **{
                    f"decoders_{workers}_frames_per_second": setting.batch / each,
                    f"decoders_{workers}_waiting": max(0.0, 1 - ready / each),
                }
            )


class _Decoded(ClipDataset):
    """A data set whose every batch is its first."""

    def __init__(self, dataset: ClipDataset) -> None:
        self.__dict__ |= vars(dataset)
        self._batch: ClipBatch | None = None

    def __getitems__(self, requests: Sequence[ClipRequest]) -> ClipBatch:
        if self._batch is None:
            self._batch = super().__getitems__(requests)
        return ClipBatch(self._batch.clips, self.labels(requests))


def embedding(job: Job, record: Record) -> None:
    """Embed rendered tracklets, and batches that are decoded already."""
    setting = TINY if job.tiny else RESNET50
    network = our_network(setting, job.device).eval()
    folded = for_inference(network, BF16)
    clips, _ = random_batch(setting._replace(identities=8), job.device)
    pixels = clips.flatten(0, 1)[:BATCH]

    @torch.inference_mode()
    def batch() -> None:
        with torch.autocast(job.device.type, BF16):
            folded.frame_features(normalise(pixels))

    seconds = median_seconds(batch, 3 if job.tiny else 30, job.device, warm_up=3)
    record.add(network_alone_frames_per_second=len(pixels) / seconds)
    store, tracklets = rendered(job, setting)
    rows = np.flatnonzero(tracklets.role == TRAIN).tolist() * (30 if job.tiny else 20)
    for workers in (1,) if job.tiny else DECODERS:
        with record.part(f"{workers} decoders"):
            ticks: list[tuple[float, int]] = []

            def on_frames(done: int, ticks: list[tuple[float, int]] = ticks) -> None:
                ticks.append((time.perf_counter(), done))

            result = embed(
                network,
                store,
                tracklets,
                rows,
                chunks=setting.frames,
                view=setting.view,
                runtime=Runtime(job.device, BF16, workers),
                on_frames=on_frames,
            )
            wait(job.device)
            # From a quarter on: what was decoded while the network was prepared is used up.
            begun, before = ticks[len(ticks) // 4]
            rate = (ticks[-1][1] - before) / (time.perf_counter() - begun)
            record.add(
                **{f"decoders_{workers}_frames_per_second": rate},
                without_deterministic_kernel=result.nondeterministic,
            )


def ranking(job: Job, record: Record) -> None:
    """Rank and re-rank at MARS's size, on the device and on the CPU."""
    labels = mars_labels()
    if job.tiny:
        labels = labels.part(20)
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(int(labels.ids.max()) + 2, 2048, generator=generator)
    features = torch.randn(len(labels.ids), 2048, generator=generator)
    features.add_(centres[labels.ids + 1], alpha=0.25)
    record.add(queries=len(labels.queries), gallery=len(labels.ids), labels=label_source())
    places = {"device": job.device, "cpu": torch.device("cpu")}
    embeddings = {}
    for where, device in places.items():
        gallery = features.to(device)
        embeddings[where] = (gallery[labels.queries.to(device)], gallery)
    results = {}
    for where, device in places.items():
        with record.part(f"ranking on {where}"):
            query, gallery = embeddings[where]

            def ranked(query: Tensor = query, gallery: Tensor = gallery) -> Ranking:
                return rank(query, gallery, **labels.arguments())

            results[where] = ranked()
            seconds = median_seconds(ranked, 1 if job.tiny else 5, device)
            record.add(**{f"rank_{where}_s": seconds})
    if len(results) == 2:
        ours, reference = results["device"], results["cpu"]
        record.add(
            same_ranks=torch.equal(ours.first_right_rank, reference.first_right_rank),
            map_difference=abs(ours.summary()["map"] - reference.summary()["map"]),
        )
    for where, device in places.items():
        with record.part(f"re-ranking on {where}"):
            query, gallery = embeddings[where]

            def reranked(query: Tensor = query, gallery: Tensor = gallery) -> Tensor:
                return reranked_distances(query, gallery, k1=20, k2=6, weight=0.3)

            seconds = median_seconds(reranked, 1 if job.tiny else 2, device)
            record.add(**{f"rerank_{where}_s": seconds})
