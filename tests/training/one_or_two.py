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
from training.small import open_clips, plan_of

from cmmanet.training.build import build_network
from cmmanet.training.logbook import Listener
from cmmanet.training.loop import plan_epoch, train
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
    """One step, for its gradients; then a training that goes on from a checkpoint."""
    data, result = map(Path, sys.argv[1:])
    plan = plan_of(
        batch__identities=2, batch__clips=4, schedule__iterations=7, schedule__milestones=[5]
    )
    clips = open_clips(data, repeat=5)
    with joined_processes() as processes:
        assert processes.count == int(os.environ.get("WORLD_SIZE", "1"))
        network = build_network(plan, len(clips.identities), 3, Path())
        freeze(network)
        requests = plan_epoch(plan, clips, 3, 0).batches[0]
        shared = distribute(network, processes, unused=False)
        output, record = train_step(
            shared,
            torch.optim.SGD(network.parameters(), lr=0.0),
            clips.__getitems__(requests[processes.share(len(requests))]).clips,
            clips.labels(requests),
            weights=plan.losses,
            precision=torch.float32,
            processes=processes,
        )
        assert output.features.shape[0] == len(requests), "the losses see the whole batch"
        gradients = {name: value.grad for name, value in network.named_parameters()}

        network = build_network(plan, len(clips.identities), 3, Path())
        freeze(network)
        begun = []
        listener = Listener(
            begin=lambda done, _: begun.append(done),
            look=lambda _: None,
            epoch=lambda _: None,
            say=print,
        )
        for iterations in (4, 7):
            schedule = plan.schedule.model_copy(update={"iterations": iterations})
            trained = train(
                plan.model_copy(update={"schedule": schedule}),
                network,
                clips,
                seed=3,
                processes=processes,
                workers=1,
                checkpoints=result.with_suffix(".checkpoints"),
                save_every=0,
                listener=listener,
            )
            freshly = build_network(plan, len(clips.identities), 3, Path())
            freeze(freshly)
            network = freshly
        if processes.main:
            assert begun == [0, 3], "the last iteration leaves no checkpoint"
            history = [
                {name: means[name] for name in means if "loss" in name} for means in trained.history
            ]
            torch.save((record, gradients, history, trained.network.state_dict()), result)


if __name__ == "__main__":
    main()
