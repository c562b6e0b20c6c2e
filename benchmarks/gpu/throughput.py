"""From an archive to weights and embeddings, and ranking at MARS's size."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks._report import median_seconds, wait
from benchmarks._step import (
    RESNET50,
    TINY,
    our_network,
    our_step,
    random_batch,
    seconds_per_iteration,
)
from benchmarks.gpu.data import render
from benchmarks.gpu.record import Job, Record
from benchmarks.ranking import mars_labels
from cmmanet.clips.normalise import normalise
from cmmanet.datasets.tracklets import TRAIN
from cmmanet.evaluation.embedding import embed
from cmmanet.evaluation.folding import for_inference
from cmmanet.evaluation.frame_batches import BATCH
from cmmanet.evaluation.ranking import rank
from cmmanet.evaluation.reranking import reranked_distances
from cmmanet.training.device import Runtime, deterministic

BF16 = torch.bfloat16
DECODERS = (14, 8, 4)  # the most first: the goal speaks of 14


def training(job: Job, record: Record) -> None:
    """Train from a rendered archive: how long does the GPU wait for data?"""
    setting, iterations = (TINY, 3) if job.tiny else (RESNET50, 120)
    with tempfile.TemporaryDirectory() as folder:
        dataset = render(Path(folder), setting, tiny=job.tiny).clips(setting)
        step = our_step(our_network(setting, job.device), BF16, *random_batch(setting, job.device))
        for workers in (1,) if job.tiny else DECODERS:
            whole = seconds_per_iteration(
                setting, dataset, job.device, BF16, iterations=iterations, workers=workers
            )
            alone = _seconds_per_call(step, iterations, job.device)
            record.add(
                **{
                    f"decoders_{workers}_frames_per_second": setting.batch / whole,
                    f"decoders_{workers}_waiting": max(0.0, 1 - alone / whole),
                    "step_alone_frames_per_second": setting.batch / alone,
                }
            )


def _seconds_per_call(step: object, calls: int, device: torch.device) -> float:
    """Time a step as `train` takes it, with deterministic kernels, the first two apart."""
    with deterministic(device):
        for call in range(calls + 2):
            if call == 2:
                wait(device)
                start = time.perf_counter()
            step()  # type: ignore[operator]
        wait(device)
    return (time.perf_counter() - start) / calls


def embedding(job: Job, record: Record) -> None:
    """Embed all rendered tracklets, and the network alone on a batch that is there already."""
    setting = TINY if job.tiny else RESNET50
    network = our_network(setting, job.device).eval()
    with tempfile.TemporaryDirectory() as folder:
        store, tracklets = render(Path(folder), setting, tiny=job.tiny)
        rows = np.flatnonzero(tracklets.role == TRAIN).tolist()
        frames = int(tracklets.length[rows].sum())
        for workers in (1,) if job.tiny else DECODERS:
            begun = time.perf_counter()
            result = embed(
                network,
                store,
                tracklets,
                rows,
                chunks=setting.frames,
                view=setting.view,
                runtime=Runtime(job.device, BF16, workers),
                on_frames=lambda done: None,
            )
            seconds = time.perf_counter() - begun
            record.add(**{f"decoders_{workers}_frames_per_second": frames / seconds})
    record.add(without_deterministic_kernel=result.nondeterministic)
    folded = for_inference(network, BF16)
    clips, _ = random_batch(setting._replace(identities=8), job.device)
    pixels = clips.flatten(0, 1)[:BATCH]

    @torch.inference_mode()
    def batch() -> None:
        with torch.autocast(job.device.type, BF16):
            folded.frame_features(normalise(pixels))

    seconds = median_seconds(batch, 3 if job.tiny else 30, job.device)
    record.add(network_alone_frames_per_second=len(pixels) / seconds)


def ranking(job: Job, record: Record) -> None:
    """Rank and re-rank at MARS's size, on the device and on the CPU."""
    labels = mars_labels()
    if job.tiny:
        labels = labels.part(20)
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(int(labels.ids.max()) + 2, 2048, generator=generator)
    features = torch.randn(len(labels.ids), 2048, generator=generator)
    features.add_(centres[labels.ids + 1], alpha=0.25)
    record.add(queries=len(labels.queries), gallery=len(labels.ids))
    results = {}
    for device in (job.device, torch.device("cpu")):
        gallery = features.to(device)
        query = gallery[labels.queries.to(device)]
        results[device] = rank(query, gallery, **labels.arguments())
        times = {
            "rank": median_seconds(
                lambda q=query, g=gallery: rank(q, g, **labels.arguments()),  # type: ignore[misc]
                1 if job.tiny else 5,
                device,
            ),
            "rerank": median_seconds(
                lambda q=query, g=gallery: reranked_distances(  # type: ignore[misc]
                    q, g, k1=20, k2=6, weight=0.3
                ),
                1 if job.tiny else 2,
                device,
            ),
        }
        where = "cpu" if device.type == "cpu" else "device"
        record.add(**{f"{name}_{where}_s": seconds for name, seconds in times.items()})
    ours, reference = results[job.device], results[torch.device("cpu")]
    record.add(
        same_ranks=torch.equal(ours.first_right_rank, reference.first_right_rank),
        map_difference=abs(ours.summary()["map"] - reference.summary()["map"]),
    )
