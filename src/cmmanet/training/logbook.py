"""What is kept and told of a training while it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cmmanet.clips.batches import Epoch
from cmmanet.model.network import ClipOutput
from cmmanet.training.checkpoint import Checkpoint
from cmmanet.training.step import attention_record

if TYPE_CHECKING:
    from cmmanet.params import ArmPlan

# Seconds between two looks at the losses: each look waits for the device.
LOOK_EVERY = 1.0

_DIVERGED = "the training has diverged; lower optimiser.lr, or set precision to fp32"


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


class Logbook:
    """The main process's record of one training, from `state` on.

    Attributes:
        history: the means of each epoch.
    """

    def __init__(
        self,
        plan: ArmPlan,
        length: int,
        state: Checkpoint,
        listener: Listener,
        device: torch.device,
    ) -> None:
        self.history = list(state.history)
        self._sums = {name: value.to(device) for name, value in state.sums.items()}
        self._plan = plan
        self._length = length
        self._frames = plan.batch.identities * plan.batch.clips * plan.clip.frames
        self._listener = listener
        now = time.perf_counter()
        self._epoch_started = now - state.seconds
        self._looked, self._looked_at = state.iteration, now
        self._saved_at = now

    def enter(
        self, done: int, output: ClipOutput, record: dict[str, Tensor], rate: float, epoch: Epoch
    ) -> None:
        """Take down iteration `done`, counted from 1.

        Raises:
            TrainingError: for a loss that is not finite, at the next look.
        """
        for name, value in record.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        last = done % self._length == 0 or done == self._plan.schedule.iterations
        if last or time.perf_counter() - self._looked_at >= LOOK_EVERY:
            self._look(done, record)
        else:
            self._listener.look(Look(done))
        if last:
            self._end_epoch(done, output, rate, epoch)

    def checkpoint(
        self,
        done: int,
        network: torch.nn.Module,
        optimiser: torch.optim.Optimizer,
        save_every: float,
    ) -> Checkpoint | None:
        """What to keep after iteration `done`, if it is time to, and worth keeping.

        Raises:
            TrainingError: for a loss or a weight that is not finite.
        """
        finished = done == self._plan.schedule.iterations
        if finished or time.perf_counter() - self._saved_at < save_every:
            return None
        _check_finite(self._sums, done)
        check_weights(network, done)
        self._saved_at = time.perf_counter()
        return Checkpoint(
            iteration=done,
            network=network.state_dict(),
            optimiser=optimiser.state_dict(),
            sums=self._sums,
            seconds=self._saved_at - self._epoch_started,
            history=self.history,
        )

    def _look(self, done: int, record: dict[str, Tensor]) -> None:
        _check_finite(self._sums, done)
        now = time.perf_counter()
        frames = (done - self._looked) * self._frames
        self._listener.look(Look(done, _numbers(record), frames / (now - self._looked_at)))
        self._looked, self._looked_at = done, now

    def _end_epoch(self, done: int, output: ClipOutput, rate: float, epoch: Epoch) -> None:
        number, before = divmod(done - 1, self._length)
        count = before + 1
        seconds = time.perf_counter() - self._epoch_started
        means = {
            "epoch": number,
            "iterations": done,
            "lr": rate,
            **{name: value / count for name, value in _numbers(self._sums).items()},
            **_numbers(attention_record(output, self._plan.model.mam_after)),
            **epoch.statistics,
            "repeated_clips": epoch.repeated_clips,
            "seconds": seconds,
            "frames_per_second": count * self._frames / seconds,
        }
        self.history.append(means)
        self._listener.epoch(means)
        self._sums, self._epoch_started = {}, time.perf_counter()


def _numbers(tensors: dict[str, Tensor]) -> dict[str, float]:
    """Their values; the device is waited for once, not once a tensor."""
    values = torch.stack([value.float() for value in tensors.values()]).tolist() if tensors else []
    return dict(zip(tensors, values, strict=True))


def check_weights(network: torch.nn.Module, iteration: int) -> None:
    """Raise TrainingError for weights or running statistics that are not finite.

    A loss tells of the weights before the last update only.
    """
    finite = {name: value.isfinite().all() for name, value in network.state_dict().items()}
    for name, whole in _numbers(finite).items():
        if not whole:
            raise TrainingError(f"{name} is not finite after iteration {iteration}: {_DIVERGED}")


def _check_finite(sums: dict[str, Tensor], iteration: int) -> None:
    for name, value in _numbers(sums).items():
        if name.startswith("loss") and not math.isfinite(value):
            raise TrainingError(
                f"{name} is {value} at or shortly before iteration {iteration}: {_DIVERGED}"
            )
