"""The networks and training steps that benchmarks compare, at the paper's batch.

Nothing here needs pydantic, dvc or mlflow.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks._plain import PlainCMMANet, plain_step
from benchmarks._report import wait
from cmmanet.clips.dataset import ClipDataset
from cmmanet.clips.normalise import normalise
from cmmanet.geometry import View
from cmmanet.model.network import CMMANet
from cmmanet.training.device import Runtime, precision_name
from cmmanet.training.logbook import Listener, Look
from cmmanet.training.loop import train
from cmmanet.training.processes import Processes
from cmmanet.training.step import train_step

PEOPLE = 625  # MARS's training identities


class Setting(NamedTuple):
    """A backbone, the size of its frames, and a batch: `identities` × `clips` of `frames`."""

    backbone: Any
    height: int
    width: int
    identities: int = 7
    clips: int = 4
    frames: int = 6

    @property
    def view(self) -> View:
        """Size of its frames."""
        return View(self.height, self.width)

    @property
    def clip(self) -> Any:
        """A clip as a recipe describes it."""
        return SimpleNamespace(frames=self.frames, flip=True, erase=0.0)

    @property
    def batch(self) -> int:
        """Frames in a batch."""
        return self.identities * self.clips * self.frames


RESNET18 = Setting("resnet18", 128, 64)
RESNET50 = Setting("resnet50", 256, 128)
TINY = Setting("resnet18", 128, 64, identities=2, clips=2, frames=2)

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

Step = Callable[[], Any]


def random_batch(setting: Setting, device: torch.device, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return clips of noise as the data set returns them, and their labels."""
    identities, clips = setting.identities, setting.clips
    shape = (identities * clips, setting.frames, setting.height, setting.width, 3)
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    labels = torch.arange(identities).repeat_interleave(clips)
    return pixels.permute(0, 1, 4, 2, 3).to(device), labels.to(device)


def adam(network: nn.Module) -> torch.optim.Adam:
    """The optimiser of every step here."""
    return torch.optim.Adam(network.parameters(), lr=3.5e-4, weight_decay=5e-4, fused=True)


def our_network(
    setting: Setting, device: torch.device, mam_after: tuple[int, ...] = (3, 4)
) -> CMMANet:
    """Return the paper's network with random weights, laid out as `train` does."""
    torch.manual_seed(0)
    network = CMMANet(setting.backbone, PEOPLE, mam_after=mam_after).to(device)
    return network.to(memory_format=torch.channels_last).train()


def bare_network(setting: Setting, device: torch.device) -> nn.Module:
    """Return torchvision's own network, laid out alike."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(setting.backbone, weights=None, num_classes=PEOPLE)
    return network.to(device, memory_format=torch.channels_last).train()


def plain_network(setting: Setting, device: torch.device) -> PlainCMMANet:
    """Return the network as one writes it down from the paper."""
    torch.manual_seed(0)
    return PlainCMMANet(setting.backbone, PEOPLE, 4, 256).to(device).train()


def our_step(network: CMMANet, precision: torch.dtype, clips: Tensor, labels: Tensor) -> Step:
    """Return the project's training step; it returns the output and the record."""
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
    """Return its reference: cross-entropy of every frame."""
    optimiser, frame_labels = adam(network), labels.repeat_interleave(clips.shape[1])

    def step() -> None:
        with torch.autocast(clips.device.type, precision, enabled=precision != torch.float32):
            logits = network(normalise(clips).flatten(0, 1))
        loss = cross_entropy(logits.float(), frame_labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def plain_step_of(network: PlainCMMANet, clips: Tensor, labels: Tensor) -> Step:
    """Return the plain step, in float32; it returns the loss."""
    contiguous, optimiser = clips.contiguous(), adam(network)
    return lambda: plain_step(network, optimiser, contiguous, labels)


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


def training_plan(setting: Setting, precision: str, iterations: int) -> Any:
    """Return what `train` reads of a plan: the paper's losses, its own sampling."""
    return SimpleNamespace(
        precision=precision,
        optimiser=SimpleNamespace(lr=2e-4, weight_decay=5e-4),
        schedule=SimpleNamespace(iterations=iterations, warmup=0, milestones=(iterations // 2,)),
        clip=setting.clip,
        batch=SimpleNamespace(identities=setting.identities, clips=setting.clips),
        sampling=SimpleNamespace(kind="random_interval", max_interval=8, draw="epoch", start="any"),
        losses=LOSSES,
        model=SimpleNamespace(mam_after=(3, 4)),
    )


def listener(look: Callable[[Look], None]) -> Listener:
    """Listen to the iterations of a training only."""
    return Listener(
        begin=lambda done, history: None, look=look, epoch=lambda means: None, say=print
    )


def seconds_per_iteration(
    setting: Setting,
    dataset: ClipDataset,
    device: torch.device,
    precision: torch.dtype,
    *,
    iterations: int,
    workers: int,
    skip: int = 2,
) -> float:
    """Time iterations of `train`, after `skip` others.

    Those start the decoding processes, and use up what they have decoded ahead.
    """
    times: list[float] = []

    def look(look: Look) -> None:
        if look.iteration == skip:
            wait(device)
        # At the last iteration the logbook has waited already.
        if look.iteration in (skip, skip + iterations):
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        train(
            training_plan(setting, precision_name(precision), skip + iterations),
            our_network(setting, device),
            dataset,
            seed=0,
            processes=Processes(device),
            workers=workers,
            checkpoints=Path(folder),
            listener=listener(look),
        )
    begin, end = times
    return (end - begin) / iterations
