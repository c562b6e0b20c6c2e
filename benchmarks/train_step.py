"""Training and embedding on the CPU at the paper's batch, side by side with references.

- Step: `train_step` against the bare torchvision network with cross-entropy on the same frames,
  with the same precision, memory format, normalisation and fused Adam.
- Plain step: against `_plain.py` (float32, NCHW, K copies of the feature map, loops).
- Training: `train` from a zip of JPEGs against the step alone on batches already decoded.
- Embedding: the network as `embed` uses it against the bare torchvision network to its pooled
  features, in batches of 128.

`python -m benchmarks.gpu` measures all of this on a GPU.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from benchmarks import frames
from benchmarks._pictures import encode, picture
from benchmarks._report import Bar, describe, report, side_by_side, times_as_fast
from benchmarks._step import (
    RESNET18,
    RESNET50,
    Setting,
    bare_network,
    bare_step,
    copy_weights,
    our_network,
    our_step,
    plain_network,
    plain_step_of,
    random_batch,
    seconds_per_iteration,
)
from cmmanet.clips.batches import epoch_batches
from cmmanet.clips.dataset import ClipDataset
from cmmanet.clips.normalise import normalise
from cmmanet.clips.sampling import RandomInterval
from cmmanet.datasets.tracklets import TRAIN, Tracklets
from cmmanet.evaluation.folding import fold_batch_norms, for_inference
from cmmanet.evaluation.frame_batches import BATCH
from cmmanet.model.network import CMMANet
from cmmanet.training.device import choose_precision, default_workers, precision_name

CPU = torch.device("cpu")


def measure_step(setting: Setting, precision: torch.dtype, rounds: int) -> float:
    """Return our frames per second relative to the bare network's."""
    clips, labels = random_batch(setting, CPU)
    ours = our_step(our_network(setting, CPU), precision, clips, labels)
    bare = bare_step(bare_network(setting, CPU), precision, clips, labels)
    seconds = side_by_side({"ours": ours, "bare": bare}, rounds, CPU)
    rate = {name: setting.batch / statistics.median(value) for name, value in seconds.items()}
    ratio = times_as_fast(seconds, "ours", "bare")
    print(
        f"step {setting.backbone} {precision_name(precision)}: {rate['ours']:.1f} frames/s, bare "
        f"{rate['bare']:.1f}: {ratio:.3f}"
    )
    return ratio


def measure_plain(setting: Setting, precision: torch.dtype, rounds: int, warm_up: int) -> float:
    """Return how many times as fast as the plain step ours is; both give the same loss first."""
    clips, labels = random_batch(setting, CPU)
    network, plain = our_network(setting, CPU), plain_network(setting, CPU)
    plainly = plain_step_of(plain, clips, labels)
    if warm_up:
        copy_weights(network, plain)
        _, record = our_step(network, torch.float32, clips, labels)()
        torch.testing.assert_close(record["loss"], plainly(), rtol=1e-3, atol=1e-3)
    ours = our_step(network, precision, clips, labels)
    seconds = side_by_side({"ours": ours, "plain": plainly}, rounds, CPU, warm_up)
    times = times_as_fast(seconds, "ours", "plain")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        f"plain {setting.backbone}: {medians['plain']:.2f} s a step, ours "
        f"{precision_name(precision)} {medians['ours']:.2f} s: {times:.1f} × as fast"
    )
    return times


def measure_training(
    setting: Setting, precision: torch.dtype, iterations: int, rounds: int
) -> float:
    """Return the speed of `train`, reading a zip, relative to the step alone."""
    rows, length = np.arange(250), 80
    assert len(rows) * length == frames.PICTURES
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        pictures = [encode(picture(seed), "JPEG", quality=65) for seed in range(200)]
        store = frames.open_pictures(Path(folder) / "frames.zip", 0, pictures)
        dataset = ClipDataset(
            store,
            Tracklets(
                tracklet=rows,
                pid=rows // 5,
                camera=np.zeros_like(rows),
                first=rows * length,
                length=np.full_like(rows, length),
                role=np.full(len(rows), TRAIN),
            ),
            rows,
            setting.clip,
            setting.view,
        )
        requests = epoch_batches(
            dataset.pid,
            identities=setting.identities,
            clips=setting.clips,
            sampler=RandomInterval(8, "epoch", "any"),
            seed=0,
            epoch=0,
        ).batches
        batch = dataset.__getitems__(requests[0])
        step = our_step(our_network(setting, CPU), precision, batch.clips, batch.labels)
        workers = default_workers()
        alone, whole = [], []
        for _ in range(rounds):
            whole.append(
                seconds_per_iteration(
                    setting, dataset, CPU, precision, iterations=iterations, workers=workers
                )
            )
            # As `train` is timed: the mean over many, after two.
            step(), step()
            start = time.perf_counter()
            for _ in range(iterations):
                step()
            alone.append((time.perf_counter() - start) / iterations)
    ratio = statistics.median(alone) / statistics.median(whole)
    print(
        f"training {setting.backbone} {precision_name(precision)}, {workers} workers: "
        f"{setting.batch / statistics.median(whole):.1f} frames/s, the step alone "
        f"{setting.batch / statistics.median(alone):.1f}: {ratio:.3f}"
    )
    return ratio


