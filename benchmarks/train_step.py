"""Training and embedding at the paper's batch (28 clips of 6 frames), side by side with references.

- Step: `train_step` against the bare torchvision network with cross-entropy on the same frames,
  with the same precision, memory format, normalisation and fused Adam.
- Plain step: against `_plain.py` (float32, NCHW, K copies of the feature map, loops).
- Training: `train` from a zip of JPEGs against the step alone on batches already decoded.
- Embedding: the network as `embed` uses it against the bare torchvision network to its pooled
  features, in batches of 128.
- `torch.compile` against the step as it is, without a bar.

On a GPU peak memory and the share of the device's peak in bf16 are printed too.
"""

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torchvision
from _plain import PlainCMMANet, plain_step
from _report import Bar, describe, report, side_by_side, times_as_fast
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from cmmanet.clips.normalise import normalise
from cmmanet.evaluation.folding import fold_batch_norms, for_inference
from cmmanet.evaluation.frame_batches import BATCH
from cmmanet.geometry import View
from cmmanet.model.network import CMMANet
from cmmanet.training.device import (
    Runtime,
    choose_device,
    choose_precision,
    default_workers,
    precision_name,
)
from cmmanet.training.logbook import Listener
from cmmanet.training.loop import train
from cmmanet.training.processes import Processes
from cmmanet.training.step import train_step

IDENTITIES, CLIPS_EACH, FRAMES = 7, 4, 6
CLIPS = IDENTITIES * CLIPS_EACH
PEOPLE = 625  # MARS's training identities
VIEWS = {"resnet18": View(128, 64), "resnet50": View(256, 128)}
CLIP: Any = SimpleNamespace(frames=FRAMES, flip=True, erase=0.0)
LOSSES: Any = SimpleNamespace(
    identity=1.0,
    smoothing=0.0,
    triplet=1.0,
    margin=0.3,
    diversity=0.1,
    diversity_form="eq8",
    concentration=0.1,
)
# Dense bf16 without sparsity, from the data sheets.
PEAK_FLOPS = {"A100": 312e12, "H100": 989e12, "H200": 989e12}

Step = Callable[[], object]


def random_batch(backbone: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Clips of noise as the data set gives them, and their labels."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(
        0, 256, (CLIPS, FRAMES, *VIEWS[backbone], 3), dtype=torch.uint8, generator=generator
    )
    labels = torch.arange(IDENTITIES).repeat_interleave(CLIPS_EACH)
    return pixels.permute(0, 1, 4, 2, 3).to(device), labels.to(device)


def adam(network: nn.Module) -> torch.optim.Adam:
    """The optimiser of every step here."""
    return torch.optim.Adam(network.parameters(), lr=3.5e-4, weight_decay=5e-4, fused=True)


def our_network(backbone: Any, device: torch.device) -> CMMANet:
    """The paper's network with random weights, laid out as `train` does."""
    torch.manual_seed(0)
    network = CMMANet(backbone, PEOPLE, mam_after=(3, 4)).to(device)
    return network.to(memory_format=torch.channels_last).train()


