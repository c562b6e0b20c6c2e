"""One run: an arm's network, trained with one seed on one split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cmmanet.clips.dataset import ClipDataset
from cmmanet.params import ArmPlan
from cmmanet.training.build import build_network
from cmmanet.training.logbook import Listener
from cmmanet.training.loop import Trained, train
from cmmanet.training.processes import Processes
from pipeline.parts import workspace
from pipeline.parts.indexed_data import Dataset


@dataclass(frozen=True)
class Run:
    """Trial `number` of an arm; `rows` of the tracklet table are what it trains on."""

    plan: ArmPlan
    number: int
    data: Dataset
    rows: list[int]

    @property
    def seed(self) -> int:
        """The seed of everything random in the run."""
        return self.plan.seed + self.number

    @property
    def title(self) -> str:
        """The run's name in messages."""
        return f"{self.plan.dataset} {self.plan.arm} {workspace.trial_name(self.number)}"

    def open_clips(self) -> ClipDataset:
        """Open the training clips.

        Raises:
            FileNotFoundError: if an archive is no longer there.
        """
        return ClipDataset(
            self.data.open_frames(),
            self.data.tracklets,
            self.rows,
            self.plan.clip,
            self.plan.view,
        )


def arm_runs(plan: ArmPlan, data: Dataset) -> list[Run]:
    """Return the runs of an arm, one per trial."""
    splits = (data.trials["splits"][split] for split in data.trials["trials"])
    return [Run(plan, number, data, split["train"]) for number, split in enumerate(splits)]


def train_run(
    run: Run,
    clips: ClipDataset,
    processes: Processes,
    *,
    workers: int,
    checkpoints: Path,
    save_every: float,
    listener: Listener,
) -> Trained:
    """Train a run, from its newest checkpoint in the folder `checkpoints` on if it has one."""
    return train(
        run.plan,
        build_network(run.plan, len(clips.identities), run.seed, workspace.root()),
        clips,
        seed=run.seed,
        processes=processes,
        workers=workers,
        checkpoints=checkpoints,
        save_every=save_every,
        listener=listener,
    )
