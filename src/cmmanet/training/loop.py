"""The training loop: one arm, one trial."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cmmanet.clips.batches import ClipRequest, Epoch, epoch_batches
from cmmanet.clips.dataset import ClipBatch, ClipDataset
from cmmanet.model.network import CMMANet
from cmmanet.training.device import choose_precision
from cmmanet.training.processes import Processes
from cmmanet.training.schedule import learning_rate
from cmmanet.training.step import attention_record, train_step

if TYPE_CHECKING:
    from cmmanet.params import ArmPlan

# Iterations between two looks at the loss: each look waits for the device.
LOOK_EVERY = 25

OnEpoch = Callable[[dict[str, float]], None]
OnIteration = Callable[[int, float | None], None]


class TrainingError(ValueError):
    """A training that cannot go on."""


def train(
    plan: ArmPlan,
    network: CMMANet,
    dataset: ClipDataset,
    *,
    seed: int,
    device: torch.device,
    workers: int,
    on_epoch: OnEpoch,
    on_iteration: OnIteration,
) -> CMMANet:
    """Train `network` for the plan's number of iterations; the last state is the result.

    `on_epoch` gets each epoch's means, and the attention statistics of its last batch;
    `on_iteration` the number of iterations done and, now and then, the current loss.

    Raises:
        TrainingError: for a loss that is not finite, with its term and iteration.
        ValueError: if a batch wants more identities than the split has.
        DecodeError: for a frame that does not decode.
    """
    network = network.to(device).to(memory_format=torch.channels_last).train()
    precision = choose_precision(plan.precision, device)
    optimiser = torch.optim.Adam(
        network.parameters(),
        lr=plan.optimiser.lr,
        weight_decay=plan.optimiser.weight_decay,
        fused=device.type != "mps",
    )
    iterations = plan.schedule.iterations
    first_epoch = plan_epoch(plan, dataset, seed, 0)
    length = len(first_epoch.batches)
    loader = _loader(_requests(plan, dataset, seed, iterations), dataset, device, workers)

    epoch = first_epoch
    sums: dict[str, Tensor] = {}
    started = time.perf_counter()
    for iteration, batch in enumerate(loader):
        in_epoch = iteration % length
        if in_epoch == 0:
            epoch = plan_epoch(plan, dataset, seed, iteration // length)
        rate = learning_rate(plan.optimiser, plan.schedule, iteration)
        optimiser.param_groups[0]["lr"] = rate
        output, record = train_step(
            network,
            optimiser,
            batch.clips.to(device, non_blocking=True),
            batch.labels.to(device, non_blocking=True),
            weights=plan.losses,
            precision=precision,
            processes=Processes(device),
        )
        for name, value in record.items():
            sums[name] = sums[name] + value if name in sums else value

        done = iteration + 1
        last = in_epoch == length - 1 or done == iterations
        look = last or done % LOOK_EVERY == 0
        if look:
            _check_finite(record, sums, done)
        on_iteration(done, float(record["loss"]) if look else None)
        if last:
            count = in_epoch + 1
            seconds = time.perf_counter() - started
            means = {name: float(value) / count for name, value in sums.items()}
            attention = attention_record(output, plan.model.mam_after)
            on_epoch(
                {
                    "epoch": iteration // length,
                    "iterations": done,
                    "lr": rate,
                    **means,
                    **{name: float(value) for name, value in attention.items()},
                    **({} if epoch.interval is None else {"interval": epoch.interval}),
                    "repeated_clips": epoch.repeated_clips,
                    "seconds": seconds,
                    "frames_per_second": count
                    * batch.clips.shape[0]
                    * batch.clips.shape[1]
                    / seconds,
                }
            )
            sums = {}
            started = time.perf_counter()
    return network.eval()


def plan_epoch(plan: ArmPlan, dataset: ClipDataset, seed: int, epoch: int) -> Epoch:
    """The requests of one epoch of the arm's training."""
    sampling = plan.sampling
    return epoch_batches(
        dataset.pid.tolist(),
        identities=plan.batch.identities,
        clips=plan.batch.clips,
        max_interval=sampling.max_interval if sampling.kind == "random_interval" else None,
        seed=seed,
        epoch=epoch,
    )


def _requests(
    plan: ArmPlan, dataset: ClipDataset, seed: int, iterations: int
) -> Iterator[list[ClipRequest]]:
    """The requests of the whole training, epoch after epoch, for one loader to serve."""
    epoch = 0
    while iterations > 0:
        batches = plan_epoch(plan, dataset, seed, epoch).batches[:iterations]
        yield from batches
        iterations -= len(batches)
        epoch += 1


def _loader(
    requests: Iterator[list[ClipRequest]], dataset: ClipDataset, device: torch.device, workers: int
) -> DataLoader[ClipBatch]:
    return DataLoader(
        dataset,
        batch_sampler=requests,
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # else it draws from the global one
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _check_finite(record: dict[str, Tensor], sums: dict[str, Tensor], iteration: int) -> None:
    for name, value in {**sums, **record}.items():
        if name.startswith("loss") and not math.isfinite(float(value)):
            raise TrainingError(
                f"{name} is {float(value)} at or shortly before iteration {iteration}: the "
                "training has diverged; lower optimiser.lr, or set precision to fp32"
            )