def bare_network(backbone: str, device: torch.device) -> nn.Module:
    """Torchvision's own network, laid out alike."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(backbone, weights=None, num_classes=PEOPLE).to(device)
    return network.to(memory_format=torch.channels_last).train()


def our_step(network: CMMANet, precision: torch.dtype, clips: Tensor, labels: Tensor) -> Step:
    """The step to be measured."""
    optimiser, processes = adam(network), Processes(clips.device)
    runtime = Runtime(clips.device, precision, workers=0)
    return lambda: train_step(
        network,
        optimiser,
        clips,
        labels,
        weights=LOSSES,
        runtime=runtime,
        processes=processes,
    )


def bare_step(network: nn.Module, precision: torch.dtype, clips: Tensor, labels: Tensor) -> Step:
    """Its reference: cross-entropy of every frame."""
    optimiser, frame_labels = adam(network), labels.repeat_interleave(FRAMES)

    def step() -> None:
        with torch.autocast(clips.device.type, precision, enabled=precision != torch.float32):
            logits = network(normalise(clips).flatten(0, 1))
        loss = cross_entropy(logits.float(), frame_labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def measure_step(
    backbone: str, device: torch.device, precision: torch.dtype, rounds: int, warm_up: int = 1
) -> float:
    """Frames a second of ours relative to the bare network's."""
    clips, labels = random_batch(backbone, device)
    ours = our_step(our_network(backbone, device), precision, clips, labels)
    bare = bare_step(bare_network(backbone, device), precision, clips, labels)
    seconds = side_by_side({"ours": ours, "bare": bare}, rounds, device, warm_up)
    rate = {name: CLIPS * FRAMES / statistics.median(value) for name, value in seconds.items()}
    ratio = times_as_fast(seconds, "ours", "bare")
    print(
        f"step {backbone} {precision_name(precision)}: {rate['ours']:.1f} frames/s, bare "
        f"{rate['bare']:.1f}: {ratio:.3f}"
    )
    if device.type == "cuda":
        memory = {}
        for name, step in (("ours", ours), ("bare", bare)):
            torch.cuda.reset_peak_memory_stats(device)
            step()
            memory[name] = torch.cuda.max_memory_allocated(device) / 1e9
        with FlopCounterMode(display=False) as counter:
            ours()
        flops = counter.get_total_flops() / statistics.median(seconds["ours"])
        name = torch.cuda.get_device_name(device)
        peak = next((value for key, value in PEAK_FLOPS.items() if key in name), None)
        share = "unknown" if peak is None else f"{flops / peak:.1%}"
        print(
            f"  peak memory {memory['ours']:.1f} GB, bare {memory['bare']:.1f} GB; "
            f"{flops / 1e12:.1f} TFLOP/s, {share} of the bf16 peak"
        )
    return ratio


def copy_weights(network: CMMANet, plain: PlainCMMANet) -> None:
    """Give the plain network the same weights."""
    state = {key.split(".", 2)[2]: v for key, v in network.backbone.state_dict().items()}
    plain.resnet.load_state_dict(
        state | {f"fc.{key}": value for key, value in network.classifier.state_dict().items()}
    )
    for stage, mam in (("3", plain.mam3), ("4", plain.mam4)):
        ours: Any = network.mams[stage]
        count = len(mam.submodules)
        parts = (ours.reduce.weight, ours.reduce.bias, ours.respond.weight)
        for submodule, weight, bias, respond in zip(
            mam.submodules, *(part.chunk(count) for part in parts), strict=True
        ):
            submodule.load_state_dict({"0.weight": weight, "0.bias": bias, "2.weight": respond})


def measure_plain(
    backbone: str, device: torch.device, precision: torch.dtype, rounds: int, warm_up: int = 1
) -> float:
    """How many times as fast as the plain step ours is; both give the same loss first."""
    clips, labels = random_batch(backbone, device)
    network = our_network(backbone, device)
    plain = PlainCMMANet(backbone, PEOPLE, 4, 256).to(device).train()
    contiguous, plain_adam = clips.contiguous(), adam(plain)
    if warm_up:
        copy_weights(network, plain)
        _, record = our_step(network, torch.float32, clips, labels)()  # type: ignore[misc]
        loss = plain_step(plain, plain_adam, contiguous, labels)
        torch.testing.assert_close(record["loss"], loss, rtol=1e-3, atol=1e-3)
    seconds = side_by_side(
        {
            "ours": our_step(network, precision, clips, labels),
            "plain": lambda: plain_step(plain, plain_adam, contiguous, labels),
        },
        rounds,
        device,
        warm_up,
    )
    times = times_as_fast(seconds, "ours", "plain")
    plainly, own = (statistics.median(seconds[name]) for name in ("plain", "ours"))
    print(
        f"plain {backbone}: {plainly:.2f} s a step, ours {precision_name(precision)} {own:.2f} s: "
        f"{times:.1f} × as fast"
    )
    return times


