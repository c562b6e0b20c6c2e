"""The training loop: one run of one arm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset

from cmmanet.clips.batches import ClipRequest, Epoch, epoch_batches, epoch_length
from cmmanet.clips.dataset import ClipBatch, ClipDataset
from cmmanet.clips.sampling import make_sampler
from cmmanet.model.network import CMMANet
from cmmanet.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from cmmanet.training.device import Runtime, choose_precision, deterministic
from cmmanet.training.loading import load_batches
from cmmanet.training.logbook import Listener, Logbook, check_weights
from cmmanet.training.processes import Processes, distribute
from cmmanet.training.schedule import learning_rate
from cmmanet.training.step import train_step

if TYPE_CHECKING:
    from cmmanet.params import ArmPlan

# Seconds between two checkpoints, and so the most that is lost.
SAVE_EVERY = 120.0


@dataclass(frozen=True)
class Trained:
    """A trained network and the record of its run.

    Attributes:
        network: in the state after the last iteration, in evaluation mode.
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
    often the run was interrupted: it goes on from the newest whole checkpoint in the folder
    `checkpoints`, which must belong to the same run. A checkpoint that cannot be written is
    reported, and training goes on.

    Raises:
        TrainingError: for a loss or a weight that is not finite, with its name and iteration.
        ValueError: if a batch needs more identities than the split has, or cannot be shared by
            the processes.
        DecodeError: for a frame that does not decode.
    """
    device = processes.device
    runtime = Runtime(device, choose_precision(plan.precision, device), workers)
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
    length = epoch_length(len(dataset), plan.batch.identities * plan.batch.clips)
    logbook = Logbook(plan, length, state, listener, device)
    if processes.main:
        listener.begin(state.iteration, logbook.history)
        if processes.count > 1 and device.type != "cuda":
            listener.say(
                "warning: batch normalisation is synchronised on CUDA only: each process uses the "
                "statistics of its own share, so results depend on the number of processes"
            )

    trained = distribute(network, processes)
    epochs: dict[int, Epoch] = {}
    requests = _requests(plan, dataset, seed, state.iteration, epochs)
    shared = _Shared(dataset, processes.share(plan.batch.identities * plan.batch.clips))
    loader = load_batches(shared, runtime, prefetch=4, batch_sampler=requests)
    with deterministic(device) as nondeterministic:
        for done, batch in enumerate(loader, start=state.iteration + 1):
            rate = learning_rate(plan.optimiser, plan.schedule, done - 1)
            optimiser.param_groups[0]["lr"] = rate
            output, record = train_step(
                trained,
                optimiser,
                batch.clips.to(device, non_blocking=True),
                batch.labels.to(device, non_blocking=True),
                weights=plan.losses,
                runtime=runtime,
                processes=processes,
            )
            epoch = (done - 1) // length
            if processes.main:
                logbook.enter(done, output, record, rate, epochs[epoch])
                checkpoint = logbook.checkpoint(done, network, optimiser, save_every)
                if checkpoint is not None:
                    _save(checkpoints, checkpoint, listener)
            if done % length == 0:
                del epochs[epoch]
    if processes.main:
        check_weights(network, plan.schedule.iterations)
    return Trained(network.eval(), logbook.history, sorted(nondeterministic))


def plan_epoch(plan: ArmPlan, dataset: ClipDataset, seed: int, epoch: int) -> Epoch:
    """Plan the clips of one epoch of a run."""
    return epoch_batches(
        dataset.pid.tolist(),
        identities=plan.batch.identities,
        clips=plan.batch.clips,
        sampler=make_sampler(**vars(plan.sampling)),
        seed=seed,
        epoch=epoch,
    )


def _requests(
    plan: ArmPlan, dataset: ClipDataset, seed: int, done: int, epochs: dict[int, Epoch]
) -> Iterator[list[ClipRequest]]:
    """Yield the requests of each iteration still to do, epoch after epoch, for a single loader.

    Each planned epoch is added to `epochs`.
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
    """Batches of this process's clips, with the labels of all clips."""

    def __init__(self, dataset: ClipDataset, share: slice) -> None:
        self._dataset = dataset
        self._share = share

    def __getitems__(self, requests: list[ClipRequest]) -> ClipBatch:
        own = self._dataset.__getitems__(requests[self._share])
        return ClipBatch(own.clips, self._dataset.labels(requests))


def _save(folder: Path, checkpoint: Checkpoint, listener: Listener) -> None:
    try:
        save_checkpoint(folder, checkpoint)
    except OSError as error:
        # Hours of training are worth more than their checkpoint.
        listener.say(
            f"warning: no checkpoint of iteration {checkpoint.iteration} in {folder} ({error}); "
            "training goes on, and an interruption would lose everything since the last checkpoint"
        )
