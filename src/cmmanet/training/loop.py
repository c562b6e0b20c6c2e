"""The training loop: one arm, one trial."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cmmanet.clips.batches import ClipRequest, Epoch, epoch_batches, epoch_length
from cmmanet.clips.dataset import ClipBatch, ClipDataset
from cmmanet.model.network import CMMANet
from cmmanet.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from cmmanet.training.device import choose_precision, deterministic
from cmmanet.training.processes import Processes, distribute
from cmmanet.training.schedule import learning_rate
from cmmanet.training.step import attention_record, train_step

if TYPE_CHECKING:
    from cmmanet.params import ArmPlan

# Seconds between two looks at the losses: each look waits for the device.
LOOK_EVERY = 1.0

# Seconds between two checkpoints, and so the most that is lost.
SAVE_EVERY = 120.0


class TrainingError(ValueError):
    """A training that cannot go on."""


@dataclass(frozen=True)
class Look:
    """How a training stands: the record of its last step, and frames a second since the last look.

    No numbers where a look would have to wait for the device.
    """

    iteration: int
    record: dict[str, float] | None = None
    frames_per_second: float = 0.0


@dataclass(frozen=True)
class Listener:
    """What a training tells, in the main process only.

    Attributes:
        begin: called once with the number of iterations done and the history so far: both
            empty unless an interrupted training goes on.
        look: called after each iteration.
        epoch: called with each epoch's means and the attention statistics of its last batch.
        say: called with a line for people.
    """

    begin: Callable[[int, list[dict[str, float]]], None]
    look: Callable[[Look], None]
    epoch: Callable[[dict[str, float]], None]
    say: Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """A trained network in evaluation mode, and how it came to be.

    Attributes:
        network: as the last iteration left it.
        history: the means of each epoch.
        nondeterministic: operations for which the device has no deterministic kernel.
    """

    network: CMMANet
    history: list[dict[str, float]]
    nondeterministic: list[str]


def train(
    plan: ArmPlan,
    network: CMMANet,
    dataset: ClipDataset,
    *,
    seed: int,
    processes: Processes,
    workers: int,
    checkpoints: Path,
    save_every: float = SAVE_EVERY,
    listener: Listener,
) -> Trained:
    """Train `network` for the plan's number of iterations; the last state is the result.

    The same seed gives the same bits on the same machine with any number of workers, and however
    often the training was interrupted: it goes on from the newest whole checkpoint in the
    folder `checkpoints`, which must belong to this very training. A checkpoint that cannot be
    written is told, and training goes on.

    Raises:
        TrainingError: for a loss that is not finite, with its term and iteration.
        ValueError: if a batch wants more identities than the split has, or cannot be shared by
            the processes.
        DecodeError: for a frame that does not decode.
    """
    device = processes.device
    network = network.to(device).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.Adam(
        network.parameters(),
        lr=plan.optimiser.lr,
        weight_decay=plan.optimiser.weight_decay,
        fused=device.type != "mps",
    )
    found = load_checkpoint(checkpoints, listener.say) if processes.main else None
    state = processes.agree(found) or Checkpoint(0, {}, {}, {}, 0.0, [])
    if state.iteration:
        network.load_state_dict(state.network)
        optimiser.load_state_dict(state.optimiser)
    history = list(state.history)
    sums = {name: value.to(device) for name, value in state.sums.items()}
    if processes.main:
        listener.begin(state.iteration, history)
        if processes.count > 1 and device.type != "cuda":
            listener.say(
                "warning: batch normalisation is synchronised on CUDA only: each process takes "
                "its own share's statistics, so that numbers depend on the number of processes"
            )

    if plan.compile:
        network.compile()
    trained = distribute(network, processes, unused=plan.losses.identity == 0)
    precision = choose_precision(plan.precision, device)
    clips = plan.batch.identities * plan.batch.clips
    length = epoch_length(len(dataset), clips)
    epochs: dict[int, Epoch] = {}
    requests = _requests(plan, dataset, seed, state.iteration, epochs)
    shared = _Shared(dataset, processes.share(clips))

    # Of the epoch under way, of the looks, and of the checkpoints.
    started = time.perf_counter() - state.seconds
    looked, looked_at = state.iteration, time.perf_counter()
    saved_at = time.perf_counter()
    with deterministic(device) as nondeterministic:
        for done, batch in enumerate(
            _loader(requests, shared, device, workers), start=state.iteration + 1
        ):
            rate = learning_rate(plan.optimiser, plan.schedule, done - 1)
            optimiser.param_groups[0]["lr"] = rate
            output, record = train_step(
                trained,
                optimiser,
                batch.clips.to(device, non_blocking=True),
                batch.labels.to(device, non_blocking=True),
                weights=plan.losses,
                precision=precision,
                processes=processes,
            )
            if not processes.main:
                continue
            for name, value in record.items():
                sums[name] = sums[name] + value if name in sums else value

            finished = done == plan.schedule.iterations
            epoch, before = divmod(done - 1, length)
            now = time.perf_counter()
            save = now - saved_at >= save_every and not finished
            if finished or save or before + 1 == length or now - looked_at >= LOOK_EVERY:
                _check_finite(sums, done)  # waits for the device
                now = time.perf_counter()
                rate_now = (done - looked) * clips * plan.clip.frames / (now - looked_at)
                listener.look(Look(done, _numbers(record), rate_now))
                looked, looked_at = done, now
            else:
                listener.look(Look(done))
            if finished or before + 1 == length:
                planned = epochs.pop(epoch)
                seconds = now - started
                attention = attention_record(output, plan.model.mam_after)
                means = {
                    "epoch": epoch,
                    "iterations": done,
                    "lr": rate,
                    **{name: value / (before + 1) for name, value in _numbers(sums).items()},
                    **_numbers(attention),
                    **({} if planned.interval is None else {"interval": planned.interval}),
                    "repeated_clips": planned.repeated_clips,
                    "seconds": seconds,
                    "frames_per_second": (before + 1) * clips * plan.clip.frames / seconds,
                }
                history.append(means)
                listener.epoch(means)
                sums, started = {}, time.perf_counter()
            if save:
                _save(checkpoints, done, network, optimiser, sums, started, history, listener)
                saved_at = time.perf_counter()
    return Trained(network.eval(), history, sorted(nondeterministic))


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
    plan: ArmPlan, dataset: ClipDataset, seed: int, done: int, epochs: dict[int, Epoch]
) -> Iterator[list[ClipRequest]]:
    """The requests of the iterations still to do, epoch after epoch, for one loader to serve.

    Each epoch planned is put into `epochs`.
    """
    iterations = plan.schedule.iterations
    while done < iterations:
        length = epoch_length(len(dataset), plan.batch.identities * plan.batch.clips)
        epoch, first = divmod(done, length)
        epochs[epoch] = plan_epoch(plan, dataset, seed, epoch)
        batches = epochs[epoch].batches[first : first + iterations - done]
        yield from batches
        done += len(batches)


class _Shared(Dataset[ClipBatch]):
    """Of each batch this process's clips, and the labels of all."""

    def __init__(self, dataset: ClipDataset, share: slice) -> None:
        self._dataset = dataset
        self._share = share

    def __getitems__(self, requests: list[ClipRequest]) -> ClipBatch:
        own = self._dataset.__getitems__(requests[self._share])
        return ClipBatch(own.clips, self._dataset.labels(requests))