def run_training(
    backbone: str, dataset: Any, device: torch.device, precision: torch.dtype, iterations: int
) -> float:
    """Seconds of an iteration of `train`, the first two aside."""
    plan: Any = SimpleNamespace(
        precision=precision_name(precision),
        optimiser=SimpleNamespace(lr=3.5e-4, weight_decay=5e-4),
        schedule=SimpleNamespace(iterations=iterations + 2, warmup=0, milestones=()),
        clip=CLIP,
        batch=SimpleNamespace(identities=IDENTITIES, clips=CLIPS_EACH),
        sampling=SimpleNamespace(kind="random_interval", max_interval=8, draw="epoch", start="any"),
        losses=LOSSES,
        model=SimpleNamespace(mam_after=(3, 4)),
        compile=False,
    )
    ends: list[float] = []
    listener = Listener(
        begin=lambda done, history: None,
        look=lambda look: ends.append(time.perf_counter()),
        epoch=lambda means: None,
        say=print,
    )
    with tempfile.TemporaryDirectory() as folder:
        train(
            plan,
            our_network(backbone, device),
            dataset,
            seed=0,
            processes=Processes(device),
            workers=default_workers(),
            checkpoints=Path(folder),
            listener=listener,
        )
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        ends[-1] = time.perf_counter()
    return (ends[-1] - ends[1]) / iterations


def measure_training(
    backbone: str, device: torch.device, precision: torch.dtype, iterations: int, rounds: int
) -> float | None:
    """Speed of `train`, reading a zip, relative to the step alone."""
    if importlib.util.find_spec("simplejpeg") is None:
        print(f"training {backbone}: skipped, as simplejpeg is not there to decode")
        return None
    import frames
    from _pictures import encode, picture

    from cmmanet.clips.batches import epoch_batches
    from cmmanet.clips.dataset import ClipDataset
    from cmmanet.clips.sampling import RandomInterval
    from cmmanet.datasets.tracklets import TRAIN, Tracklets

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
            CLIP,
            VIEWS[backbone],
        )
        requests = epoch_batches(
            dataset.pid,
            identities=IDENTITIES,
            clips=CLIPS_EACH,
            sampler=RandomInterval(8, "epoch", "any"),
            seed=0,
            epoch=0,
        ).batches
        batch = dataset.__getitems__(requests[0])
        step = our_step(
            our_network(backbone, device),
            precision,
            batch.clips.to(device),
            batch.labels.to(device),
        )
        alone, whole = [], []
        for _ in range(rounds):
            whole.append(run_training(backbone, dataset, device, precision, iterations))
            alone.append(_mean_seconds(step, iterations, device))
    ratio = statistics.median(alone) / statistics.median(whole)
    print(
        f"training {backbone} {precision_name(precision)}, {default_workers()} workers: "
        f"{CLIPS * FRAMES / statistics.median(whole):.1f} frames/s, the step alone "
        f"{CLIPS * FRAMES / statistics.median(alone):.1f}: {ratio:.3f}"
    )
    return ratio


def _mean_seconds(step: Step, iterations: int, device: torch.device) -> float:
    """As `run_training` measures: over many, after two, waiting for the device at the end."""
    for call in range(iterations + 2):
        if call == 2:
            _wait(device)
            start = time.perf_counter()
        step()
    _wait(device)
    return (time.perf_counter() - start) / iterations


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def adapted_network(backbone: str, device: torch.device) -> CMMANet:
    """Our network in evaluation mode, with running statistics of real maps."""
    network = our_network(backbone, device)
    clips, _ = random_batch(backbone, device)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean of all there were
    with torch.no_grad():
        network.frame_features(normalise(clips[:8].flatten(0, 1)))
    return network.eval()


