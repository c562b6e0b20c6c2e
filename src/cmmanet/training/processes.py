"""One training by several processes, whose losses see the whole batch.

Each process takes an equal share of a batch's clips through the network. What the network says of
them is then gathered, so that every process computes the losses of the whole batch: the triplet is
mined among all clips, as one process would.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from cmmanet.model.network import ClipOutput
from cmmanet.training.device import choose_device, prepare_device

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    device: torch.device
    index: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the one that reads and writes files, and speaks."""
        return self.index == 0

    def share(self, clips: int) -> slice:
        """This process's clips of a batch.

        Raises:
            ValueError: if the batch cannot be shared equally.
        """
        if clips % self.count:
            raise ValueError(
                f"{self.count} processes cannot share a batch of {clips} clips equally: start as "
                "many as divide it, or change recipes.<recipe>.batch"
            )
        own = clips // self.count
        return slice(self.index * own, (self.index + 1) * own)

    def agree(self, value: Value) -> Value:
        """The main process's value, in all of them."""
        if self.count == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Meet the other processes that `accelerate launch` or `torchrun` started, if any."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Processes(choose_device())
        return
    # Seconds to import, for those who need it.
    from accelerate import PartialState

    # Left to itself it takes processes without a GPU for as many trainings of their own.
    state = PartialState(cpu=not torch.cuda.is_available())
    prepare_device(state.device)
    try:
        yield Processes(state.device, state.process_index, state.num_processes)
    finally:
        state.destroy_process_group()


def gather_output(output: ClipOutput, processes: Processes) -> ClipOutput:
    """The whole batch's output, of which this process's share alone has gradients.

    Every process computes the same losses from it, so that the sum of their gradients is the
    gradient of the batch's loss. DistributedDataParallel takes the mean: multiply the loss by
    `processes.count`.
    """
    if processes.count == 1:
        return output
    return ClipOutput(
        _gather(output.features, processes),
        _gather(output.logits, processes),
        [_gather(log, processes) for log in output.log_attention],
    )


def _gather(values: Tensor, processes: Processes) -> Tensor:
    own = values.detach().contiguous()
    parts = [torch.empty_like(own) for _ in range(processes.count)]
    distributed.all_gather(parts, own)
    parts[processes.index] = values
    return torch.cat(parts)


def distribute(network: nn.Module, processes: Processes) -> nn.Module:
    """The network as all processes train it, with the weights of the main one.

    On CUDA, batch normalisation is synchronised; SyncBatchNorm does not know the CPU.
    """
    if processes.count == 1:
        return network
    if processes.device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    # Where some might be unused, gradients keep their order of summation from the first step on.
    # Otherwise it changes after that step, and so do the bits of a training that is resumed.
    return nn.parallel.DistributedDataParallel(network, find_unused_parameters=True)