def _loader(
    requests: Iterator[list[ClipRequest]], dataset: _Shared, device: torch.device, workers: int
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


def _numbers(tensors: dict[str, Tensor]) -> dict[str, float]:
    """Their values; the device is waited for once, not once a tensor."""
    values = torch.stack([value.float() for value in tensors.values()]).tolist() if tensors else []
    return dict(zip(tensors, values, strict=True))


def _check_finite(sums: dict[str, Tensor], iteration: int) -> None:
    for name, value in _numbers(sums).items():
        if name.startswith("loss") and not math.isfinite(value):
            raise TrainingError(
                f"{name} is {value} at or shortly before iteration {iteration}: the "
                "training has diverged; lower optimiser.lr, or set precision to fp32"
            )


def _save(
    folder: Path,
    done: int,
    network: CMMANet,
    optimiser: torch.optim.Optimizer,
    sums: dict[str, Tensor],
    started: float,
    history: list[dict[str, float]],
    listener: Listener,
) -> None:
    checkpoint = Checkpoint(
        iteration=done,
        network=network.state_dict(),
        optimiser=optimiser.state_dict(),
        sums=sums,
        seconds=time.perf_counter() - started,
        history=history,
    )
    try:
        save_checkpoint(folder, checkpoint)
    except OSError as error:
        # Hours of training are worth more than their safety copy.
        listener.say(
            f"warning: no checkpoint of iteration {done} in {folder} ({error}); training goes on, "
            "and an interruption would lose what was done since the last"
        )
