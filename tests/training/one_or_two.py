"""The same training by one process, or by as many as `torchrun` starts.

    python tests/training/one_or_two.py DATA RESULT

Batch normalisation is frozen: on a CPU it is not synchronised.
"""

import os
import sys
from pathlib import Path

import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d
from training.small import listening, open_clips, plan_of

from cmmanet.training.build import build_network
from cmmanet.training.device import Runtime
from cmmanet.training.loop import Trained, plan_epoch, train
from cmmanet.training.processes import distribute, joined_processes
from cmmanet.training.step import train_step


def freeze(module: nn.Module) -> None:
    """Put fixed statistics in the place of batch normalisation."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features))
        else:
            freeze(child)


def main() -> None:
    """One step, for its gradients; then a training in one go, and one from a checkpoint."""
    data, result = map(Path, sys.argv[1:])
    plan = plan_of(
        batch__identities=2,
        batch__clips=3,
        schedule__iterations=7,
        schedule__milestones=[5],
        # Adam divides a gradient by its own size, and so turns one that is rounding error into a
        # whole step: at the usual rate, losses drift apart by 0.4 % in seven steps.
        optimiser__lr=1e-4,
    )
    clips = open_clips(data, repeat=5)
    with joined_processes() as processes:
        assert processes.count == int(os.environ.get("WORLD_SIZE", "1"))
        network = build_network(plan, len(clips.identities), 3, Path())
        freeze(network)
        requests = plan_epoch(plan, clips, 3, 0).batches[0]
        shared = distribute(network, processes)
        output, record = train_step(
            shared,
            torch.optim.SGD(network.parameters(), lr=0.0),
            clips.__getitems__(requests[processes.share(len(requests))]).clips,
            clips.labels(requests),
            weights=plan.losses,
            runtime=Runtime(processes.device, torch.float32, 0),
            processes=processes,
        )
        assert output.features.shape[0] == len(requests), "the losses see the whole batch"
        gradients = {name: value.grad for name, value in network.named_parameters()}

        begun: list[int] = []
        listener = listening(begin=lambda done, _: begun.append(done))

        def training(folder: str, iterations: int) -> Trained:
            network = build_network(plan, len(clips.identities), 3, Path())
            freeze(network)
            schedule = plan.schedule.model_copy(update={"iterations": iterations})
            return train(
                plan.model_copy(update={"schedule": schedule}),
                network,
                clips,
                seed=3,
                processes=processes,
                workers=1,
                checkpoints=result.with_suffix(folder),
                save_every=0 if iterations == 4 else 1000,
                listener=listener,
            )

        training(".interrupted", 4)
        resumed = training(".interrupted", 7)
        whole = training(".whole", 7)
        if processes.main:
            assert begun == [0, 3, 0], "the last iteration leaves no checkpoint"
            for name, value in whole.network.state_dict().items():
                assert torch.equal(value, resumed.network.state_dict()[name]), name
            history = [
                {name: value for name, value in means.items() if "loss" in name}
                for means in whole.history
            ]
            torch.save((record, gradients, history, whole.network.state_dict()), result)


if __name__ == "__main__":
    main()