def adapted_network(setting: Setting) -> CMMANet:
    """Return our network in evaluation mode, with running statistics of real maps."""
    network = our_network(setting, CPU)
    clips, _ = random_batch(setting, CPU)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean of all batches so far
    with torch.no_grad():
        network.frame_features(normalise(clips[:8].flatten(0, 1)))
    return network.eval()


@torch.inference_mode()
def measure_embedding(setting: Setting, precision: torch.dtype, rounds: int) -> float:
    """Return our frames per second relative to the bare network's; print what folding changes."""
    clips, _ = random_batch(setting, CPU)
    pixels = clips.flatten(0, 1)[:BATCH]
    network = adapted_network(setting)
    ours = for_inference(network, precision)
    bare = bare_network(setting, CPU).eval()
    bare.fc = nn.Identity()

    def features(module: Callable[[Tensor], Tensor], dtype: torch.dtype) -> Tensor:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return module(normalise(pixels))

    reference = features(network.frame_features, torch.float32)
    for label, module, dtype in (
        ("folded fp32", fold_batch_norms(network), torch.float32),
        ("unfolded bf16", network, torch.bfloat16),
        ("folded bf16", for_inference(network, torch.bfloat16), torch.bfloat16),
    ):
        difference = 1 - cosine_similarity(
            features(module.frame_features, dtype).double(), reference.double()
        )
        print(
            f"  {setting.backbone} {label} against unfolded fp32: cosine distance at most "
            f"{difference.max():.1e}"
        )
    seconds = side_by_side(
        {
            "ours": lambda: features(ours.frame_features, precision),
            "unfolded": lambda: features(network.frame_features, precision),
            "bare": lambda: features(bare, precision),
        },
        rounds,
        CPU,
    )
    rate = {name: len(pixels) / statistics.median(value) for name, value in seconds.items()}
    ratio = times_as_fast(seconds, "ours", "bare")
    unfolded = times_as_fast(seconds, "unfolded", "bare")
    print(
        f"embedding {setting.backbone} {precision_name(precision)}: {rate['ours']:.1f} frames/s, "
        f"bare {rate['bare']:.1f}: {ratio:.3f} (not folded: {unfolded:.3f})"
    )
    return ratio


def main() -> None:
    """Measure everything and hold it against the bars."""
    precision = choose_precision("auto", CPU)
    print(f"{describe(CPU)}; 28 clips of 6 frames; medians, taking turns")
    bars = []
    for setting, rounds, required in ((RESNET18, 9, 0.92), (RESNET50, 4, 0.88)):
        ratio = measure_step(setting, precision, rounds)
        name = setting.backbone
        bars.append(Bar(f"step {name}: frames/s, ratio to the bare network", required, ratio))
    if precision != torch.float32:
        measure_step(RESNET18, torch.float32, 4)
    # ResNet-50 takes a minute for a plain step on two cores: one, without a warm-up.
    for setting, rounds, warm_up in ((RESNET18, 4, 1), (RESNET50, 1, 0)):
        times = measure_plain(setting, precision, rounds, warm_up)
        bars.append(Bar(f"step {setting.backbone}: × as fast as written plainly", 2, times))
    trained = measure_training(RESNET18, precision, 8, 2)
    bars.append(Bar("training resnet18 from a zip: ratio to the step alone", 0.9, trained))
    for setting, rounds in ((RESNET18, 9), (RESNET50, 4)):
        ratio = measure_embedding(setting, precision, rounds)
        name = setting.backbone
        bars.append(Bar(f"embedding {name}: frames/s, ratio to the bare network", 0.95, ratio))
    report("train_step", CPU, bars)


if __name__ == "__main__":
    main()