@torch.inference_mode()
def measure_embedding(
    backbone: str, device: torch.device, precision: torch.dtype, rounds: int
) -> float:
    """Frames a second of ours relative to the bare network's, and what folding changes."""
    clips, _ = random_batch(backbone, device)
    pixels = clips.flatten(0, 1)[:BATCH]
    network = adapted_network(backbone, device)
    ours = for_inference(network, precision)
    bare = bare_network(backbone, device).eval()
    bare.fc = nn.Identity()

    def features(module: Callable[[Tensor], Tensor], type_: torch.dtype) -> Tensor:
        with torch.autocast(device.type, type_, enabled=type_ != torch.float32):
            return module(normalise(pixels))

    reference = features(network.frame_features, torch.float32)
    for label, module, type_ in (
        ("folded fp32", fold_batch_norms(network), torch.float32),
        ("unfolded bf16", network, torch.bfloat16),
        ("folded bf16", for_inference(network, torch.bfloat16), torch.bfloat16),
    ):
        difference = 1 - cosine_similarity(
            features(module.frame_features, type_).double(), reference.double()
        )
        print(
            f"  {backbone} {label} against unfolded fp32: cosine distance at most "
            f"{difference.max():.1e}"
        )
    seconds = side_by_side(
        {
            "ours": lambda: features(ours.frame_features, precision),
            "unfolded": lambda: features(network.frame_features, precision),
            "bare": lambda: features(bare, precision),
        },
        rounds,
        device,
    )
    rate = {name: BATCH / statistics.median(value) for name, value in seconds.items()}
    ratio = times_as_fast(seconds, "ours", "bare")
    unfolded = times_as_fast(seconds, "unfolded", "bare")
    print(
        f"embedding {backbone} {precision_name(precision)}: {rate['ours']:.1f} frames/s, bare "
        f"{rate['bare']:.1f}: {ratio:.3f} (not folded: {unfolded:.3f})"
    )
    return ratio


def measure_compile(
    backbone: str, device: torch.device, precision: torch.dtype, rounds: int
) -> None:
    """Print the first step's seconds with `torch.compile`, and its speed after."""
    clips, labels = random_batch(backbone, device)
    eager = our_step(our_network(backbone, device), precision, clips, labels)
    network = our_network(backbone, device)
    network.compile()
    compiled = our_step(network, precision, clips, labels)
    eager()
    start = time.perf_counter()
    compiled()
    _wait(device)
    first = time.perf_counter() - start
    seconds = side_by_side({"eager": eager, "compiled": compiled}, rounds, device)
    print(
        f"compile {backbone} {precision_name(precision)}: first step {first:.0f} s, then "
        f"{times_as_fast(seconds, 'compiled', 'eager'):.3f} × as fast as without"
    )


def main() -> None:
    """Measure everything and hold it against the bars."""
    device = choose_device()
    precision = choose_precision("auto", device)
    cuda = device.type == "cuda"
    print(f"{describe(device)}; {CLIPS} clips × {FRAMES} frames; medians, taking turns")
    few, many = (30, 50) if cuda else (4, 9)
    bars = []
    for backbone, rounds, required in (("resnet18", many, 0.92), ("resnet50", few, 0.88)):
        ratio = measure_step(backbone, device, precision, rounds)
        bars.append(Bar(f"step {backbone}: frames/s, ratio to the bare network", required, ratio))
        # Twenty seconds a step on two cores.
        if precision != torch.float32 and (cuda or backbone == "resnet18"):
            measure_step(backbone, device, torch.float32, few)
    for backbone, rounds, warm_up in (("resnet18", few, 1), ("resnet50", few if cuda else 1, 0)):
        times = measure_plain(backbone, device, precision, rounds, warm_up)
        bars.append(Bar(f"step {backbone}: × as fast as written plainly", 2, times))
    trained = measure_training("resnet18", device, precision, 400 if cuda else 8, 2)
    bars.append(Bar("training resnet18 from a zip: ratio to the step alone", 0.9, trained))
    if cuda:
        measure_training("resnet50", device, precision, 400, 2)
    for backbone, rounds in (("resnet18", many), ("resnet50", few)):
        ratio = measure_embedding(backbone, device, precision, rounds)
        bars.append(Bar(f"embedding {backbone}: frames/s, ratio to the bare network", 0.95, ratio))
    measure_compile("resnet18", device, precision, many)
    report("train_step", device, bars)


if __name__ == "__main__":
    main()
